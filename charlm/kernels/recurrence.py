"""One layer through time: the loop over steps, forward and back, written once for all cells.

A thread computes its Part. Threads that share streams meet once a step, when the state that enters it (or the error
that leaves it) is complete.
"""

import numpy as np

from .buffers import CellSteps, Packed, Sizes, State, Weights, Window, Workspace
from .jit import inner
from .matmul import product
from .parallel import Part, meet
from .simd import LANES, load, splat, store, total
from .steps import call, span

_ROWS = 60  # rows of z that are begun and then multiplied into while they are still in the second-level cache


@inner
def fill_row(array: np.ndarray, row: int, source: np.ndarray, source_row: int) -> None:
    """array[row] = source[source_row], as wide as the array."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(source, source_row, j))


@inner
def clear_row(array: np.ndarray, row: int) -> None:
    """array[row] = 0."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, splat(0.0))


@inner
def scale_row(array: np.ndarray, row: int, factor: float) -> None:
    """array[row] *= factor."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(array, row, j) * factor)


@inner
def fill_part(array: np.ndarray, row: int, column: int, source: np.ndarray, source_row: int, at: int, n: int) -> None:
    """array[row, column : column + n] = source[source_row, at : at + n]."""
    for j in range(0, n, LANES):
        store(array, row, column + j, load(source, source_row, at + j))


@inner
def add_part(array: np.ndarray, row: int, column: int, source: np.ndarray, source_row: int, at: int, n: int) -> None:
    """array[row, column : column + n] += source[source_row, at : at + n]."""
    for j in range(0, n, LANES):
        store(array, row, column + j, load(array, row, column + j) + load(source, source_row, at + j))


@inner
def common_row(part: Part, capacity: int, slot: int) -> int:
    """The row of the part's first stream at a slot of a ring of `capacity` steps, in arrays that are not sliced.

    In sliced arrays it is the row in the first slice, where a product's left-hand side begins.
    """
    return capacity * part.lo + slot * part.n


@inner
def sliced_row(part: Part, capacity: int, slot: int) -> int:
    """The same in the part's own slice."""
    return capacity * part.base + slot * part.n


@inner
def input_part(
    cell: CellSteps,
    sizes: Sizes,
    part: Part,
    weights: Weights,
    packed: Packed,
    window: Window,
    work: Workspace,
    layer: int,
    slot: int,
    steps: int,
) -> None:
    """z = the biases and the input's part of the gates, for all steps of a block at once.

    The state's bias is left out where the cell sees the state's part on its own. The input of layer 0 is one-hot, so
    its part is the character's row of `embed`; no product is made.
    """
    row = sliced_row(part, sizes.capacity, slot)
    for done in range(0, steps * part.n, _ROWS):
        n = min(_ROWS, steps * part.n - done)
        _add_biases(cell, sizes, part, weights, window, layer, row + done, n)
        if layer > 0:
            product(
                window.passed[layer - 1],
                common_row(part, sizes.capacity, slot) + done,
                work.h_runs,
                packed.w_ih,
                (layer - 1) * part.slices + part.slice,
                window.z.shape[2],
                window.z[layer],
                row + done,
                0,
                n,
            )


@inner
def _add_biases(cell, sizes, part, weights, window, layer, row, n):
    """Sets n rows of z to the biases and, in layer 0, the characters' rows."""
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
def forward_layer(
    cell: CellSteps,
    sizes: Sizes,
    part: Part,
    weights: Weights,
    packed: Packed,
    window: Window,
    state: State,
    work: Workspace,
    layer: int,
    slot: int,
    steps: int,
) -> None:
    """Runs one layer over the block at [slot, slot + steps), from and to `state`."""
    z, extra, h_in, h = window.z[layer], window.extra[layer], window.h_in[layer], window.h[layer]
    units, at = sizes.units, sliced_row(part, sizes.layers, layer)
    # The state's part of the gates is added to z, or kept apart where the cell needs it so.
    into = work.recurrent if cell.separate else z
    for t in range(slot, slot + steps):
        row = sliced_row(part, sizes.capacity, t)
        for s in range(part.n):
            if window.reset[row + s]:
                clear_row(state.h, at + s)
                clear_row(state.c, at + s)
            fill_row(h_in, row + s, state.h, at + s)
        meet(part)
        if cell.separate:
            for gate in range(sizes.gates):
                for s in range(part.base, part.base + part.n):
                    from_column = gate * sizes.padded + part.slice * units
                    fill_part(work.recurrent, s, gate * units, weights.b_hh, layer, from_column, units)
        product(
            h_in,
            common_row(part, sizes.capacity, t),
            work.h_runs,
            packed.w_hh,
            layer * part.slices + part.slice,
            z.shape[1],
            into,
            part.base if cell.separate else row,
            0,
            part.n,
        )
        for s in range(part.n):
            if window.y[row + s] < 0:  # the stream has ended a step before the others: it waits
                fill_row(h, row + s, h_in, row + s)
                clear_row(z, row + s)
                clear_row(extra, row + s)
            else:
                _step_forward(cell, units, z, extra, h_in, h, row + s, work.recurrent, part.base + s, state.c, at + s)
                fill_row(state.h, at + s, h, row + s)


