"""One update block: forward over its characters, backward over the window, gradients. No orchestration of updates.

The passes through time are divided as parallel.py says: by streams, or by units. The gradients are always dealt out by
rows of the weight: each number of a gradient is summed by one thread, over all steps and streams in order.
"""

from .buffers import Packed, Sizes, State, Sublayer, Weights, Window, Workspace
from .jit import inner
from .matmul import (
    BLOCK,
    CHUNK,
    PANEL,
    copy_rows,
    outer_products,
    pack,
    pack_transposed,
    product,
    skip_rows,
)
from .parallel import Part, announce, barrier, divide, meet, own_rows, share
from .recurrence import (
    add_part,
    backward_layer,
    clear_row,
    common_row,
    error_below,
    fill_row,
    forward_layer,
    input_part,
    sliced_row,
)
from .softmax import loss_and_error
from .sublayer import norm_gradient, pass_down, pass_up

_ALL = 1 << 32


@inner
def _columns(part: Part, columns: int) -> tuple[int, int]:
    """The columns of a matrix that this thread packs: of its own slice all, else a part of the only one there is."""
    return (0, columns) if part.slices > 1 else divide(columns, PANEL, part.rank, part.ranks)


@inner
def pack_forward(sizes: Sizes, part: Part, weights: Weights, packed: Packed) -> None:
    """Packs the matrices of the forward pass; this thread's columns."""
    units, p, wide = sizes.units, sizes.padded, sizes.gates * sizes.units
    first, last = _columns(part, wide)
    for layer in range(sizes.layers):
        which = layer * part.slices + part.slice
        pack(weights.w_hh[layer], part.slice * units, units, p, wide, packed.w_hh, which, first, last)
        if layer > 0:
            below = which - part.slices
            pack(weights.w_ih[layer - 1], part.slice * units, units, p, wide, packed.w_ih, below, first, last)
    first, last = divide(sizes.padded_vocabulary, PANEL, part.rank, part.ranks)
    pack_transposed(weights.out, 0, sizes.padded_vocabulary, packed.out, 0, first, last)


@inner
def pack_backward(sizes: Sizes, part: Part, weights: Weights, packed: Packed) -> None:
    """Packs the transposed matrices of the backward pass; this thread's columns."""
    first, last = _columns(part, sizes.units)
    at = part.slice * sizes.units
    for layer in range(sizes.layers):
        which = layer * part.slices + part.slice
        pack_transposed(weights.w_hh[layer], at, sizes.units, packed.w_hh_t, which, first, last)
        if layer > 0:
            pack_transposed(weights.w_ih[layer - 1], at, sizes.units, packed.w_ih_t, which - part.slices, first, last)
    pack(weights.out, at, sizes.units, sizes.units, sizes.units, packed.out_t, part.slice, first, last)


@inner
def is_plain(sublayer: Sublayer) -> bool:
    """Whether layers pass their h up untouched."""
    return not (sublayer.layer_norm or sublayer.residual or sublayer.keep < _ALL)


@inner
def forward(
    cell,
    sizes: Sizes,
    part: Part,
    sublayer: Sublayer,
    weights: Weights,
    packed: Packed,
    window: Window,
    state: State,
    work: Workspace,
    slot,
    steps,
    position,
):
    """All layers over the block at [slot, slot + steps); characters and resets are in the window.

    `position` is the block's first step for dropout. Ends with what the top layer passes up, complete for this
    thread's streams.
    """
    for layer in range(sizes.layers):
        input_part(cell, sizes, part, weights, packed, window, work, layer, slot, steps)
        forward_layer(cell, sizes, part, weights, packed, window, state, work, layer, slot, steps)
        meet(part)
        if not is_plain(sublayer):
            pass_up(sizes, part, sublayer, weights, window, layer, slot, steps, position)
            meet(part)


@inner
def predict(sizes: Sizes, part: Part, weights: Weights, packed: Packed, window: Window, work: Workspace, slot, steps) -> int:
    """Logits of `steps` slots for this thread's own rows; returns the row of the logits where those slots begin."""
    row = common_row(part, sizes.loss_capacity, slot % sizes.loss_capacity)
    first, last = own_rows(part, steps)
    for i in range(row + first, row + last):
        fill_row(window.logits, i, weights.out_b, 0)
    product(
        window.passed[sizes.layers - 1],
        common_row(part, sizes.capacity, slot) + first,
        work.h_runs,
        packed.out,
        0,
        sizes.padded_vocabulary,
        window.logits,
        row + first,
        0,
        last - first,
    )
    return row


@inner
def piece_of_ring(end: int, n: int, capacity: int, piece: int) -> tuple[int, int]:
    """The newest n steps before `end` as at most two runs of slots, older first: run `piece` as (slot, length)."""
    first = (end - n) % capacity
    length = min(n, capacity - first)
    return (first, length) if piece == 0 else (0, n - length)


