"""The tile that all matrix products are made of: a part of the result stays in registers while all of k passes by.

Every number of a result is one chain of fused multiply-adds in the order of k, whatever the tile, the thread or the
piece of a ring buffer it was computed in. That is why results do not depend on how rows and columns are dealt out.
"""

from typing import Any

import numpy as np

from .jit import LANES, REGISTERS

# The largest tile that the registers hold beside the VECTORS of the right-hand side. Of the left-hand side x86 multiplies by
# a number in memory; on arm64 two registers take turns.
#
#   registers             rows x vectors   for sums, right, left
#   32 (AVX-512, arm64)   6 x 4            24 + 4 + 2
#   16 (AVX2)             6 x 2            12 + 2
VECTORS = REGISTERS // 8
ROWS = 6
PANEL = VECTORS * LANES
# Panels that a single row takes at once: one vector's chain would wait for itself, four cycles for each of its steps.
PANELS = 4 if REGISTERS == 32 else 6


# The tiles there are, as (rows, vectors).
SHAPES = [(rows, vectors) for vectors in range(1, VECTORS + 1) for rows in range(1, ROWS + 1)]
SHAPES += [(1, vectors) for vectors in range(VECTORS + 1, PANELS * VECTORS + 1)]


def tile(
    a: Any,
    start: int,
    row_stride: int,
    k_stride: int,
    b: Any,
    b_start: int,
    b_stride: int,
    b_next: int,
    c: Any,
    row: int,
    column: int,
    runs: Any,
    first: int,
    last: int,
    rows: int,
    vectors: int,
) -> None:
    """Add to c[row:row+rows, column:column+vectors*LANES] the sum over k of a's column k times b's row k.

    a, b, c: C-contiguous float32. k goes through runs[first:last] one after the other; a run is (in a, in b, length) and
    its length is not 0. Element (i, k) of the left-hand matrix is a.flat[start + i * row_stride + k_in_a * k_stride];
    row k of the right-hand one begins at b.flat[b_start + k_in_b * b_stride]. (rows, vectors) is one of SHAPES; more
    than VECTORS vectors go on in the next panel, which lies b_next further in b.
    """
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    steps = [(in_a + i, in_b + i) for in_a, in_b, length in runs[first:last].tolist() for i in range(length)]
    for v in range(vectors):
        at, left = b_start + v // VECTORS * b_next + v % VECTORS * LANES, column + v * LANES
        for in_a, in_b in steps:
            right = flat_b[at + in_b * b_stride :][:LANES]
            for i in range(rows):
                c[row + i, left : left + LANES] += flat_a[start + i * row_stride + in_a * k_stride] * right


def tile_of_halves(
    a: Any,
    start: int,
    row_stride: int,
    k_stride: int,
    b: Any,
    b_start: int,
    b_stride: int,
    b_next: int,
    c: Any,
    row: int,
    column: int,
    runs: Any,
    first: int,
    last: int,
    rows: int,
    vectors: int,
) -> None:
    """Do the same with a right-hand matrix of bfloat16 numbers in pairs: see halves.py. Its offsets count words."""
    words = b.reshape(-1, LANES).view(np.uint32)
    whole = np.stack([words << np.uint32(16), words & np.uint32(0xFFFF0000)], axis=1).view(np.float32)
    right = whole, 2 * b_start, 2 * b_stride, 2 * b_next
    tile(a, start, row_stride, k_stride, *right, c, row, column, runs, first, last, rows, vectors)
