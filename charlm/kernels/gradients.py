"""Gradients of weights, from the errors of a window: this thread's rows, over all steps and streams in order."""

from .buffers import MATRIX, PRODUCT, VECTOR, Net, Piece, Sizes, Weights, Window, Workspace
from .direct import bias_gradient
from .jit import inner, kernel
from .matmul import BLOCK, CHUNK, copy_rows, outer_products, skip_rows
from .multiplicative import product_gradient
from .parallel import Part, own_columns, share
from .rows import add_part, any_step, fill_part, piece_of_ring
from .simd import LANES, fma, load, store
from .tile import PANEL


@kernel
def output_gradient(sizes: Sizes, part: Part, piece: Piece, window: Window, work: Workspace, gradients: Weights) -> None:
    """Add to the gradients of the output layer: this thread's rows."""
    lo, hi = share(gradients.out.shape[0], part.rank, part.ranks)
    top, runs, scratch = window.passed[sizes.layers - 1], work.loss_runs, part.scratch
    parts = runs.shape[0] // sizes.capacity
    for half in range(2):
        slot, length = piece_of_ring(piece.end, piece.losses, sizes.capacity, half)
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
                    bias_gradient(window, sizes.padded_vocabulary, i, gradients.direct_b)


@kernel
def layer_gradient(net: Net, part: Part, piece: Piece, gradients: Weights, layer: int) -> None:
    """Add to the gradients of one layer's weights, over the piece's reach; to those of its biases if no norm comes between.

    Biases are added after a norm, so they learn from other errors: see cell_norm.py and block_norm.py.
    """
    sizes, work = net.sizes, net.work
    parts = work.time_runs.shape[0] // sizes.capacity
    for half in range(2):
        slot, length = piece_of_ring(piece.end, piece.reach, sizes.capacity, half)
        runs, first, last = work.time_runs, slot * parts, (slot + length) * parts
        if net.clocks[layer] > 1:  # all of them in the first half
            runs, first, last = work.step_runs, 0, work.step_count[0] * (1 - half)
        _gradients_of_runs(net, part, gradients, layer, runs, first, last)


@inner
def find_step_runs(net: Net, part: Part, piece: Piece, layer: int) -> None:
    """Fill work.step_runs with the runs of work.time_runs, over the piece's reach, at which a slow layer makes a step.

    For one thread; the others need a barrier.
    """
    sizes, work, found = net.sizes, net.work, 0
    parts, base = work.time_runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    for t in range(piece.end - piece.reach, piece.end):
        slot = t % sizes.capacity
        for run in range(slot * parts, (slot + 1) * parts):
            if any_step(net.window, layer, base + work.time_runs[run, 0], work.time_runs[run, 2]):
                for i in range(3):
                    work.step_runs[found, i] = work.time_runs[run, i]
                found += 1
    work.step_count[0] = found


@inner
def _gradients_of_runs(net, part, gradients, layer, runs, first, last):
    """Add to a layer's gradients what runs [first, last) give."""
    cell, sizes, window, work = net.cell, net.sizes, net.window, net.work
    if cell.recurrence != MATRIX:
        _weight_gradients(net, part, runs, gradients, layer, work.dx, False, True, first, last)
        if cell.recurrence == VECTOR:
            _own_state_gradient(sizes, part, window, work, runs, gradients, layer, first, last)
        elif cell.recurrence == PRODUCT:
            product_gradient(net, part, layer, runs, first, last, gradients)
    elif cell.separate or net.norm.block:
        _weight_gradients(net, part, runs, gradients, layer, work.ds, True, False, first, last)
        _weight_gradients(net, part, runs, gradients, layer, work.dx, False, True, first, last)
    else:
        _weight_gradients(net, part, runs, gradients, layer, work.dx, True, True, first, last)


@inner
def _weight_gradients(net, part, runs, gradients, layer, d, of_state, of_input, first, last):
    """Add what the errors d in runs [first, last) give for the state's weights and bias, and for the input's.

    d is read once, a panel of it at a time. A bias's panels are dealt out to the threads in turn. Without a matrix of the
    state, its bias learns what the input's does.
    """
    sizes, window, scratch = net.sizes, net.window, part.scratch
    biases, tied = not (net.norm.units or net.norm.block), net.cell.recurrence != MATRIX
    per_slice = sizes.capacity * sizes.streams
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
                    if owns and biases:
                        _sum_rows(scratch.right, k, panel, gradients.b_hh, layer, at)
                if of_input:
                    if layer > 0:
                        outer_products(scratch.below, hi - lo, scratch, panel, gradients.w_ih[layer - 1], lo, at)
                    elif part.slices > 1:
                        lo_character, hi_character = share(sizes.vocabulary, part.rank, part.ranks)
                        _to_characters(part, k, panel, gradients.embed, at, lo_character, hi_character)
                    elif owns:
                        # Some characters are much more frequent than others, but all panels are equal.
                        _to_characters(part, k, panel, gradients.embed, at, 0, sizes.vocabulary)
                    if owns and biases and of_state:
                        fill_part(gradients.b_ih, layer, at, gradients.b_hh, layer, at, panel)
                    elif owns and biases:
                        _sum_rows(scratch.right, k, panel, gradients.b_ih, layer, at)
                        if tied:
                            fill_part(gradients.b_hh, layer, at, gradients.b_ih, layer, at, panel)
        run, offset = skip_rows(runs, run, offset, k)


@inner
def _own_state_gradient(sizes, part, window, work, runs, gradients, layer, first, last):
    """Add what runs [first, last) give for each unit's weight of its own state; this thread's columns."""
    base, h = part.slice * sizes.capacity * sizes.streams, window.h_in[layer]
    lo, hi = own_columns(part, sizes.units)
    for gate in range(sizes.gates):
        column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for run in range(first, last):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi, LANES):
                    found = fma(load(work.ds, i, column + j), load(h, i, j), load(gradients.u, layer, at + j))
                    store(gradients.u, layer, at + j, found)


@inner
def _characters(x, from_row, runs, run, offset, last, target):
    """Copy the characters of the rows that copy_rows would copy."""
    k = 0
    while run < last and k < CHUNK:
        n = min(CHUNK - k, runs[run, 2] - offset)
        for i in range(n):
            target[k + i] = x[from_row + runs[run, 0] + offset + i]
        k += n
        offset = 0
        run += 1


@inner
def _to_characters(part, k, panel, embed, at, lo, hi):
    """Add each copied row to the columns from `at` on of its character's row, for characters [lo, hi)."""
    for i in range(k):
        character = part.scratch.characters[i]
        if lo <= character < hi:
            add_part(embed, character, at, part.scratch.right, 0, i * panel, panel)


@inner
def _sum_rows(copied, k, panel, bias, layer, at):
    """Add k copied rows to bias[layer, at : at + panel], two vectors at a time: their sums stay in registers."""
    for j in range(0, panel, 2 * LANES):
        other = min(j + LANES, panel - LANES)  # the same one again if a single one is left
        one, two = load(bias, layer, at + j), load(bias, layer, at + other)
        for i in range(k):
            one = one + load(copied, 0, i * panel + j)
            two = two + load(copied, 0, i * panel + other)
        store(bias, layer, at + j, one)
        store(bias, layer, at + other, two)
