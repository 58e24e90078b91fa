"""Matrices that are only read, as bfloat16: two numbers in the place of one, so that half as much passes through the caches.

bfloat16 is the upper half of a float32. A matrix whose numbers have been rounded to it loses nothing here: products are the
same bits as those of the rounded matrix in float32. Sums, states and biases stay float32.
"""

import numpy as np

from .jit import inner, kernel_on_demand
from .matmul import columns_at_once, in_panels, product
from .records import Array2
from .simd import LANES, load, pair, store
from .tile import PANEL, ROWS, tile_of_halves

WORDS = PANEL // 2  # of a row of a panel


@kernel_on_demand
def halve(packed: Array2[np.float32], which: int, k_size: int, columns: int, first: int, last: int) -> None:
    """Turn columns [first, last) of packed[which], a packed matrix (K, columns), into pairs. Panels begin where they did.

    A word has a number of the vector to the left in its lower half, and of that to the right in its upper half.
    """
    column = first
    while column < last:
        width = min(PANEL, columns - column)
        for k in range(k_size):
            source, target = column * k_size + k * PANEL, column * k_size + k * WORDS
            for j in range(0, width, 2 * LANES):
                left = load(packed, which, source + j)
                right = load(packed, which, source + j + LANES) if j + LANES < width else left
                store(packed, which, target + j // 2, pair(left, right))
        column += width


@kernel_on_demand
def product_of_halves(
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
    """Do the same as `product` with a matrix of pairs."""
    width, k_size, b = a.shape[1], packed.shape[1] // in_panels(columns), which * packed.shape[1]
    last, column = runs.shape[0], 0
    while column < columns:
        width_now = columns_at_once(n, column, columns)
        vectors = width_now // LANES
        at, to, apart = b + column * k_size, c_column + column, k_size * PANEL
        i = 0
        for left in range(-(-n // ROWS), 0, -1):
            rows, start = (n - i + left - 1) // left, (a_row + i) * width
            tile_of_halves(a, start, width, 1, packed, at, WORDS, apart, c, c_row + i, to, runs, 0, last, rows, vectors)
            i += rows
        column += width_now


@inner
def product_of_either(
    halves: int,
    a: np.ndarray,
    a_row: int,
    runs: np.ndarray,
    packed: np.ndarray,
    which: int,
    columns: int,
    c: np.ndarray,
    c_row: int,
    c_column: int,
    n: int,
) -> None:
    """Do the same as `product` with a matrix of float32 numbers, or if halves is 1 of pairs."""
    if halves:
        product_of_halves(a, a_row, runs, packed, which, columns, c, c_row, c_column, n)
    else:
        product(a, a_row, runs, packed, which, columns, c, c_row, c_column, n)
