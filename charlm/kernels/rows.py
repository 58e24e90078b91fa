"""Rows of a thread: where they lie, and how they are copied, cleared and added."""

import numpy as np

from .buffers import Net, StepRows, Window
from .jit import inner
from .parallel import Part
from .simd import LANES, load, splat, store
from .steps import span


@inner
def fill_row(array: np.ndarray, row: int, source: np.ndarray, source_row: int) -> None:
    """Set array[row] = source[source_row], as wide as the array."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(source, source_row, j))


@inner
def clear_row(array: np.ndarray, row: int) -> None:
    """Set array[row] = 0."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, splat(0.0))


@inner
def scale_row(array: np.ndarray, row: int, factor: float) -> None:
    """Multiply array[row] by factor."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(array, row, j) * factor)


@inner
def fill_part(array: np.ndarray, row: int, column: int, source: np.ndarray, source_row: int, at: int, n: int) -> None:
    """Set array[row, column : column + n] = source[source_row, at : at + n]."""
    for j in range(0, n, LANES):
        store(array, row, column + j, load(source, source_row, at + j))


@inner
def add_part(array: np.ndarray, row: int, column: int, source: np.ndarray, source_row: int, at: int, n: int) -> None:
    """Add source[source_row, at : at + n] to array[row, column : column + n]."""
    for j in range(0, n, LANES):
        store(array, row, column + j, load(array, row, column + j) + load(source, source_row, at + j))


@inner
def step_rows(window: Window, layer: int, row: int) -> StepRows:
    """Return one stream's rows of a step."""
    z, extra = span(window.z[layer], row, row + 1), span(window.extra[layer], row, row + 1)
    return StepRows(z, extra, span(window.h_in[layer], row, row + 1), span(window.h[layer], row, row + 1))


@inner
def common_row(part: Part, capacity: int, slot: int) -> int:
    """Return the row of the part's first stream at a slot of a ring of `capacity` steps, in arrays that are not sliced.

    In sliced arrays it is the row in the first slice, where a product's left-hand side begins.
    """
    return capacity * part.lo + slot * part.n


@inner
def sliced_row(part: Part, capacity: int, slot: int) -> int:
    """Return the same row in the part's own slice, for arrays that are sliced."""
    return capacity * part.base + slot * part.n


@inner
def state_sums(net: Net, part: Part, layer: int, row: int) -> np.ndarray:
    """Return what the state's part of a step's gates is added to: z, or sums that are normalised first.

    Where the two parts are normalised apart, it begins at 0. row: of the step, in the part's own slice.
    """
    if net.norm.apart:
        for i in range(row, row + part.n):
            clear_row(net.window.sums_h[layer], i)
        return net.window.sums_h[layer]
    return net.window.sums[layer] if net.norm.units else net.window.z[layer]


@inner
def any_step(window: Window, layer: int, row: int, n: int) -> bool:
    """Return whether one of the streams makes a step of a layer, n rows from a row of the part's own slice on."""
    found = False
    for i in range(row, row + n):
        found = found or window.steps[layer, i] > 0
    return found


@inner
def piece_of_ring(end: int, n: int, capacity: int, piece: int) -> tuple[int, int]:
    """Divide the newest n steps before `end` into two runs of slots, older first; return run `piece` as (slot, length)."""
    first = (end - n) % capacity
    length = min(n, capacity - first)
    return (first, length) if piece == 0 else (0, n - length)
