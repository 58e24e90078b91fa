"""Matrix products in registers: a tile of the result stays there while all of k passes by.

Every number of a result is one chain of fused multiply-adds in the order of k, whatever the tile, the thread or the
piece of a ring buffer it was computed in. That is why results do not depend on how rows and columns are dealt out.

A right-hand matrix (K, N) is first packed into panels of PANEL columns, each panel contiguous (K, PANEL); the columns
left over make a last, narrower panel. The panel that begins at column j thus begins at j * K in the packed array.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import JIT, inner
from .simd import LANES, call, load, pointer, spread, store, transpose

_VECTORS = 4 if LANES == 16 else 2  # vectors side by side in a tile: 32 vector registers hold 6 x 4, 16 hold 6 x 2
_ROWS = 6  # rows of a tile, at most
PANEL = _VECTORS * LANES
CHUNK = 128  # rows of a gradient's sum whose panel stays in the first-level cache while tiles pass over it
BLOCK = 16  # columns of a gradient's left-hand side that are copied side by side

_PANELS = 4  # panels that a single row takes at once: the chains of one would wait for each other, and for memory

# The tiles there are, as (rows, vectors).
_SHAPES = [(rows, vectors) for vectors in range(1, _VECTORS + 1) for rows in range(1, _ROWS + 1)]
_SHAPES += [(1, panels * _VECTORS) for panels in (2, _PANELS)]


def _tile_plain(
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
    """c[row:row+rows, column:column+vectors*LANES] += sum over k of a's column k times b's row k.

    a, b, c: C-contiguous float32. k goes through runs[first:last] one after the other; a run is (in a, in b, length) and
    its length is not 0. Element (i, k) of the left-hand matrix is a.flat[start + i * row_stride + k_in_a * k_stride];
    row k of the right-hand one begins at b.flat[b_start + k_in_b * b_stride]. (rows, vectors) is one of _SHAPES; more
    than _VECTORS vectors go on in the next panel, which lies b_next further in b.
    """
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    steps = [(in_a + i, in_b + i) for in_a, in_b, length in runs[first:last].tolist() for i in range(length)]
    for v in range(vectors):
        at, left = b_start + v // _VECTORS * b_next + v % _VECTORS * LANES, column + v * LANES
        for in_a, in_b in steps:
            right = flat_b[at + in_b * b_stride :][:LANES]
            for i in range(rows):
                c[row + i, left : left + LANES] += flat_a[start + i * row_stride + in_a * k_stride] * right


@intrinsic
def _tile_compiled(
    typingctx, a, start, row_stride, k_stride, b, b_start, b_stride, b_next, c, row, column, runs, first, last, rows, vectors
):
    """_tile_plain, compiled: a jump to the loop of the tile's shape."""
    index = types.intp
    sig = types.void(a, index, index, index, b, index, index, index, c, index, index, runs, index, index, index, index)

    def codegen(context, builder, signature, args):
        rows, vectors = args[-2:]
        number = ir.Constant(rows.type, _ROWS + 1)
        after = builder.append_basic_block("tile.done")
        shape = builder.switch(builder.add(builder.mul(vectors, number), rows), after)
        for one in _SHAPES:
            block = builder.append_basic_block("tile")
            shape.add_case(ir.Constant(rows.type, one[1] * (_ROWS + 1) + one[0]), block)
            builder.position_at_end(block)
            _Tile(context, builder, signature, args, one).emit()
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return sig, codegen


class Scratch(NamedTuple):
    """A thread's memory for copied rows."""

    left: np.ndarray  # (1, CHUNK * (P or V, rounded up to BLOCK))
    below: np.ndarray  # (1, CHUNK * P)
    right: np.ndarray  # (1, CHUNK * PANEL)
    characters: np.ndarray  # (CHUNK,) int32
    run: np.ndarray  # (1, 3) int64: (0, 0, rows copied)


