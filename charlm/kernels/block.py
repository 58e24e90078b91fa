"""One update block: forward over its characters, backward over the window, gradients. No orchestration of updates.

Streams are dealt out to threads, so a thread's part of the forward and of the backward pass needs nobody else. The
gradients are dealt out by columns instead: each number of a gradient is summed by one thread, over all rows in order.
"""

from .buffers import Packed, Passing, Sizes, State, Weights, Window, Work
from .jit import inner
from .lanes import LANES, load, store
from .matmul import accumulate, pack, pack_transposed, panels
from .parallel import barrier
from .passing import accumulate_norm, pass_down, pass_up
from .recurrence import backward_layer, clear_row, fill_row, forward_layer, input_part, products_by_step
from .softmax import loss_and_error

_ALL = 1 << 32


@inner
def pack_forward(sizes: Sizes, weights: Weights, packed: Packed, rank, ranks) -> None:
    """Packs the matrices of the forward pass; this thread's columns."""
    first, last = panels(sizes.gates * sizes.padded, rank, ranks)
    for layer in range(sizes.layers):
        pack(weights.w_hh[layer], packed.w_hh[layer : layer + 1], first, last)
        if layer > 0:
            pack(weights.w_ih[layer - 1], packed.w_ih[layer - 1 : layer], first, last)
    first, last = panels(sizes.padded_vocabulary, rank, ranks)
    pack_transposed(weights.out, packed.out, first, last)


@inner
def pack_backward(sizes: Sizes, weights: Weights, packed: Packed, rank, ranks) -> None:
    """Packs the transposed matrices of the backward pass; this thread's columns."""
    first, last = panels(sizes.padded, rank, ranks)
    for layer in range(sizes.layers):
        pack_transposed(weights.w_hh[layer], packed.w_hh_t[layer : layer + 1], first, last)
        if layer > 0:
            pack_transposed(weights.w_ih[layer - 1], packed.w_ih_t[layer - 1 : layer], first, last)
    pack(weights.out, packed.out_t, first, last)


@inner
def is_plain(passing: Passing) -> bool:
    """Whether layers pass their h up untouched."""
    return not (passing.layer_norm or passing.residual or passing.keep < _ALL)


@inner
def forward(
    cell, sizes: Sizes, passing: Passing, weights: Weights, packed: Packed, window: Window, state: State, work: Work,
    slot, steps, position, lo, hi,
):  # fmt: skip
    """All layers over the block at [slot, slot + steps), streams [lo, hi); characters and resets are in the window."""
    for layer in range(sizes.layers):
        input_part(sizes, weights, packed, window, layer, slot, steps, lo, hi)
        forward_layer(cell, sizes, weights, packed, window, state, work, layer, slot, steps, lo, hi)
        if not is_plain(passing):
            pass_up(sizes, passing, weights, window, layer, slot, steps, lo, hi, position)


@inner
def predict(sizes: Sizes, weights: Weights, packed: Packed, window: Window, slot, steps, lo, hi) -> int:
    """Logits of `steps` slots for streams [lo, hi); returns the first slot they take in the logits' ring."""
    at = slot % sizes.loss_capacity
    for t in range(at, at + steps):
        for s in range(lo, hi):
            fill_row(window.logits, t * sizes.streams + s, weights.out_b, 0)
    top = window.passed[sizes.layers - 1]
    products_by_step(top, slot, packed.out, window.logits, at, steps, sizes.streams, lo, hi, sizes.padded)
    return at


@inner
def piece_of_ring(end: int, n: int, capacity: int, piece: int) -> tuple[int, int]:
    """The newest n steps before `end` as at most two runs of slots, older first: run `piece` as (slot, length)."""
    first = (end - n) % capacity
    length = min(n, capacity - first)
    return (first, length) if piece == 0 else (0, n - length)


@inner
def losses(
    sizes: Sizes, weights: Weights, packed: Packed, window: Window, work: Work, nats, end, steps, reach, injected, weight,
    lo, hi,
):  # fmt: skip
    """Losses of the newest `injected` steps and their errors down to work.error; nats[s] = sum over the block's own.

    Older steps of the window have no error of their own.
    """
    for s in range(lo, hi):
        nats[s] = 0.0
        for t in range(end - reach, end - injected):
            clear_row(work.error, t % sizes.capacity * sizes.streams + s)
    for piece in range(2):
        slot, length = piece_of_ring(end, injected, sizes.capacity, piece)
        if length == 0:
            continue
        at = predict(sizes, weights, packed, window, slot, length, lo, hi)
        first = end - injected if piece == 0 else end - length
        for t in range(length):
            for s in range(lo, hi):
                row = (slot + t) * sizes.streams + s
                value = loss_and_error(window.logits, (at + t) * sizes.streams + s, window.y[row], weight)
                if first + t >= end - steps:
                    nats[s] += value
                clear_row(work.error, row)
        products_by_step(window.logits, at, packed.out_t, work.error, slot, length, sizes.streams, lo, hi, sizes.vocabulary)


