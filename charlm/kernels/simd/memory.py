"""Vectors and memory: load, store, one number in every lane, transposed squares."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, lower_cast, type_callable

from ..jit import LANES
from ..numba_internals import declared_function, item_pointer
from .vector import INT, PAD, VectorType, block, lanes, pointer, spread

BYTES = ir.IntType(8).as_pointer()
ROW = types.CPointer(types.float32)  # a row that a step is handed: see steps.py


def load(array: Any, *place: int) -> Any:
    """Return LANES numbers from a place on: array[row, column] of a C-contiguous 2-D float32 array, or row[column]."""
    *row, column = place
    return array[(*row, slice(column, column + LANES))].copy()


def load_block(array: Any, row: int, column: int) -> Any:
    """Return PAD numbers of a 2-D array, for sums and maxima over a row: see the package's docstring."""
    return array[row, column : column + PAD].copy()


def store(array: Any, *place_and_value: Any) -> None:
    """Write a vector from a place on: store(array, row, column, value), or store(row, column, value)."""
    *row, column, value = place_and_value
    array[(*row, slice(column, column + len(value)))] = value


def splat(value: float) -> Any:
    """Return a vector with `value`, rounded to float32, in every lane."""
    return np.full(LANES, value, np.float32)


def splat_block(value: float) -> Any:
    """Return the same of PAD lanes."""
    return np.full(PAD, value, np.float32)


@type_callable(load)
def _type_load(context: Any) -> Callable:
    return lambda array, row, column: lanes


@lower_builtin(load, types.Array, types.Integer, types.Integer)
def _lower_load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = _indices(context, builder, sig.args[1:], args[1:])
    kind = context.get_value_type(sig.return_type)
    return builder.load(pointer(context, builder, sig.args[0], args[0], indices, kind), align=4)


@type_callable(load_block)
def _type_load_block(context: Any) -> Callable:
    return lambda array, row, column: block


lower_builtin(load_block, types.Array, types.Integer, types.Integer)(_lower_load)


@type_callable(store)
def _type_store(context: Any) -> Callable:
    return lambda array, row, column, value: types.void


@lower_builtin(store, types.Array, types.Integer, types.Integer, VectorType)
def _lower_store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = _indices(context, builder, sig.args[1:3], args[1:3])
    builder.store(args[3], pointer(context, builder, sig.args[0], args[0], indices, args[3].type), align=4)
    return context.get_dummy_value()


@type_callable(load)
def _type_load_from_row(context: Any) -> Callable:
    return lambda row, column: lanes


@lower_builtin(load, types.CPointer, types.Integer)
def _lower_load_from_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = context.get_value_type(sig.return_type)
    return builder.load(_pointer_in_row(context, builder, sig, args, kind), align=4)


@type_callable(store)
def _type_store_to_row(context: Any) -> Callable:
    return lambda row, column, value: types.void


@lower_builtin(store, types.CPointer, types.Integer, VectorType)
def _lower_store_to_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    builder.store(args[2], _pointer_in_row(context, builder, sig, args, args[2].type), align=4)
    return context.get_dummy_value()


def _pointer_in_row(context: Any, builder: Any, sig: Any, args: Any, kind: Any) -> Any:
    column = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.bitcast(builder.gep(args[0], [column]), kind.as_pointer())


def _indices(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    return [context.cast(builder, value, kind, types.intp) for kind, value in zip(kinds, values, strict=True)]


@type_callable(splat)
def _type_splat(context: Any) -> Callable:
    return lambda value: lanes


@type_callable(splat_block)
def _type_splat_block(context: Any) -> Callable:
    return lambda value: block


@lower_builtin(splat, types.Number)
@lower_builtin(splat_block, types.Number)
def _lower_splat(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return context.cast(builder, args[0], sig.args[0], sig.return_type)


@lower_cast(types.Number, VectorType)
def _cast_to_lanes(context: Any, builder: Any, fromty: Any, toty: Any, value: Any) -> Any:
    return spread(builder, context.cast(builder, value, fromty, types.float32), context.get_value_type(toty))


def prefetch(array: np.ndarray, row: int, column: int) -> None:
    """Begin to fetch the cache line of array[row, column], which is read soon."""


@type_callable(prefetch)
def _type_prefetch(context: Any) -> Callable:
    return lambda array, row, column: types.void


@lower_builtin(prefetch, types.Array, types.Integer, types.Integer)
def _lower_prefetch(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = _indices(context, builder, sig.args[1:], args[1:])
    address = builder.bitcast(item_pointer(context, builder, sig.args[0], args[0], indices), BYTES)
    kind = ir.FunctionType(ir.VoidType(), [BYTES, INT, INT, INT])
    function = declared_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [address, *(ir.Constant(INT, flag) for flag in (0, 3, 1))])  # a read, of data, kept in all caches
    return context.get_dummy_value()


def transpose(source: np.ndarray, row: int, column: int, target: np.ndarray, target_row: int, at: int, stride: int) -> None:
    """Write the square source[row : row + LANES, column : column + LANES] transposed.

    Its column i goes to target[target_row, at + i * stride :]. Both arrays are C-contiguous, 2-D, float32.
    """
    for i in range(LANES):
        target[target_row, at + i * stride :][:LANES] = source[row : row + LANES, column + i]


@type_callable(transpose)
def _type_transpose(context: Any) -> Callable:
    return lambda source, row, column, target, target_row, at, stride: types.void


@lower_builtin(transpose, *([types.Array] + [types.Integer] * 2) * 2, types.Integer)
def _lower_transpose(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Swap what lies off the diagonal of blocks of 2, 4, 8 ... rows and columns."""
    row, column, target_row, at, stride = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2, 4, 5, 6))
    number = lambda value: ir.Constant(row.type, value)  # noqa: E731
    rows = [
        builder.load(pointer(context, builder, sig.args[0], args[0], [builder.add(row, number(i)), column]), align=4)
        for i in range(LANES)
    ]
    half = 1
    while half < LANES:
        upper = [lane if not lane & half else LANES + lane - half for lane in range(LANES)]
        lower = [lane + half if not lane & half else LANES + lane for lane in range(LANES)]
        for i in range(LANES):
            if not i & half:
                pair = rows[i], rows[i + half]
                rows[i] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(INT, LANES), upper))
                rows[i + half] = builder.shuffle_vector(*pair, ir.Constant(ir.VectorType(INT, LANES), lower))
        half *= 2
    for i, value in enumerate(rows):
        place = builder.add(at, builder.mul(stride, number(i)))
        builder.store(value, pointer(context, builder, sig.args[3], args[3], [target_row, place]), align=4)
    return context.get_dummy_value()
