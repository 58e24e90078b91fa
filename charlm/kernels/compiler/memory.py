"""How simd/memory.py is made of instructions."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, lower_cast, type_callable

from ..jit import LANES
from ..simd.memory import load, load_block, prefetch, splat, splat_block, store, transpose
from .instructions import declared_function, spread, vector_at
from .numba_types import BYTES, INT, LONG, ArrayType, VectorType, address, as_indices, block, lanes


@type_callable(load)
def _type_load(context: Any) -> Callable:
    return lambda array, row, column: lanes


@lower_builtin(load, ArrayType, types.Integer, types.Integer)
def _lower_load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = as_indices(context, builder, sig.args[1:], args[1:])
    kind = context.get_value_type(sig.return_type)
    return builder.load(vector_at(context, builder, args[0], indices, kind), align=4)


@type_callable(load_block)
def _type_load_block(context: Any) -> Callable:
    return lambda array, row, column: block


lower_builtin(load_block, ArrayType, types.Integer, types.Integer)(_lower_load)


@type_callable(store)
def _type_store(context: Any) -> Callable:
    return lambda array, row, column, value: types.void


@lower_builtin(store, ArrayType, types.Integer, types.Integer, VectorType)
def _lower_store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = as_indices(context, builder, sig.args[1:3], args[1:3])
    builder.store(args[3], vector_at(context, builder, args[0], indices, args[3].type), align=4)
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


@type_callable(prefetch)
def _type_prefetch(context: Any) -> Callable:
    return lambda array, row, column: types.void


@lower_builtin(prefetch, ArrayType, types.Integer, types.Integer)
def _lower_prefetch(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = as_indices(context, builder, sig.args[1:], args[1:])
    place = builder.bitcast(address(context, builder, args[0], indices), BYTES)
    kind = ir.FunctionType(ir.VoidType(), [BYTES, INT, INT, INT])
    function = declared_function(builder.module, kind, "llvm.prefetch.p0i8")
    builder.call(function, [place, *(ir.Constant(INT, flag) for flag in (0, 3, 1))])  # a read, of data, kept in all caches
    return context.get_dummy_value()


@type_callable(transpose)
def _type_transpose(context: Any) -> Callable:
    return lambda source, row, column, target, target_row, at, stride: types.void


@lower_builtin(transpose, *([ArrayType] + [types.Integer] * 2) * 2, types.Integer)
def _lower_transpose(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Swap what lies off the diagonal of blocks of 2, 4, 8 ... rows and columns."""
    whole = [i for i, kind in enumerate(sig.args) if isinstance(kind, types.Integer)]
    row, column, target_row, at, stride = as_indices(
        context, builder, [sig.args[i] for i in whole], [args[i] for i in whole]
    )
    number = lambda value: ir.Constant(LONG, value)  # noqa: E731
    rows = [
        builder.load(vector_at(context, builder, args[0], [builder.add(row, number(i)), column]), align=4)
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
        builder.store(value, vector_at(context, builder, args[3], [target_row, place]), align=4)
    return context.get_dummy_value()
