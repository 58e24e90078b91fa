"""The tile that all matrix products are made of: a part of the result stays in registers while all of k passes by.

Every number of a result is one chain of fused multiply-adds in the order of k, whatever the tile, the thread or the
piece of a ring buffer it was computed in. That is why results do not depend on how rows and columns are dealt out.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import REGISTERS
from .numba_internals import JIT
from .simd import LANES
from .simd.vector import call, pointer, spread

# The largest tile that the registers hold beside the VECTORS of the right-hand side. Of the left-hand side x86 multiplies by
# a number in memory; on arm64 two registers take turns.
#
#   registers             rows x vectors   for sums, right, left
#   32 (AVX-512, arm64)   6 x 4            24 + 4 + 2
#   16 (AVX2)             6 x 2            12 + 2
VECTORS = REGISTERS // 8
ROWS = 6
PANEL = VECTORS * LANES
PANELS = 4  # panels that a single row takes at once: the chains of one would wait for each other, and for memory

# The tiles there are, as (rows, vectors).
_SHAPES = [(rows, vectors) for vectors in range(1, VECTORS + 1) for rows in range(1, ROWS + 1)]
_SHAPES += [(1, panels * VECTORS) for panels in (2, PANELS)]


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
    """Add to c[row:row+rows, column:column+vectors*LANES] the sum over k of a's column k times b's row k.

    a, b, c: C-contiguous float32. k goes through runs[first:last] one after the other; a run is (in a, in b, length) and
    its length is not 0. Element (i, k) of the left-hand matrix is a.flat[start + i * row_stride + k_in_a * k_stride];
    row k of the right-hand one begins at b.flat[b_start + k_in_b * b_stride]. (rows, vectors) is one of _SHAPES; more
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


@intrinsic
def _tile_compiled(
    typingctx, a, start, row_stride, k_stride, b, b_start, b_stride, b_next, c, row, column, runs, first, last, rows, vectors
):
    """Compute the same as _tile_plain: jump to the loop of the tile's shape."""
    index = types.intp
    sig = types.void(a, index, index, index, b, index, index, index, c, index, index, runs, index, index, index, index)

    def codegen(context, builder, signature, args):
        rows, vectors = args[-2:]
        number = ir.Constant(rows.type, ROWS + 1)
        after = builder.append_basic_block("tile.done")
        shape = builder.switch(builder.add(builder.mul(vectors, number), rows), after)
        for one in _SHAPES:
            block = builder.append_basic_block("tile")
            shape.add_case(ir.Constant(rows.type, one[1] * (ROWS + 1) + one[0]), block)
            builder.position_at_end(block)
            _Tile(context, builder, signature, args, one).emit()
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return sig, codegen


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
            for i in range(-(-self.vectors // VECTORS))
        ]
        self.right = [(panels[v // VECTORS], v % VECTORS * LANES) for v in range(self.vectors)]
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
        """Return the three numbers of a run."""
        at = self.builder.mul(run, self._number(3))
        return [self.builder.load(self.builder.gep(self.runs, [self.builder.add(at, self._number(i))])) for i in range(3)]

    def _step(self, in_a: Any, in_b: Any, sums: list[Any]) -> list[Any]:
        """Return every accumulator plus left[row] * right[vector] at one k."""
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


tile: Any = _tile_compiled if JIT else _tile_plain
