"""Matrix products, of whole matrices and of gradients, made of tiles.

A right-hand matrix (K, N) is first packed into panels of PANEL columns, each panel contiguous (K, PANEL); of the last one
only the columns that are left over are used. The panel that begins at column j begins at j * K in the packed array.
"""

from typing import NamedTuple

import numpy as np

from .jit import inner, kernel
from .records import Array1, Array2
from .simd import LANES, load, prefetch, store, transpose
from .tile import PANEL, PANELS, ROWS, tile

CHUNK = 128  # rows of a gradient's sum whose panel stays in the first-level cache while tiles pass over it
BLOCK = 16  # columns of a gradient's left-hand side that are copied side by side


class Scratch(NamedTuple):
    """A thread's memory for copied rows."""

    left: Array2[np.float32]  # (1, CHUNK * (P or V, rounded up to BLOCK))
    below: Array2[np.float32]  # (1, CHUNK * P)
    right: Array2[np.float32]  # (1, CHUNK * PANEL)
    characters: Array1[np.int32]  # (CHUNK,)
    run: Array2[np.int64]  # (1, 3): (0, 0, rows copied)


@inner
def _rows_of_tiles(
    a, start, row_stride, k_stride, b, b_start, b_stride, b_next, c, row, column, runs, first, last, n, vectors
):
    """Make tiles down n rows, as equal in height as possible: 25 rows are 5 times 5, not 4 times 6 and 1.

    They are as wide as `vectors`: a panel at most, or more if n is 1. For the rest see tile.py.
    """
    i = 0
    for left in range(-(-n // ROWS), 0, -1):
        rows = (n - i + left - 1) // left
        at = start + i * row_stride
        tile(a, at, row_stride, k_stride, b, b_start, b_stride, b_next, c, row + i, column, runs, first, last, rows, vectors)
        i += rows


@inner
def in_panels(columns: int) -> int:
    """Return columns rounded up to whole panels."""
    return -(-columns // PANEL) * PANEL


@inner
def pack(matrix, at_column, units, stride, columns, packed, which, first, last):
    """Pack columns [first, last) of a part of matrix (K, N), which has `columns` columns, into packed[which].

    The part is made of groups of `units` columns, the first at at_column, each `stride` further than the one before.
    first and last: multiples of PANEL, or the end.
    """
    k_size = matrix.shape[0]
    column = first
    while column < last:
        width = min(PANEL, columns - column)
        at = column * k_size
        for j in range(0, width, LANES):
            source = at_column + (column + j) // units * stride + (column + j) % units
            for k in range(k_size):
                store(packed, which, at + k * PANEL + j, load(matrix, k, source))
        column += width


@inner
def pack_transposed(matrix, at_row, columns, packed, which, first, last):
    """Pack columns of the transpose of matrix[at_row : at_row + columns] (columns, K), K a multiple of LANES.

    See `pack`. If the matrix ends earlier, the missing columns are left as they are: zero.
    """
    n, k_size = matrix.shape
    column = first
    while column < last:
        width = min(PANEL, columns - column)
        at = column * k_size
        for j in range(0, width, LANES):
            row = at_row + column + j
            if row + LANES <= n:
                for k in range(0, k_size, LANES):
                    transpose(matrix, row, k, packed, which, at + k * PANEL + j, PANEL)
            else:
                for i in range(row, n):
                    for k in range(k_size):
                        packed[which, at + k * PANEL + j + i - row] = matrix[i, k]
        column += width


@inner
def columns_at_once(n, column, columns):
    """Return how many columns of n rows are made at once: a panel or what is left; of one row several, in equal parts."""
    panels = in_panels(columns - column) // PANEL
    at_once = -(-panels // -(-panels // PANELS)) if n == 1 else 1
    return min(at_once * PANEL, columns - column)


@kernel
def product(
    a: Array2[np.float32],
    a_row: int,
    runs: Array2[np.int64],
    packed: Array2[np.float32],
    which: int,
    columns: int,
    c: Array2[np.float32],
    c_row: int,
    c_column: int,
    n: int,
) -> None:
    """Add left-hand rows @ b to c[c_row : c_row + n, c_column : c_column + columns], with b (K, columns) = packed[which].

    Row i of the left-hand matrix begins at a[a_row + i, 0] and is collected from there by `runs`: see tile.py.
    """
    width, k_size, b = a.shape[1], packed.shape[1] // in_panels(columns), which * packed.shape[1]
    begin, last, column = a_row * width, runs.shape[0], 0
    while column < columns:
        width_now = columns_at_once(n, column, columns)
        at, to, apart, vectors = b + column * k_size, c_column + column, k_size * PANEL, width_now // LANES
        _rows_of_tiles(a, begin, width, 1, packed, at, PANEL, apart, c, c_row, to, runs, 0, last, n, vectors)
        column += width_now


# A weight's gradient is a sum of outer products over the rows of all steps and streams. Both sides are first copied,
# CHUNK rows at a time, to where they lie close together: rows that are a power of two apart would share a few places of
# the first-level cache. The right-hand panel stays there while all tiles of the gradient pass over it.


@inner
def copy_rows(source, from_row, from_column, columns, runs, side, run, offset, last, target, width):
    """Copy at most CHUNK rows, from `offset` in runs[run] on, as blocks (CHUNK, width) one after the other.

    Of each row `columns` numbers from from_column on are copied, rounded up to a whole block. side: whether rows are a's (0)
    or b's (1) of the runs; they count from from_row on. Returns the number of rows.
    """
    k = 0
    while run < last and k < CHUNK:
        n = min(CHUNK - k, runs[run, 2] - offset)
        row = from_row + runs[run, side] + offset
        for block in range(0, columns, width):
            for i in range(n):
                for j in range(0, width, LANES):
                    at = block * CHUNK + (k + i) * width + j
                    store(target, 0, at, load(source, row + i, from_column + block + j))
                    if side == 1:
                        prefetch(source, row + i, from_column + block + j + width)
        k += n
        offset = 0
        run += 1
    return k


@inner
def skip_rows(runs, run, offset, k):
    """Return the place (run, offset) that lies k rows behind another."""
    while k >= runs[run, 2] - offset:
        k -= runs[run, 2] - offset
        offset = 0
        run += 1
        if k == 0:
            break
    return run, offset + k


@kernel
def outer_products(
    left: Array2[np.float32], rows: int, scratch: Scratch, panel: int, c: Array2[np.float32], c_row: int, c_column: int
) -> None:
    """Add left.T @ scratch.right, over scratch.run[0, 2] rows, to c[c_row : c_row + rows, c_column : c_column + panel]."""
    b, run = scratch.right, scratch.run
    for row in range(0, rows, BLOCK):
        n, vectors = min(BLOCK, rows - row), panel // LANES
        _rows_of_tiles(left, row * CHUNK, 1, BLOCK, b, 0, panel, 0, c, c_row + row, c_column, run, 0, 1, n, vectors)
