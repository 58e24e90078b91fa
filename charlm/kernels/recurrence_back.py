"""One layer back through time: the loop over steps, written once for all cells, and the errors for the layer below."""

import numpy as np

from .buffers import NONE, PRODUCT, VECTOR, Net, Piece
from .cell_norm import norm_step_back, show_memory_back
from .jit import inner
from .matmul import product
from .multiplicative import multiply_state_back
from .parallel import Part, meet
from .rows import add_part, any_step, clear_row, common_row, scale_row, sliced_row, step_rows
from .simd import LANES, PAD, fma, load, load_block, store, total
from .steps import call, span


@inner
def backward_layer(net: Net, part: Part, piece: Piece, layer: int, lags: np.ndarray) -> None:
    """Run one layer backwards from the piece's end over its reach: work.dy -> work.dx, work.ds.

    The linear-time recursion: each step adds its own error to what arrives from the step after it, times
    window.gradient_scale. What would flow to the step before the reach, or before a reset, is dropped, unless the piece
    says that it arrives or leaves. lags: see UpdateStats.
    """
    cell, sizes, window, work = net.cell, net.sizes, net.window, net.work
    dh, dc = work.dh, work.dc
    at = sliced_row(part, sizes.layers, layer)
    if not piece.arrives:
        for s in range(at, at + part.n):
            clear_row(dh, s)
            clear_row(dc, s)
    for s in range(part.base, part.base + (part.n if net.norm.units else 0)):
        clear_row(work.norm_sums, s)
    slow, recurrence = net.clocks[layer] > 1, cell.recurrence
    for t in range(piece.end - 1, piece.end - piece.reach - 1, -1):
        slot = t % sizes.capacity
        row = sliced_row(part, sizes.capacity, slot)
        for s in range(part.n):
            add_part(dh, at + s, 0, work.dy, row + s, 0, sizes.units)
            if lags.shape[0] > 0:
                _squares(sizes, part, dh, at + s, lags, layer, 0, part.lo + s, piece.end - 1 - t)
                _squares(sizes, part, dc, at + s, lags, layer, 1, part.lo + s, piece.end - 1 - t)
        stepped = not slow or any_step(window, layer, row, part.n)
        if stepped:
            _cells_backward(net, part, layer, slot, row, at)
        if t == piece.end - piece.reach and not piece.leaves:
            return
        if not stepped:
            pass
        elif recurrence == VECTOR:
            _own_state_back(net, part, layer, row, at)
        elif recurrence != NONE:
            meet(part)
            through_product = recurrence == PRODUCT
            product(
                work.df if through_product else work.ds,
                common_row(part, sizes.capacity, slot),
                work.h_runs if through_product else work.ds_runs,
                net.packed.w_mh_t if through_product else net.packed.w_hh_t,
                layer * part.slices + part.slice,
                sizes.units,
                dh,
                at,
                0,
                part.n,
            )
        for s in range(part.n):
            if window.reset[row + s]:
                clear_row(dh, at + s)
                clear_row(dc, at + s)
        if window.gradient_scale[slot] != 1.0:
            for s in range(at, at + part.n):
                scale_row(dh, s, window.gradient_scale[slot])
                scale_row(dc, s, window.gradient_scale[slot])


@inner
def _cells_backward(net, part, layer, slot, row, at):
    """Go one step back with the streams that made it: work.dh, work.dc -> work.dx, work.ds. Those that waited get zeros."""
    cell, window, work = net.cell, net.window, net.work
    if net.norm.memory:
        show_memory_back(net, part, layer, slot)
    for s in range(part.n):
        if window.steps[layer, row + s]:
            _step_backward(cell, net.sizes, window, work, layer, row + s, at + s)
        else:
            clear_row(work.dz, row + s)
            if cell.separate:
                clear_row(work.dz_h, row + s)
    if net.norm.units:
        norm_step_back(net, part, layer, slot)
    if cell.recurrence == PRODUCT:
        multiply_state_back(net, part, layer, slot)


@inner
def _squares(sizes, part, array, row, lags, layer, which, stream, lag):
    """Fill lags with the sum of squares of each block of a row; they are added up where all slices are there."""
    for j in range(0, sizes.units, PAD):
        value = load_block(array, row, j)
        lags[layer, which, (part.slice * sizes.units + j) // PAD, stream, lag] = total(value * value)


@inner
def error_below(net: Net, part: Part, layer: int, slot: int, steps: int) -> None:
    """Turn work.error of this layer into that of the layer below, for `steps` slots: from work.dx, and residually."""
    sizes, work = net.sizes, net.work
    row, slow = sliced_row(part, sizes.capacity, slot), net.clocks[layer] > 1
    if not net.sublayer.residual:
        for i in range(row, row + steps * part.n):
            clear_row(work.error, i)
    at_once = part.n if slow else steps * part.n
    for done in range(0, steps * part.n, max(1, at_once)):
        if slow and not any_step(net.window, layer, row + done, at_once):
            continue
        product(
            work.dx,
            common_row(part, sizes.capacity, slot) + done,
            work.dz_runs,
            net.packed.w_ih_t,
            (layer - 1) * part.slices + part.slice,
            sizes.units,
            work.error,
            row + done,
            0,
            at_once,
        )


@inner
def _own_state_back(net, part, layer, row, at):
    """Go back through _own_state: add to work.dh."""
    sizes, work = net.sizes, net.work
    for gate in range(sizes.gates):
        column, first = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for s in range(part.n):
            for j in range(0, sizes.units, LANES):
                weight, error = load(net.weights.u, layer, first + j), load(work.ds, row + s, column + j)
                store(work.dh, at + s, j, fma(weight, error, load(work.dh, at + s, j)))


@inner
def _step_backward(cell, sizes, window, work, layer, row, stream):
    """Make the same step backwards: see steps.compile_cell."""
    call(
        cell.backward,
        (
            sizes.units,
            step_rows(window, layer, row),
            span(work.dh, stream, stream + 1),
            span(work.dc, stream, stream + 1),
            span(work.dz, row, row + 1),
            span(work.dz_h, row, row + 1),
        ),
    )
