"""One layer forward through time: the loop over steps, written once for all cells.

A thread computes its Part. Threads that share streams meet once a step, when the state that enters it (or the error
that leaves it) is complete.
"""

from .block_norm import norm_block
from .buffers import MATRIX, PRODUCT, VECTOR, Net, State
from .cell_norm import norm_step, show_memory
from .halves import product_of_either
from .jit import inner
from .multiplicative import multiply_state
from .parallel import Part, meet
from .rows import any_step, clear_row, common_row, fill_part, fill_row, sliced_row, state_sums, step_rows
from .simd import LANES, fma, load, store
from .steps import call, span

_ROWS = 60  # rows of z that are begun and then multiplied into while they are still in the second-level cache


@inner
def mark_steps(net: Net, part: Part, layer: int, slot: int, steps: int) -> None:
    """Fill window.steps for a block: a layer steps when its clock strikes, as long as the stream goes on."""
    window, row = net.window, sliced_row(part, net.sizes.capacity, slot)
    clock = net.clocks[layer]
    for i in range(row, row + steps * part.n):
        waits = clock > 1 and window.since[i] % clock > 0
        window.steps[layer, i] = 0 if waits or window.y[i] < 0 else 1


@inner
def input_part(net: Net, part: Part, layer: int, slot: int, steps: int) -> None:
    """Set z to the biases and the input's part of the gates, for all steps of a block at once.

    If the sums are normalised, they go without biases to window.sums; the norm of a block makes z of them at once. The
    state's bias is left out if the cell sees the state's part on its own. The input of layer 0 is one-hot, so
    its part is the character's row of `embed`; no product is made.
    """
    sizes, window = net.sizes, net.window
    row, slow = sliced_row(part, sizes.capacity, slot), net.clocks[layer] > 1
    at_once = part.n if slow else _ROWS
    for done in range(0, steps * part.n, at_once):
        n = min(at_once, steps * part.n - done)
        if slow and not any_step(window, layer, row + done, n):
            continue
        if net.norm.units or net.norm.block:
            _characters_rows(sizes, part, net.weights, window, layer, row + done, n)
        else:
            _add_biases(net.cell, sizes, part, net.weights, window, layer, row + done, n)
        if layer > 0:
            product_of_either(
                net.halves,
                window.passed[layer - 1],
                common_row(part, sizes.capacity, slot) + done,
                net.work.h_runs,
                net.packed.w_ih,
                (layer - 1) * part.slices + part.slice,
                window.z.shape[2],
                window.sums[layer],
                row + done,
                0,
                n,
            )
    if net.norm.block:
        norm_block(net, part, layer, slot, steps)


@inner
def _add_biases(cell, sizes, part, weights, window, layer, row, n):
    """Set n rows of z to the biases and, in layer 0, the characters' rows."""
    z, units = window.z[layer], sizes.units
    for i in range(row, row + n):
        for gate in range(sizes.gates):
            to, at = gate * units, gate * sizes.padded + part.slice * units
            for j in range(0, units, LANES):
                value = load(weights.b_ih, layer, at + j)
                if not cell.separate:
                    value = value + load(weights.b_hh, layer, at + j)
                if layer == 0:
                    value = value + load(weights.embed, window.x[i], at + j)
                store(z, i, to + j, value)


@inner
def _characters_rows(sizes, part, weights, window, layer, row, n):
    """Set n rows of sums to zero, or in layer 0 to the characters' rows."""
    for i in range(row, row + n):
        clear_row(window.sums[layer], i)
        for gate in range(sizes.gates if layer == 0 else 0):
            at = gate * sizes.padded + part.slice * sizes.units
            fill_part(window.sums[layer], i, gate * sizes.units, weights.embed, window.x[i], at, sizes.units)


@inner
def forward_layer(net: Net, part: Part, state: State, which: int, layer: int, slot: int, steps: int) -> None:
    """Run one layer over the block at [slot, slot + steps), from and to state[which]."""
    cell, sizes, window, recurrent = net.cell, net.sizes, net.window, net.work.recurrent
    h_in, h = window.h_in[layer], window.h[layer]
    state_h, state_c = state.h[which], state.c[which]
    at, stepped = sliced_row(part, sizes.layers, layer), window.steps[layer]
    slow, recurrence, rows, memory = net.clocks[layer] > 1, cell.recurrence, net.norm.units, net.norm.memory
    for t in range(slot, slot + steps):
        row = sliced_row(part, sizes.capacity, t)
        for s in range(part.n):
            if window.reset[row + s]:
                clear_row(state_h, at + s)
                clear_row(state_c, at + s)
            fill_row(h_in, row + s, state_h, at + s)
        if slow and not any_step(window, layer, row, part.n):  # all wait
            for s in range(part.n):
                fill_row(h, row + s, h_in, row + s)
            continue
        if recurrence == VECTOR:
            _own_state(net, part, layer, row)
        elif recurrence == PRODUCT:
            meet(part)
            multiply_state(net, part, layer, t)
        elif recurrence == MATRIX:
            meet(part)
            _state_part(net, part, layer, t, row)
        if rows:
            norm_step(net, part, layer, t)
        for s in range(part.n):
            if not stepped[row + s]:  # it waits
                fill_row(h, row + s, h_in, row + s)
            else:
                _step_forward(cell, sizes, window, layer, row + s, recurrent, part.base + s, state_c, at + s)
                if memory:
                    fill_row(window.memory[layer], row + s, state_c, at + s)
                else:
                    fill_row(state_h, at + s, h, row + s)
        if memory:
            show_memory(net, part, layer, t)
            for s in range(part.n):
                if stepped[row + s]:
                    fill_row(state_h, at + s, h, row + s)


@inner
def _own_state(net, part, layer, row):
    """Add each unit's own state, times its weight, to the sums of its gates."""
    sizes, window = net.sizes, net.window
    to, h = state_sums(net, part, layer, row), window.h_in[layer]
    for gate in range(sizes.gates):
        column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for i in range(row, row + part.n):
            for j in range(0, sizes.units, LANES):
                store(to, i, column + j, fma(load(net.weights.u, layer, at + j), load(h, i, j), load(to, i, column + j)))


@inner
def _state_part(net, part, layer, slot, row):
    """Add the state's part of the gates to z, or set work.recurrent to it for a cell that sees it on its own.

    If it is normalised at each step, it goes without bias to window.sums or window.sums_h.
    """
    sizes, window, work = net.sizes, net.window, net.work
    z, first = state_sums(net, part, layer, row), row
    if net.cell.separate and not net.norm.units:
        z, first = work.recurrent, part.base
        for gate in range(sizes.gates):
            for s in range(part.base, part.base + part.n):
                from_column = gate * sizes.padded + part.slice * sizes.units
                fill_part(work.recurrent, s, gate * sizes.units, net.weights.b_hh, layer, from_column, sizes.units)
    product_of_either(
        net.halves,
        window.h_in[layer],
        common_row(part, sizes.capacity, slot),
        work.h_runs,
        net.packed.w_hh,
        layer * part.slices + part.slice,
        z.shape[1],
        z,
        first,
        0,
        part.n,
    )


@inner
def _step_forward(cell, sizes, window, layer, row, recurrent, recurrent_row, c, stream):
    """Make one step of one stream: see steps.compile_cell."""
    call(
        cell.forward,
        (
            sizes.units,
            step_rows(window, layer, row),
            span(recurrent, recurrent_row, recurrent_row + 1),
            span(c, stream, stream + 1),
        ),
    )
