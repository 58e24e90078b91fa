"""A block backward: losses, then errors from the top layer down and through time, each layer's gradients as they go.

The passes through time are divided as parallel.py says: by streams, or by units. The gradients are always dealt out by
rows of the weight: each number of a gradient is summed by one thread, over all steps and streams in order.
"""

import numpy as np

from .block_norm import norm_block_back
from .buffers import PRODUCT, Net, Piece, Sizes, Weights, Window, Workspace
from .cell_norm import norm_step_gradient
from .direct import connect, connect_back
from .forward import is_plain, predict
from .gradients import find_step_runs, layer_gradient, output_gradient
from .jit import inner, kernel
from .matmul import pack, pack_transposed, product
from .multiplicative import pack_product_back
from .parallel import Part, announce, barrier, meet, own_rows, pack_columns
from .records import Array5
from .recurrence_back import backward_layer, error_below
from .rows import clear_row, common_row, piece_of_ring, sliced_row
from .softmax import loss_and_error_in_place
from .sublayer import norm_gradient, pass_down


@kernel
def pack_backward(net: Net, part: Part) -> None:
    """Pack the transposed matrices of the backward pass; this thread's columns."""
    sizes, weights, packed = net.sizes, net.weights, net.packed
    first, last = pack_columns(part, sizes.units)
    at = part.slice * sizes.units
    for layer in range(sizes.layers):
        which = layer * part.slices + part.slice
        if weights.w_hh.shape[1] > 0:
            pack_transposed(weights.w_hh[layer], at, sizes.units, packed.w_hh_t, which, first, last)
        if layer > 0:
            pack_transposed(weights.w_ih[layer - 1], at, sizes.units, packed.w_ih_t, which - part.slices, first, last)
    if net.cell.recurrence == PRODUCT:
        pack_product_back(net, part)
    pack(weights.out, at, sizes.units, sizes.units, sizes.units, packed.out_t, part.slice, first, last)


@kernel
def losses(net: Net, part: Part, piece: Piece, weight: float, connects: int) -> None:
    """Compute the losses that the piece injects, into window.loss, and their errors down to work.error; own rows only.

    Older steps of the window have no error of their own. connects: see Plan.
    """
    sizes, packed, window, work = net.sizes, net.packed, net.window, net.work
    reach = _longest_reach(net, piece)
    for run in range(2):
        slot, length = piece_of_ring(piece.end - piece.losses, max(0, reach - piece.losses), sizes.capacity, run)
        _clear_errors(sizes, part, work, slot, length)
    for run in range(2):
        slot, length = piece_of_ring(piece.end, piece.losses, sizes.capacity, run)
        if length == 0:
            continue
        logits = predict(net, part, slot, length)
        first, last = own_rows(part, length)
        row, sliced = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
        for i in range(first, last):
            known, target = 0, window.y[sliced + i]
            if connects:
                known = connect(net, part, logits + i, sliced + i, sliced + last)
            window.loss[row + i] = loss_and_error_in_place(
                window.logits, logits + i, sizes.padded_vocabulary, target, weight
            )
            connect_back(net, part, logits + i, known if target >= 0 else 0)
        _clear_errors(sizes, part, work, slot, length)
        for other in range(part.slices):
            product(
                window.logits,
                logits + first,
                work.logit_runs,
                packed.out_t,
                other,
                sizes.units,
                work.error,
                row + first + other * sizes.capacity * sizes.streams,
                0,
                last - first,
            )


@inner
def piece_of_layer(piece: Piece, clock: int) -> Piece:
    """Return the piece as a layer of this clock goes back over it: its errors reach `clock` times as far.

    They end where the ring does, and where a block that is made in pieces begins.
    """
    reach, leaves = min(clock * piece.reach, piece.room) - piece.newer, False
    if piece.newer > 0 or not piece.oldest:  # one of several
        reach, leaves = max(0, min(piece.steps, reach)), reach > piece.steps and not piece.oldest
    return Piece(
        piece.start,
        piece.steps,
        piece.newer,
        piece.room,
        piece.end,
        piece.base,
        reach,
        piece.losses,
        piece.arrives,
        leaves,
        piece.oldest,
    )


@inner
def _longest_reach(net, piece):
    """Return how far errors reach back in the slowest layer."""
    reach = 0
    for layer in range(net.sizes.layers):
        reach = max(reach, piece_of_layer(piece, net.clocks[layer]).reach)
    return reach


@inner
def _clear_errors(sizes, part, work, slot, steps):
    """Set work.error of `steps` slots to zero; own rows."""
    first, last = own_rows(part, steps)
    row = common_row(part, sizes.capacity, slot)
    for other in range(part.slices):
        for i in range(first, last):
            clear_row(work.error, row + i + other * sizes.capacity * sizes.streams)


@inner
def sum_losses(sizes: Sizes, window: Window, work: Workspace, slot, steps, nats) -> None:
    """Add each stream's losses over the block at `slot`, in order of time, to nats[s]; for one thread."""
    runs = work.time_runs
    parts = runs.shape[0] // sizes.capacity
    for t in range(slot, slot + steps):
        s = 0
        for run in range(t * parts, (t + 1) * parts):
            for row in range(runs[run, 1], runs[run, 1] + runs[run, 2]):
                nats[s] += window.loss[row]
                s += 1


@kernel
def backward(net: Net, part: Part, block: Piece, gradients: Weights, lags: Array5[np.float64]) -> None:
    """Add all gradients of a piece of a block, from work.error (see `losses`) down: errors by parts, then gradients by rows.

    The output layer learns from all losses of the piece, also if the cells' errors reach less far (k2 < k1). After the
    oldest piece nothing more is added to the gradients; they are announced layer by layer, from the top. Ends with every
    gradient complete for every thread. lags: see UpdateStats.
    """
    sizes, sublayer, window, work = net.sizes, net.sublayer, net.window, net.work
    top = sizes.layers - 1
    for layer in range(top, -1, -1):
        piece = piece_of_layer(block, net.clocks[layer])
        rows = max(piece.reach, piece.losses) if layer == top else piece.reach
        meet(part)
        if not is_plain(sublayer):
            for run in range(2):
                slot, length = piece_of_ring(piece.end, rows, sizes.capacity, run)
                step = piece.base + piece.end - rows if run == 0 else piece.base + piece.end - length
                pass_down(net, part, layer, slot, length, step)
            meet(part)
        backward_layer(net, part, piece, layer, lags)
        barrier(part)
        if net.clocks[layer] > 1:
            if part.rank == 0:
                find_step_runs(net, part, piece, layer)
            barrier(part)
        if layer == top:
            output_gradient(sizes, part, block, window, work, gradients)
        if sublayer.layer_norm:
            for run in range(2):
                slot, length = piece_of_ring(piece.end, rows, sizes.capacity, run)
                norm_gradient(sizes, part, window, work, gradients, layer, slot, length)
        if net.norm.units:
            norm_step_gradient(net, part, gradients, layer)
        if net.norm.block:
            norm_block_back(net, part, piece.end, piece.reach, piece.steps, gradients, layer)
            barrier(part)
        layer_gradient(net, part, piece, gradients, layer)
        barrier(part)
        if block.oldest:
            announce(part)
        if layer > 0:
            for run in range(2):
                slot, length = piece_of_ring(piece.end, piece.reach, sizes.capacity, run)
                error_below(net, part, layer, slot, length)