@inner
def output_gradient(sizes: Sizes, window: Window, gradients: Weights, end, injected, rank, ranks) -> None:
    """Gradients of V and c: this thread's columns, all rows."""
    top = window.passed[sizes.layers - 1]
    first, last = panels(sizes.padded, rank, ranks)
    bias_first, bias_last = panels(sizes.padded_vocabulary, rank, ranks)
    for piece in range(2):
        slot, length = piece_of_ring(end, injected, sizes.capacity, piece)
        if length > 0:
            at = slot % sizes.loss_capacity * sizes.streams
            n = length * sizes.streams
            accumulate(window.logits, at, top, slot * sizes.streams, n, gradients.out, sizes.vocabulary, first, last)
            _accumulate_bias(window.logits, at, n, gradients.out_b, 0, bias_first, bias_last)


@inner
def _accumulate_bias(d, row, n, c, c_row, first, last):
    """c[c_row, first:last] += the sum of rows [row, row + n) of d."""
    for j in range(first, last, LANES):
        value = load(c, c_row, j)
        for i in range(row, row + n):
            value = value + load(d, i, j)
        store(c, c_row, j, value)


@inner
def layer_gradient(cell, sizes: Sizes, window: Window, work: Work, gradients: Weights, layer, end, reach, rank, ranks):
    """Gradients of one layer's weights over the window: this thread's columns, all rows in the order of time."""
    first, last = panels(sizes.gates * sizes.padded, rank, ranks)
    for piece in range(2):
        slot, length = piece_of_ring(end, reach, sizes.capacity, piece)
        row, n = slot * sizes.streams, length * sizes.streams
        if n == 0:
            continue
        accumulate(window.h_in[layer], row, work.dz_h, row, n, gradients.w_hh[layer], sizes.padded, first, last)
        _accumulate_bias(work.dz_h, row, n, gradients.b_hh, layer, first, last)
        _accumulate_bias(work.dz, row, n, gradients.b_ih, layer, first, last)
        if layer > 0:
            below = window.passed[layer - 1]
            accumulate(below, row, work.dz, row, n, gradients.w_ih[layer - 1], sizes.padded, first, last)
        else:
            for i in range(row, row + n):
                character = window.x[i]
                for j in range(first, last, LANES):
                    store(gradients.embed, character, j, load(gradients.embed, character, j) + load(work.dz, i, j))


@inner
def _norm_gradient(sizes, passing, window, work, gradients, layer, end, reach, rank, ranks):
    """Gradients of one layer norm: this thread's columns, all rows."""
    first, last = panels(sizes.padded, rank, ranks)
    for piece in range(2):
        slot, length = piece_of_ring(end, reach, sizes.capacity, piece)
        row, n = slot * sizes.streams, length * sizes.streams
        accumulate_norm(window, gradients, work.kept, layer, row, n, first, last)


@inner
def _error_below(sizes, passing, packed, work, layer, end, reach, lo, hi):
    """Turns work.error of this layer into that of the layer below, for the window: from work.dz, and residually."""
    for piece in range(2):
        slot, length = piece_of_ring(end, reach, sizes.capacity, piece)
        if not passing.residual:
            for t in range(slot, slot + length):
                for s in range(lo, hi):
                    clear_row(work.error, t * sizes.streams + s)
        products_by_step(
            work.dz, slot, packed.w_ih_t[layer - 1 : layer], work.error, slot, length, sizes.streams, lo, hi,
            work.dz.shape[1],
        )  # fmt: skip


@inner
def backward(
    cell, sizes: Sizes, passing: Passing, weights: Weights, gradients: Weights, packed: Packed, window: Window, work: Work,
    gate, end, reach, injected, base, lo, hi, rank, ranks,
):  # fmt: skip
    """All gradients, from work.error (see `losses`) down: errors by streams, then gradients by columns, layer by layer.

    Errors reach `reach` steps back from `end`; the output side learns from all `injected` losses, also where k2 < k1
    and the cells do not hear of them. Ends with every gradient complete for every thread.
    """
    for layer in range(sizes.layers - 1, -1, -1):
        rows = max(reach, injected) if layer == sizes.layers - 1 else reach
        if not is_plain(passing):
            pass_down(sizes, passing, weights, window, work, layer, end, rows, lo, hi, base)
        backward_layer(cell, sizes, packed, window, work, layer, end, reach, lo, hi)
        barrier(gate, ranks)
        if layer == sizes.layers - 1:
            output_gradient(sizes, window, gradients, end, injected, rank, ranks)
        if passing.layer_norm:
            _norm_gradient(sizes, passing, window, work, gradients, layer, end, rows, rank, ranks)
        layer_gradient(cell, sizes, window, work, gradients, layer, end, reach, rank, ranks)
        barrier(gate, ranks)
        if layer > 0:
            _error_below(sizes, passing, packed, work, layer, end, reach, lo, hi)
