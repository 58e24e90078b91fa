"""How the tile of tile.py is made of instructions: a loop for each shape."""

import functools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..jit import LANES
from ..tile import ROWS, SHAPES, VECTORS, tile, tile_of_halves
from .instructions import call, filled, spread, vector_at
from .numba_types import INT, ArrayType

_WHOLE = types.Integer
_KINDS = (
    *(ArrayType, _WHOLE, _WHOLE, _WHOLE),  # a, start, row_stride, k_stride
    *(ArrayType, _WHOLE, _WHOLE, _WHOLE),  # b, b_start, b_stride, b_next
    *(ArrayType, _WHOLE, _WHOLE),  # c, row, column
    *(ArrayType, _WHOLE, _WHOLE),  # runs, first, last
    *(_WHOLE, _WHOLE),  # rows, vectors
)


def _type_tile(context: Any) -> Callable:
    def typer(
        a, start, row_stride, k_stride, b, b_start, b_stride, b_next, c, row, column, runs, first, last, rows, vectors
    ):
        return types.void

    return typer


def _lower(kind: type["_Tile"], context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Jump to the loop of the tile's shape."""
    args = [
        value if isinstance(kind, ArrayType) else context.cast(builder, value, kind, types.int64)
        for kind, value in zip(sig.args, args, strict=True)
    ]
    rows, vectors = args[-2:]
    number = ir.Constant(rows.type, ROWS + 1)
    after = builder.append_basic_block("tile.done")
    shape = builder.switch(builder.add(builder.mul(vectors, number), rows), after)
    for one in SHAPES:
        block = builder.append_basic_block("tile")
        shape.add_case(ir.Constant(rows.type, one[1] * (ROWS + 1) + one[0]), block)
        builder.position_at_end(block)
        kind(context, builder, args, one).emit()
        builder.branch(after)
    builder.position_at_end(after)
    return context.get_dummy_value()


class _Tile:
    """Builds the IR of one tile: load the accumulators, loop over k with fused multiply-adds, store them."""

    def __init__(self, context: Any, builder: Any, args: Any, shape: tuple[int, int]) -> None:
        self.builder = builder
        self.rows, self.vectors = shape
        self.cells = [(r, v) for r in range(self.rows) for v in range(self.vectors)]
        _, start, row_stride, self.k_stride, _, b_start, self.b_stride, b_next = args[:8]
        row, column, _, self.first, self.last = args[9:14]
        self.int = start.type
        left, right, self.runs = (builder.extract_value(args[i], 0) for i in (0, 4, 11))
        self.left = [
            builder.gep(left, [builder.add(start, builder.mul(row_stride, self._number(r)))]) for r in range(self.rows)
        ]
        panels = [
            builder.gep(right, [builder.add(b_start, builder.mul(b_next, self._number(i)))])
            for i in range(-(-self.vectors // VECTORS))
        ]
        self.right = [(panels[v // VECTORS], v % VECTORS * LANES) for v in range(self.vectors)]
        self.result = [
            vector_at(
                context,
                builder,
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
        vectors = self._right(at_right, sums[0].type)
        scalars = [spread(builder, builder.load(builder.gep(address, [at_left]))) for address in self.left]
        return [call(builder, "fma", scalars[r], vectors[v], total) for (r, v), total in zip(self.cells, sums, strict=True)]

    def _right(self, at: Any, kind: ir.VectorType) -> list[Any]:
        """Return a row of the right-hand matrix."""
        return [self._load(panel, at, offset, kind) for panel, offset in self.right]

    def _load(self, panel: Any, at: Any, offset: int, kind: ir.VectorType) -> Any:
        place = self.builder.gep(panel, [self.builder.add(at, self._number(offset))])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()), align=4)


class _TileOfHalves(_Tile):
    """The same with pairs of vectors on the right."""

    def _right(self, at: Any, kind: ir.VectorType) -> list[Any]:
        builder, found = self.builder, []
        bits = ir.VectorType(INT, LANES)
        for panel, offset in self.right[::2]:
            words = self._load(panel, at, offset // 2, bits)
            found += [builder.shl(words, filled(bits, 16)), builder.and_(words, filled(bits, 0xFFFF0000))]
        return [builder.bitcast(each, kind) for each in found[: self.vectors]]


for _plain, _kind in ((tile, _Tile), (tile_of_halves, _TileOfHalves)):
    type_callable(_plain)(_type_tile)
    lower_builtin(_plain, *_KINDS)(functools.partial(_lower, _kind))