@inner
def _step_forward(cell, units, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    """One step of one stream: see steps.compile_cell."""
    call(
        cell.forward,
        (
            units,
            span(z, row, row + 1),
            span(extra, row, row + 1),
            span(h_in, row, row + 1),
            span(h, row, row + 1),
            span(recurrent, recurrent_row, recurrent_row + 1),
            span(c, stream, stream + 1),
        ),
    )


@inner
def _step_backward(cell, units, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    """The same step backwards: see steps.compile_cell."""
    call(
        cell.backward,
        (
            units,
            span(z, row, row + 1),
            span(extra, row, row + 1),
            span(h_in, row, row + 1),
            span(h, row, row + 1),
            span(dh, stream, stream + 1),
            span(dc, stream, stream + 1),
            span(dz, row, row + 1),
            span(dz_h, row, row + 1),
        ),
    )


@inner
def backward_layer(
    cell: CellSteps,
    sizes: Sizes,
    part: Part,
    packed: Packed,
    window: Window,
    work: Workspace,
    layer: int,
    end: int,
    reach: int,
    arrives: bool,
    leaves: bool,
    lags: np.ndarray,
) -> None:
    """Runs one layer backwards from step `end` of the ring over `reach` steps: work.dy -> work.dz, work.dz_h.

    The linear-time recursion: each step adds its own error to what arrives from the step after it, times the link's
    factor. What would flow to the step before the window, or before a reset, is dropped. `arrives`: work.dh and work.dc
    hold what comes from later steps. `leaves`: they shall hold what goes to earlier ones. lags: see UpdateStats.
    """
    z, extra, h_in, h = window.z[layer], window.extra[layer], window.h_in[layer], window.h[layer]
    dh, dc, units, at = work.dh, work.dc, sizes.units, sliced_row(part, sizes.layers, layer)
    if not arrives:
        for s in range(at, at + part.n):
            clear_row(dh, s)
            clear_row(dc, s)
    for t in range(end - 1, end - reach - 1, -1):
        slot = t % sizes.capacity
        row = sliced_row(part, sizes.capacity, slot)
        for s in range(part.n):
            add_part(dh, at + s, 0, work.dy, row + s, 0, units)
            if lags.shape[0] > 0:
                lags[layer, 0, part.slice, part.lo + s, end - 1 - t] = _squares(dh, at + s)
                lags[layer, 1, part.slice, part.lo + s, end - 1 - t] = _squares(dc, at + s)
            _step_backward(cell, units, z, extra, h_in, h, row + s, dh, dc, at + s, work.dz, work.dz_h)
        if t == end - reach and not leaves:
            return
        meet(part)
        product(
            work.dz_h,
            common_row(part, sizes.capacity, slot),
            work.dz_runs,
            packed.w_hh_t,
            layer * part.slices + part.slice,
            units,
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
def _squares(array: np.ndarray, row: int) -> float:
    """The sum of squares of a row."""
    squares = splat(0.0)
    for j in range(0, array.shape[1], LANES):
        value = load(array, row, j)
        squares = squares + value * value
    return total(squares)


@inner
def error_below(
    sizes: Sizes, part: Part, packed: Packed, work: Workspace, layer: int, slot: int, steps: int, residual: int
) -> None:
    """Turns work.error of this layer into that of the layer below, for `steps` slots: from work.dz, and residually."""
    row = sliced_row(part, sizes.capacity, slot)
    if not residual:
        for i in range(row, row + steps * part.n):
            clear_row(work.error, i)
    product(
        work.dz,
        common_row(part, sizes.capacity, slot),
        work.dz_runs,
        packed.w_ih_t,
        (layer - 1) * part.slices + part.slice,
        sizes.units,
        work.error,
        row,
        0,
        steps * part.n,
    )
