"""A state that is multiplied by the input before it enters the gates: Sutskever, Martens & Hinton 2011, Krause et al. 2016.

product = factor * (W_mh h), which takes the place of h in the gates. The factor is the last gate's sum: the input's alone.
"""

import numpy as np

from .buffers import Net, Weights
from .halves import halve, product_of_either
from .jit import inner, kernel_on_demand
from .matmul import BLOCK, copy_rows, outer_products, pack, pack_transposed, product, skip_rows
from .parallel import Part, meet, pack_columns, share
from .records import Array2
from .rows import clear_row, common_row, sliced_row, state_sums
from .simd import LANES, load, store
from .tile import PANEL


@kernel_on_demand
def pack_product(net: Net, part: Part) -> None:
    """Pack the matrices W_mh of the forward pass; this thread's columns."""
    sizes, weights, packed = net.sizes, net.weights, net.packed
    first, last = pack_columns(part, sizes.units)
    for layer in range(sizes.layers):
        which, at, p = layer * part.slices + part.slice, part.slice * sizes.units, sizes.padded
        pack(weights.w_mh[layer], at, sizes.units, p, sizes.units, packed.w_mh, which, first, last)
        if net.halves:
            halve(packed.w_mh, which, p, sizes.units, first, last)


@kernel_on_demand
def pack_product_back(net: Net, part: Part) -> None:
    """Pack their transposes for the backward pass; this thread's columns."""
    sizes, at = net.sizes, part.slice * net.sizes.units
    first, last = pack_columns(part, sizes.units)
    for layer in range(sizes.layers):
        which = layer * part.slices + part.slice
        pack_transposed(net.weights.w_mh[layer], at, sizes.units, net.packed.w_mh_t, which, first, last)


@inner
def _factors(net, layer):
    """Return the array that holds the factor in its last gate: its sum, normalised only by batch norm."""
    return net.window.z[layer] if net.norm.block else net.window.sums[layer]


@kernel_on_demand
def multiply_state(net: Net, part: Part, layer: int, slot: int) -> None:
    """Add the product's part of the gates to the sums of a step, and keep the product; after the state is complete."""
    sizes, window, work, units = net.sizes, net.window, net.work, net.sizes.units
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    which, states, products = layer * part.slices + part.slice, window.factor[layer], window.product[layer]
    for i in range(own, own + part.n):
        clear_row(states, i)
    h, runs = window.h_in[layer], work.h_runs
    product_of_either(net.halves, h, row, runs, net.packed.w_mh, which, units, states, own, 0, part.n)
    factors, at = _factors(net, layer), sizes.step_gates * units
    for i in range(own, own + part.n):
        for j in range(0, units, LANES):
            store(products, i, j, load(factors, i, at + j) * load(states, i, j))
    meet(part)
    to = state_sums(net, part, layer, own)
    product_of_either(net.halves, products, row, runs, net.packed.w_hh, which, at, to, own, 0, part.n)


@kernel_on_demand
def multiply_state_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through multiply_state: work.ds -> work.df, the factor's error in work.dz or work.dx, and work.dh."""
    sizes, window, work, units = net.sizes, net.window, net.work, net.sizes.units
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    which, at, dp = layer * part.slices + part.slice, sizes.step_gates * units, work.dp
    meet(part)
    for s in range(part.base, part.base + part.n):
        clear_row(dp, s)
    product(work.ds, row, work.ds_runs, net.packed.w_hh_t, which, units, dp, part.base, 0, part.n)
    factors, target = _factors(net, layer), work.dz if net.norm.block else work.dx
    for s in range(part.n):
        for j in range(0, units, LANES):
            error = load(dp, part.base + s, j)
            store(target, own + s, at + j, error * load(window.factor[layer], own + s, j))
            store(work.df, own + s, j, error * load(factors, own + s, at + j))


@kernel_on_demand
def product_gradient(
    net: Net, part: Part, layer: int, runs: Array2[np.int64], first: int, last: int, gradients: Weights
) -> None:
    """Add what runs [first, last) give for W_hh and W_mh; this thread's rows of them."""
    window, work = net.window, net.work
    _matrix_gradient(
        net, part, window.product[layer], work.ds, net.sizes.step_gates, runs, first, last, gradients.w_hh[layer]
    )
    _matrix_gradient(net, part, window.h_in[layer], work.df, 1, runs, first, last, gradients.w_mh[layer])


@inner
def _matrix_gradient(net, part, left, d, gates, runs, first, last, gradient):
    """Add the products of rows of left (U) and the first gates of rows of d, over runs [first, last), to a gradient."""
    sizes, scratch = net.sizes, part.scratch
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    lo, hi = share(sizes.padded, part.rank, part.ranks)
    run, offset = first, 0
    while run < last:
        own_slice, own_column = part.slice * per_slice, lo - part.slice * units
        k = copy_rows(left, own_slice, own_column, hi - lo, runs, 0, run, offset, last, scratch.left, BLOCK)
        scratch.run[0, 2] = k
        for gate in range(gates):
            for other in range(part.slices):
                for column in range(0, units, PANEL):
                    panel, at = min(PANEL, units - column), gate * sizes.padded + other * units + column
                    row, start = other * per_slice, gate * units + column
                    copy_rows(d, row, start, panel, runs, 1, run, offset, last, scratch.right, panel)
                    outer_products(scratch.left, hi - lo, scratch, panel, gradient, lo, at)
        run, offset = skip_rows(runs, run, offset, k)