@inner
def losses(
    sizes: Sizes, part: Part, weights: Weights, packed: Packed, window: Window, work: Workspace, end, reach, injected, weight
):
    """Losses of the newest `injected` steps, into window.loss, and their errors down to work.error; own rows only.

    Older steps of the window have no error of their own.
    """
    for piece in range(2):
        slot, length = piece_of_ring(end - injected, max(0, reach - injected), sizes.capacity, piece)
        _clear_errors(sizes, part, work, slot, length)
    for piece in range(2):
        slot, length = piece_of_ring(end, injected, sizes.capacity, piece)
        if length == 0:
            continue
        logits = predict(sizes, part, weights, packed, window, work, slot, length)
        first, last = own_rows(part, length)
        row, sliced = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
        for i in range(first, last):
            window.loss[row + i] = loss_and_error(window.logits, logits + i, window.y[sliced + i], weight)
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
def _clear_errors(sizes, part, work, slot, steps):
    first, last = own_rows(part, steps)
    row = common_row(part, sizes.capacity, slot)
    for other in range(part.slices):
        for i in range(first, last):
            clear_row(work.error, row + i + other * sizes.capacity * sizes.streams)


@inner
def sum_losses(sizes: Sizes, window: Window, work: Workspace, slot, steps, nats) -> None:
    """nats[s] += each stream's losses over the block at `slot`, in order of time; for one thread."""
    parts = work.time_runs.shape[0] // sizes.capacity
    for t in range(slot, slot + steps):
        s = 0
        for run in range(t * parts, (t + 1) * parts):
            for row in range(work.time_runs[run, 1], work.time_runs[run, 1] + work.time_runs[run, 2]):
                nats[s] += window.loss[row]
                s += 1


@inner
def output_gradient(sizes: Sizes, part: Part, window: Window, work: Workspace, gradients: Weights, end, injected) -> None:
    """Gradients of V and c: this thread's characters."""
    lo, hi = share(sizes.vocabulary, part.rank, part.ranks)
    top, runs, scratch = window.passed[sizes.layers - 1], work.loss_runs, part.scratch
    parts = runs.shape[0] // sizes.capacity
    for piece in range(2):
        slot, length = piece_of_ring(end, injected, sizes.capacity, piece)
        run, last, offset = slot * parts, (slot + length) * parts, 0
        while run < last:
            k = copy_rows(window.logits, 0, lo, hi - lo, runs, 0, run, offset, last, scratch.left, BLOCK)
            scratch.run[0, 2] = k
            for other in range(part.slices):
                row = other * sizes.capacity * sizes.streams
                for column in range(0, sizes.units, PANEL):
                    panel = min(PANEL, sizes.units - column)
                    copy_rows(top, row, column, panel, runs, 1, run, offset, last, scratch.right, panel)
                    at = other * sizes.units + column
                    outer_products(scratch.left, hi - lo, scratch, panel, gradients.out, lo, at)
            run, offset = skip_rows(runs, run, offset, k)
        if part.rank == part.ranks - 1:
            for run in range(slot * parts, last):
                for i in range(runs[run, 0], runs[run, 0] + runs[run, 2]):
                    add_part(gradients.out_b, 0, 0, window.logits, i, 0, sizes.padded_vocabulary)


@inner
def layer_gradient(cell, sizes: Sizes, part: Part, window: Window, work: Workspace, gradients: Weights, layer, end, reach):
    """Gradients of one layer's weights over the window: this thread's rows, all steps and streams in order."""
    parts = work.time_runs.shape[0] // sizes.capacity
    for piece in range(2):
        slot, length = piece_of_ring(end, reach, sizes.capacity, piece)
        first, last = slot * parts, (slot + length) * parts
        if cell.separate:
            _weight_gradients(sizes, part, window, work, gradients, layer, work.dz_h, True, False, first, last)
            _weight_gradients(sizes, part, window, work, gradients, layer, work.dz, False, True, first, last)
        else:
            _weight_gradients(sizes, part, window, work, gradients, layer, work.dz, True, True, first, last)