class _Tile:
    """Builds the IR of one tile: load the accumulators, loop over k with fused multiply-adds, store them."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any, shape: tuple[int, int]) -> None:
        self.builder = builder
        self.rows, self.vectors = shape
        self.cells = [(r, v) for r in range(self.rows) for v in range(self.vectors)]
        _, start, row_stride, self.k_stride, _, b_start, self.b_stride, b_next = args[:8]
        row, column, _, self.first, self.last = args[9:14]
        self.int = start.type
        left, right, self.runs = (context.make_array(sig.args[i])(context, builder, args[i]).data for i in (0, 4, 11))
        self.left = [
            builder.gep(left, [builder.add(start, builder.mul(row_stride, self._number(r)))]) for r in range(self.rows)
        ]
        panels = [
            builder.gep(right, [builder.add(b_start, builder.mul(b_next, self._number(i)))])
            for i in range(-(-self.vectors // _VECTORS))
        ]
        self.right = [(panels[v // _VECTORS], v % _VECTORS * LANES) for v in range(self.vectors)]
        self.result = [
            pointer(
                context,
                builder,
                sig.args[8],
                args[8],
                [builder.add(row, self._number(r)), builder.add(column, self._number(v * LANES))],
            )
            for r, v in self.cells
        ]

    def emit(self) -> None:
        builder = self.builder
        before = builder.block
        initial = [builder.load(address, align=4) for address in self.result]
        outer, inner_loop, next_run, done = (builder.append_basic_block(name) for name in ("run", "k", "run.done", "k.done"))
        builder.cbranch(builder.icmp_signed("<", self.first, self.last), outer, done)

        builder.position_at_end(outer)
        run = self._phi(self.int, (self.first, before))
        carried = [self._phi(value.type, (value, before)) for value in initial]
        in_a, in_b, length = self._run(run)
        builder.branch(inner_loop)

        builder.position_at_end(inner_loop)
        step = self._phi(self.int, (self._number(0), outer))
        sums = [self._phi(value.type, (value, outer)) for value in carried]
        updated = self._step(builder.add(in_a, step), builder.add(in_b, step), sums)
        following = builder.add(step, self._number(1))
        for phi, value in zip([step, *sums], [following, *updated], strict=True):
            phi.add_incoming(value, inner_loop)
        builder.cbranch(builder.icmp_signed("<", following, length), inner_loop, next_run)

        builder.position_at_end(next_run)
        following = builder.add(run, self._number(1))
        for phi, value in zip([run, *carried], [following, *updated], strict=True):
            phi.add_incoming(value, next_run)
        builder.cbranch(builder.icmp_signed("<", following, self.last), outer, done)

        builder.position_at_end(done)
        final = [self._phi(old.type, (old, before), (new, next_run)) for old, new in zip(initial, updated, strict=True)]
        for value, address in zip(final, self.result, strict=True):
            builder.store(value, address, align=4)

    def _number(self, value: int) -> Any:
        return ir.Constant(self.int, value)

    def _phi(self, kind: Any, *incoming: Any) -> Any:
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def _run(self, run: Any) -> list[Any]:
        """The three numbers of a run."""
        at = self.builder.mul(run, self._number(3))
        return [self.builder.load(self.builder.gep(self.runs, [self.builder.add(at, self._number(i))])) for i in range(3)]

    def _step(self, in_a: Any, in_b: Any, sums: list[Any]) -> list[Any]:
        """One k: every accumulator plus left[row] * right[vector]."""
        builder = self.builder
        at_left, at_right = builder.mul(in_a, self.k_stride), builder.mul(in_b, self.b_stride)
        vectors = [
            builder.load(
                builder.bitcast(
                    builder.gep(panel, [builder.add(at_right, self._number(offset))]), sums[0].type.as_pointer()
                ),
                align=4,
            )
            for panel, offset in self.right
        ]
        scalars = [spread(builder, builder.load(builder.gep(address, [at_left]))) for address in self.left]
        return [call(builder, "fma", scalars[r], vectors[v], total) for (r, v), total in zip(self.cells, sums, strict=True)]


_tile = _tile_compiled if JIT else _tile_plain


@inner
def _rows_of_tiles(a, start, row_stride, k_stride, b, b_start, b_stride, c, row, column, runs, first, last, n, vectors):
    """Tiles down n rows of one panel, as equal in height as they can be: 25 rows are 5 times 5, not 4 times 6 and 1."""
    i = 0
    for left in range(-(-n // _ROWS), 0, -1):
        rows = (n - i + left - 1) // left
        at = start + i * row_stride
        _tile(a, at, row_stride, k_stride, b, b_start, b_stride, 0, c, row + i, column, runs, first, last, rows, vectors)
        i += rows


@inner
def pack(matrix, at_column, units, stride, columns, packed, which, first, last):
    """Packs columns [first, last) of a part of matrix (K, N), which has `columns` columns, into packed[which].

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
                store(packed, which, at + k * width + j, load(matrix, k, source))
        column += width


