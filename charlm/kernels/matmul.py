"""Matrix products in registers: a tile of the result stays there while all of k passes by.

Every number of a result is one chain of fused multiply-adds in the order of k, whatever the tile, the thread or the
piece of a ring buffer it was computed in. That is why results do not depend on how rows are dealt out.

A right-hand matrix is first packed into panels of PANEL columns, each panel contiguous (K, PANEL); columns left over
go into panels of LANES columns. The panel that begins at column j thus begins at j * K in the packed array.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import JIT, inner
from .lanes import LANES, call, load, pointer, spread, store

_VECTORS = 4 if LANES == 16 else 2  # vectors side by side in a tile: 32 vector registers hold 6 x 4, 16 hold 6 x 2
_ROWS = 6  # rows of a tile
PANEL = _VECTORS * LANES
_CHUNK = 256  # rows of the right-hand side that stay in the second-level cache while a gradient's tiles pass over them


def _tile_plain(
    a: Any, start: int, row_stride: int, k_stride: int, b: Any, b_start: int, b_stride: int,
    c: Any, row: int, column: int, k: int, rows: int, vectors: int,
) -> None:  # fmt: skip
    flat_a, flat_b = a.reshape(-1), b.reshape(-1)
    for step in range(k):
        right = flat_b[b_start + step * b_stride :][: vectors * LANES]
        for i in range(rows):
            c[row + i, column : column + vectors * LANES] += flat_a[start + i * row_stride + step * k_stride] * right


@intrinsic(prefer_literal=True)
def _tile_compiled(typingctx, a, start, row_stride, k_stride, b, b_start, b_stride, c, row, column, k, rows, vectors):
    """c[row:row+rows, column:column+vectors*LANES] += sum over k of a's column k times b's row k.

    a, b, c: C-contiguous float32. Element (i, k) of the left-hand matrix is a.flat[start + i * row_stride +
    k * k_stride]; row k of the right-hand one begins at b.flat[b_start + k * b_stride]. rows and vectors are literals.
    """
    index = types.intp
    sig = types.void(a, index, index, index, b, index, index, c, index, index, index, rows, vectors)
    shape = rows.literal_value, vectors.literal_value

    def codegen(context, builder, signature, args):
        _Tile(context, builder, signature, args, shape).emit()
        return context.get_dummy_value()

    return sig, codegen


class _Tile:
    """Builds the IR of one tile: load the accumulators, loop over k with fused multiply-adds, store them."""

    def __init__(self, context: Any, builder: Any, sig: Any, args: Any, shape: tuple[int, int]) -> None:
        self.builder = builder
        self.rows, self.vectors = shape
        self.cells = [(r, v) for r in range(self.rows) for v in range(self.vectors)]
        _, start, row_stride, self.k_stride, _, b_start, self.b_stride, _, row, column, self.k, _, _ = args
        self.int = start.type
        left = context.make_array(sig.args[0])(context, builder, args[0]).data
        right = context.make_array(sig.args[4])(context, builder, args[4]).data
        self.left = [
            builder.gep(left, [builder.add(start, builder.mul(row_stride, self._number(r)))]) for r in range(self.rows)
        ]
        self.right = builder.gep(right, [b_start])
        self.result = [
            pointer(
                context, builder, sig.args[7], args[7],
                [builder.add(row, self._number(r)), builder.add(column, self._number(v * LANES))],
            )
            for r, v in self.cells
        ]  # fmt: skip

    def _number(self, value: int) -> Any:
        return ir.Constant(self.int, value)

    def emit(self) -> None:
        builder = self.builder
        before = builder.block
        initial = [builder.load(address, align=4) for address in self.result]
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("k.done")
        builder.cbranch(builder.icmp_signed(">", self.k, self._number(0)), loop, done)
        builder.position_at_end(loop)
        step = self._phi(self.int, (self._number(0), before))
        sums = [self._phi(value.type, (value, before)) for value in initial]
        updated = self._step(step, sums)
        following = builder.add(step, self._number(1))
        for phi, value in zip([step, *sums], [following, *updated], strict=True):
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, self.k), loop, done)
        builder.position_at_end(done)
        final = [self._phi(old.type, (old, before), (new, loop)) for old, new in zip(initial, updated, strict=True)]
        for value, address in zip(final, self.result, strict=True):
            builder.store(value, address, align=4)

    def _phi(self, kind: Any, *incoming: Any) -> Any:
        phi = self.builder.phi(kind)
        for value, block in incoming:
            phi.add_incoming(value, block)
        return phi

    def _step(self, step: Any, sums: list[Any]) -> list[Any]:
        """One k: every accumulator plus left[row] * right[vector]."""
        builder = self.builder
        at_left, at_right = builder.mul(step, self.k_stride), builder.mul(step, self.b_stride)
        vectors = [
            builder.load(
                builder.bitcast(
                    builder.gep(self.right, [builder.add(at_right, self._number(v * LANES))]),
                    sums[0].type.as_pointer(),
                ),
                align=4,
            )
            for v in range(self.vectors)
        ]
        scalars = [spread(builder, builder.load(builder.gep(address, [at_left]))) for address in self.left]
        return [call(builder, "fma", scalars[r], vectors[v], total) for (r, v), total in zip(self.cells, sums, strict=True)]


_tile = _tile_compiled if JIT else _tile_plain


@inner
def _rows_of_tiles(a, start, row_stride, k_stride, b, b_start, b_stride, c, row, column, k, n, wide):
    """Tiles of up to _ROWS rows down n rows of one panel: PANEL columns if wide, else LANES."""
    i = 0
    if wide:
        while i + _ROWS <= n:
            at = start + i * row_stride
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 6, _VECTORS)
            i += _ROWS
        at = start + i * row_stride
        left = n - i
        if left == 5:
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 5, _VECTORS)
        elif left == 4:
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 4, _VECTORS)
        elif left == 3:
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 3, _VECTORS)
        elif left == 2:
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 2, _VECTORS)
        elif left == 1:
            _tile(a, at, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 1, _VECTORS)
        return
    while i + _ROWS <= n:
        _tile(a, start + i * row_stride, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 6, 1)
        i += _ROWS
    while i < n:
        _tile(a, start + i * row_stride, row_stride, k_stride, b, b_start, b_stride, c, row + i, column, k, 1, 1)
        i += 1


@inner
def pack(matrix, packed, first, last):
    """Packs columns [first, last) of matrix (K, N), both multiples of LANES, into packed (N, K)-sized panels.

    first must be the beginning of a panel.
    """
    k_size, n = matrix.shape
    column = first
    while column < last:
        width = PANEL if column + PANEL <= n else LANES
        at = column * k_size
        for k in range(k_size):
            for j in range(0, width, LANES):
                store(packed, 0, at + k * width + j, load(matrix, k, column + j))
        column += width


@inner
def pack_transposed(matrix, packed, first, last):
    """As pack, for the transpose: columns [first, last) of matrix.T (K, N), where matrix is (N, K)."""
    n, k_size = matrix.shape
    column = first
    while column < last:
        width = PANEL if column + PANEL <= n else LANES
        at = column * k_size
        for j in range(width):
            if column + j < n:
                for k in range(k_size):
                    packed[0, at + k * width + j] = matrix[column + j, k]
        column += width


@inner
def panels(n, rank, ranks):
    """The columns [first, last) of n that thread `rank` takes: whole panels, the last thread the left-over ones."""
    whole = n // PANEL
    first = whole * rank // ranks * PANEL
    last = n if rank == ranks - 1 else whole * (rank + 1) // ranks * PANEL
    return first, last


@inner
def product(a, a_row, packed, c, c_row, n, k_size, columns):
    """c[c_row:c_row+n] += a[a_row:a_row+n, :k_size] @ b, with b (k_size, columns) packed; a and c are 2-D."""
    width = a.shape[1]
    column = 0
    while column < columns:
        wide = column + PANEL <= columns
        _rows_of_tiles(
            a, a_row * width, width, 1, packed, column * k_size, PANEL if wide else LANES,
            c, c_row, column, k_size, n, wide,
        )  # fmt: skip
        column += PANEL if wide else LANES


@inner
def accumulate(a, a_row, d, d_row, n, c, rows, first, last):
    """c[:rows, first:last] += a[a_row:a_row+n, :rows].T @ d[d_row:d_row+n, first:last]: a weight's gradient.

    a (., A) and d (., D) hold one row per step and stream; [first, last) comes from `panels`.
    """
    done = 0
    while done < n:
        chunk = min(_CHUNK, n - done)
        start = (a_row + done) * a.shape[1]
        column = first
        while column < last:
            wide = column + PANEL <= last
            _rows_of_tiles(
                a, start, 1, a.shape[1], d, (d_row + done) * d.shape[1] + column, d.shape[1],
                c, 0, column, chunk, rows, wide,
            )  # fmt: skip
            column += PANEL if wide else LANES
        done += chunk