@inner
def _weight_gradients(sizes, part, window, work, gradients, layer, d, of_state, of_input, first, last):
    """What the errors d in runs [first, last) give for the state's weights and bias, and for the input's.

    d is read once, a panel of it at a time. A bias's panels are dealt out to the threads in turn.
    """
    runs, scratch, per_slice = work.time_runs, part.scratch, sizes.capacity * sizes.streams
    lo, hi = share(sizes.padded, part.rank, part.ranks)
    own_slice, own_column = part.slice * per_slice, lo - part.slice * sizes.units
    # Whole rows are one group of columns; of sliced ones each gate of each slice is one.
    groups, columns = (sizes.gates * part.slices, sizes.units) if part.slices > 1 else (1, sizes.gates * sizes.padded)
    run, offset = first, 0
    while run < last:
        if of_state:
            copy_rows(window.h_in[layer], own_slice, own_column, hi - lo, runs, 0, run, offset, last, scratch.left, BLOCK)
        if of_input and layer > 0:
            below = window.passed[layer - 1]
            copy_rows(below, own_slice, own_column, hi - lo, runs, 0, run, offset, last, scratch.below, BLOCK)
        if of_input and layer == 0:
            _characters(window.x, own_slice, runs, run, offset, last, scratch.characters)
        k = 0
        for group in range(groups):
            row = group % part.slices * per_slice
            for column in range(0, columns, PANEL):
                panel = min(PANEL, columns - column)
                from_column, at = group // part.slices * columns + column, group * columns + column
                k = copy_rows(d, row, from_column, panel, runs, 1, run, offset, last, scratch.right, panel)
                scratch.run[0, 2] = k
                owns = at // PANEL % part.ranks == part.rank
                if of_state:
                    outer_products(scratch.left, hi - lo, scratch, panel, gradients.w_hh[layer], lo, at)
                    if owns:
                        _sum_rows(scratch.right, k, panel, gradients.b_hh, layer, at)
                if of_input:
                    if layer > 0:
                        outer_products(scratch.below, hi - lo, scratch, panel, gradients.w_ih[layer - 1], lo, at)
                    else:
                        _to_characters(sizes, part, k, panel, gradients.embed, at)
                    if owns:
                        _sum_rows(scratch.right, k, panel, gradients.b_ih, layer, at)
        run, offset = skip_rows(runs, run, offset, k)


@inner
def _characters(x, from_row, runs, run, offset, last, target):
    """The characters of the rows that copy_rows would copy."""
    k = 0
    while run < last and k < CHUNK:
        n = min(CHUNK - k, runs[run, 2] - offset)
        for i in range(n):
            target[k + i] = x[from_row + runs[run, 0] + offset + i]
        k += n
        offset = 0
        run += 1


@inner
def _to_characters(sizes, part, k, panel, embed, at):
    """Adds each copied row to the columns from `at` on of its character's row; this thread's characters."""
    lo, hi = share(sizes.vocabulary, part.rank, part.ranks)
    for i in range(k):
        character = part.scratch.characters[i]
        if lo <= character < hi:
            add_part(embed, character, at, part.scratch.right, 0, i * panel, panel)


@inner
def _sum_rows(copied, k, panel, bias, layer, at):
    """bias[layer, at : at + panel] += the sum of k copied rows."""
    for i in range(k):
        add_part(bias, layer, at, copied, 0, i * panel, panel)


@inner
def backward(
    cell,
    sizes: Sizes,
    part: Part,
    sublayer: Sublayer,
    weights: Weights,
    gradients: Weights,
    packed: Packed,
    window: Window,
    work: Workspace,
    end,
    reach,
    injected,
    base,
    arrives,
    leaves,
    complete,
    lags,
):
    """All gradients, from work.error (see `losses`) down: errors by parts, then gradients by rows, layer by layer.

    Errors reach `reach` steps back from `end`; the output side learns from all `injected` losses, also where k2 < k1
    and the cells do not hear of them. `base` is the dropout position of the ring's step 0. arrives, leaves, lags: see
    backward_layer. complete: whether nothing more is added to the gradients after this, so that they are announced layer
    by layer, from the top. Ends with every gradient complete for every thread.
    """
    for layer in range(sizes.layers - 1, -1, -1):
        rows = max(reach, injected) if layer == sizes.layers - 1 else reach
        meet(part)
        if not is_plain(sublayer):
            for piece in range(2):
                slot, length = piece_of_ring(end, rows, sizes.capacity, piece)
                step = base + end - rows if piece == 0 else base + end - length
                pass_down(sizes, part, sublayer, weights, window, work, layer, slot, length, step)
            meet(part)
        backward_layer(cell, sizes, part, packed, window, work, layer, end, reach, arrives, leaves, lags)
        barrier(part)
        if layer == sizes.layers - 1:
            output_gradient(sizes, part, window, work, gradients, end, injected)
        if sublayer.layer_norm:
            for piece in range(2):
                slot, length = piece_of_ring(end, rows, sizes.capacity, piece)
                norm_gradient(sizes, part, window, work, gradients, layer, slot, length)
        layer_gradient(cell, sizes, part, window, work, gradients, layer, end, reach)
        barrier(part)
        if complete:
            announce(part)
        if layer > 0:
            for piece in range(2):
                slot, length = piece_of_ring(end, reach, sizes.capacity, piece)
                error_below(sizes, part, packed, work, layer, slot, length, sublayer.residual)
