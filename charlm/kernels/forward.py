"""A block forward: matrices packed, all layers over the block, logits."""

from .block_norm import settle_running
from .buffers import PRODUCT, Net, State, Sublayer
from .halves import halve, product_of_either
from .jit import inner, kernel
from .matmul import pack, pack_transposed
from .multiplicative import pack_product
from .parallel import Part, divide, meet, own_rows, pack_columns
from .recurrence import forward_layer, input_part, mark_steps
from .rows import common_row, fill_row
from .sublayer import pass_up
from .tile import PANEL

_ALL = 1 << 32


@kernel
def pack_forward(net: Net, part: Part) -> None:
    """Pack the matrices of the forward pass; this thread's columns."""
    sizes, weights, packed = net.sizes, net.weights, net.packed
    units, p, wide, states = sizes.units, sizes.padded, sizes.gates * sizes.units, sizes.step_gates * sizes.units
    first, last = pack_columns(part, wide)
    state_first, state_last = pack_columns(part, states)
    for layer in range(sizes.layers):
        which = layer * part.slices + part.slice
        if weights.w_hh.shape[1] > 0:
            pack(weights.w_hh[layer], part.slice * units, units, p, states, packed.w_hh, which, state_first, state_last)
            if net.halves:
                halve(packed.w_hh, which, p, states, state_first, state_last)
        if layer > 0:
            below = which - part.slices
            pack(weights.w_ih[layer - 1], part.slice * units, units, p, wide, packed.w_ih, below, first, last)
            if net.halves:
                halve(packed.w_ih, below, p, wide, first, last)
    if net.cell.recurrence == PRODUCT:
        pack_product(net, part)
    if net.norm.block and not net.norm.statistics:
        settle_running(net, part)
    first, last = divide(sizes.outputs, PANEL, part.rank, part.ranks)
    pack_transposed(weights.out, 0, sizes.outputs, packed.out, 0, first, last)
    if net.halves:
        halve(packed.out, 0, p, sizes.outputs, first, last)


@inner
def is_plain(sublayer: Sublayer) -> bool:
    """Return whether layers pass their h up untouched."""
    return not (sublayer.layer_norm or sublayer.residual or sublayer.keep < _ALL)


@kernel
def forward(net: Net, part: Part, state: State, which: int, slot: int, steps: int, position: int) -> None:
    """Run all layers over the block at [slot, slot + steps), from and to state[which].

    Characters and resets are in the window. `position` is the block's first step for dropout. Ends with what the top
    layer passes up, complete for this thread's streams.
    """
    for layer in range(net.sizes.layers):
        mark_steps(net, part, layer, slot, steps)
        input_part(net, part, layer, slot, steps)
        forward_layer(net, part, state, which, layer, slot, steps)
        meet(part)
        if not is_plain(net.sublayer):
            pass_up(net, part, layer, slot, steps, position)
            meet(part)


@kernel
def predict(net: Net, part: Part, slot: int, steps: int) -> int:
    """Compute the network's logits of `steps` slots for this thread's own rows; return the row where they begin."""
    sizes, window = net.sizes, net.window
    row = common_row(part, sizes.loss_capacity, slot % sizes.loss_capacity)
    first, last = own_rows(part, steps)
    for i in range(row + first, row + last):
        fill_row(window.logits, i, net.weights.out_b, 0)
    product_of_either(
        net.halves,
        window.passed[sizes.layers - 1],
        common_row(part, sizes.capacity, slot) + first,
        net.work.h_runs,
        net.packed.out,
        0,
        sizes.outputs,
        window.logits,
        row + first,
        0,
        last - first,
    )
    return row