@inner
def pack_transposed(matrix, at_row, columns, packed, which, first, last):
    """As pack, for the transpose of matrix[at_row : at_row + columns] (columns, K), K a multiple of LANES.

    Where matrix ends earlier, the columns that are missing are left as they are: zero.
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
                    transpose(matrix, row, k, packed, which, at + k * width + j, width)
            else:
                for i in range(row, n):
                    for k in range(k_size):
                        packed[which, at + k * width + j + i - row] = matrix[i, k]
        column += width


@inner
def product(a, a_row, runs, packed, which, columns, c, c_row, c_column, n):
    """c[c_row : c_row + n, c_column : c_column + columns] += left-hand rows @ b, with b (K, columns) = packed[which].

    Row i of the left-hand matrix begins at a[a_row + i, 0] and is collected from there by `runs`: see `_tile`.
    """
    width, k_size, b = a.shape[1], packed.shape[1] // columns, which * packed.shape[1]
    column = 0
    if n == 1:
        for panels in (_PANELS, 2):
            while column + panels * PANEL <= columns:
                _tile(
                    a,
                    a_row * width,
                    width,
                    1,
                    packed,
                    b + column * k_size,
                    PANEL,
                    k_size * PANEL,
                    c,
                    c_row,
                    c_column + column,
                    runs,
                    0,
                    runs.shape[0],
                    1,
                    panels * _VECTORS,
                )
                column += panels * PANEL
    while column < columns:
        panel = min(PANEL, columns - column)
        _rows_of_tiles(
            a,
            a_row * width,
            width,
            1,
            packed,
            b + column * k_size,
            panel,
            c,
            c_row,
            c_column + column,
            runs,
            0,
            runs.shape[0],
            n,
            panel // LANES,
        )
        column += panel


# A weight's gradient is a sum of outer products over the rows of all steps and streams. Both sides are first copied,
# CHUNK rows at a time, to where they lie close together: rows that are a power of two apart would share a few places of
# the first-level cache. The right-hand panel stays there while all tiles of the gradient pass over it.


@inner
def copy_rows(source, from_row, from_column, columns, runs, side, run, offset, last, target, width):
    """Copies at most CHUNK rows, from `offset` in runs[run] on, as blocks (CHUNK, width) one after the other.

    Returns how many rows; of each `columns` numbers from from_column on, rounded up to a whole block. side: whether rows
    are a's (0) or b's (1) of the runs; they count from from_row on.
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
        k += n
        offset = 0
        run += 1
    return k


@inner
def skip_rows(runs, run, offset, k):
    """The place (run, offset) that lies k rows behind another."""
    while k >= runs[run, 2] - offset:
        k -= runs[run, 2] - offset
        offset = 0
        run += 1
        if k == 0:
            break
    return run, offset + k


@inner
def outer_products(left, rows, scratch, panel, c, c_row, c_column):
    """c[c_row : c_row + rows, c_column : c_column + panel] += left.T @ scratch.right, over scratch.run[0, 2] rows."""
    for row in range(0, rows, BLOCK):
        _rows_of_tiles(
            left,
            row * CHUNK,
            1,
            BLOCK,
            scratch.right,
            0,
            panel,
            c,
            c_row + row,
            c_column,
            scratch.run,
            0,
            1,
            min(BLOCK, rows - row),
            panel // LANES,
        )
