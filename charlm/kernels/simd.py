"""Explicit vectors: a value of LANES float32 numbers that kernels load, combine and store.

LLVM vectorises a plain loop only after it has proved, or checks at run time, that the arrays do not overlap; with the
dozen rows that a cell touches it gives up. Written with lanes the same loop compiles to what it says. Every function
here is plain NumPy in Python and one or a few instructions in a kernel. Rows that lanes walk over are padded to a
multiple of PAD numbers, so no loop has a tail.
"""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, lower_cast, models, register_model, type_callable

from .jit import FASTMATH, LANES

PAD = 16  # every row's width in memory is a multiple of this many float32 (64 bytes)

_FLOAT = ir.FloatType()
_INT = ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BITS = ir.VectorType(_INT, LANES)
_FLAGS = tuple(sorted(FASTMATH))


class VectorType(types.Type):
    """The Numba type of a vector of LANES float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


lanes = VectorType()
ROW = types.CPointer(types.float32)  # a row that a step is handed: see steps.py


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


def pointer(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    """The address of array[indices] as a pointer to a vector; no bounds check, no wraparound."""
    struct = context.make_array(array_type)(context, builder, array)
    address = cgutils.get_item_pointer(context, builder, array_type, struct, indices, wraparound=False, boundscheck=False)
    return builder.bitcast(address, _VECTOR.as_pointer())


def spread(builder: Any, scalar: Any) -> Any:
    """IR for a vector with `scalar` in every lane."""
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_BITS, [0] * LANES))


def call(builder: Any, name: str, *arguments: Any) -> Any:
    """IR for an LLVM intrinsic on vectors, such as llvm.fma."""
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR] * len(arguments)), f"llvm.{name}.v{LANES}f32"
    )
    return builder.call(function, arguments)


# --- memory ----------------------------------------------------------------------------------------------------------


def load(array: Any, *place: int) -> Any:
    """Return LANES numbers from a place on: array[row, column] of a C-contiguous 2-D float32 array, or row[column]."""
    *row, column = place
    return array[(*row, slice(column, column + LANES))].copy()


def store(array: Any, *place_and_value: Any) -> None:
    """Write LANES numbers from a place on: store(array, row, column, value), or store(row, column, value)."""
    *row, column, value = place_and_value
    array[(*row, slice(column, column + LANES))] = value


def splat(value: float) -> Any:
    """A vector with `value`, rounded to float32, in every lane."""
    return np.full(LANES, value, np.float32)


@type_callable(load)
def _type_load(context: Any) -> Callable:
    return lambda array, row, column: lanes


@lower_builtin(load, types.Array, types.Integer, types.Integer)
def _lower_load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = _indices(context, builder, sig.args[1:], args[1:])
    return builder.load(pointer(context, builder, sig.args[0], args[0], indices), align=4)


@type_callable(store)
def _type_store(context: Any) -> Callable:
    return lambda array, row, column, value: types.void


@lower_builtin(store, types.Array, types.Integer, types.Integer, VectorType)
def _lower_store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = _indices(context, builder, sig.args[1:3], args[1:3])
    builder.store(args[3], pointer(context, builder, sig.args[0], args[0], indices), align=4)
    return context.get_dummy_value()


@type_callable(load)
def _type_load_from_row(context: Any) -> Callable:
    return lambda row, column: lanes


@lower_builtin(load, types.CPointer, types.Integer)
def _lower_load_from_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load(_pointer_in_row(context, builder, sig, args), align=4)


@type_callable(store)
def _type_store_to_row(context: Any) -> Callable:
    return lambda row, column, value: types.void


@lower_builtin(store, types.CPointer, types.Integer, VectorType)
def _lower_store_to_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    builder.store(args[2], _pointer_in_row(context, builder, sig, args), align=4)
    return context.get_dummy_value()


def _pointer_in_row(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    column = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.bitcast(builder.gep(args[0], [column]), _VECTOR.as_pointer())


def _indices(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    return [context.cast(builder, value, kind, types.intp) for kind, value in zip(kinds, values, strict=True)]


@type_callable(splat)
def _type_splat(context: Any) -> Callable:
    return lambda value: lanes


@lower_builtin(splat, types.Number)
def _lower_splat(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return spread(builder, context.cast(builder, args[0], sig.args[0], types.float32))


@lower_cast(types.Number, VectorType)
def _cast_to_lanes(context: Any, builder: Any, fromty: Any, toty: Any, value: Any) -> Any:
    return spread(builder, context.cast(builder, value, fromty, types.float32))


def transpose(source: np.ndarray, row: int, column: int, target: np.ndarray, target_row: int, at: int, stride: int) -> None:
    """Writes the square source[row : row + LANES, column : column + LANES] transposed.

    Its column i goes to target[target_row, at + i * stride :]. Both arrays are C-contiguous, 2-D, float32.
    """
    for i in range(LANES):
        target[target_row, at + i * stride :][:LANES] = source[row : row + LANES, column + i]


@type_callable(transpose)
def _type_transpose(context: Any) -> Callable:
    return lambda source, row, column, target, target_row, at, stride: types.void


@lower_builtin(transpose, *([types.Array] + [types.Integer] * 2) * 2, types.Integer)
def _lower_transpose(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Swaps what lies off the diagonal of blocks of 2, 4, 8 ... rows and columns."""
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
                rows[i] = builder.shuffle_vector(*pair, ir.Constant(_BITS, upper))
                rows[i + half] = builder.shuffle_vector(*pair, ir.Constant(_BITS, lower))
        half *= 2
    for i, value in enumerate(rows):
        place = builder.add(at, builder.mul(stride, number(i)))
        builder.store(value, pointer(context, builder, sig.args[3], args[3], [target_row, place]), align=4)
    return context.get_dummy_value()


# --- arithmetic: + - * / between vectors, or a vector and a number -------------------------------------


class _Binary(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and lanes in args and all(a is lanes or isinstance(a, types.Number) for a in args):
            return signature(lanes, lanes, lanes)
        return None


def _register_binary(operation: Callable, emit: Callable) -> None:
    """Makes `operation` of two vectors, or of a vector and a number, the IR that emit(builder, a, b) builds."""
    infer_global(operation)(type(f"_Lanes_{operation.__name__}", (_Binary,), {}))

    @lower_builtin(operation, VectorType, VectorType)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit(builder, *args)


def _instruction(name: str) -> Callable:
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=_FLAGS)


_register_binary(operator.add, _instruction("fadd"))
_register_binary(operator.sub, _instruction("fsub"))
_register_binary(operator.mul, _instruction("fmul"))
_register_binary(operator.truediv, _instruction("fdiv"))


def _unary(plain: Callable) -> Callable:
    """Decorates the IR of a function of one vector, whose NumPy twin is `plain`."""

    def register(emit: Callable) -> Callable:
        type_callable(plain)(lambda context: lambda value: lanes)
        lower_builtin(plain, VectorType)(lambda context, builder, sig, args: emit(builder, args[0]))
        return emit

    return register


def _binary(plain: Callable) -> Callable:
    """Decorates the IR of a function of two vectors (or a vector and a number), whose NumPy twin is `plain`."""

    def register(emit: Callable) -> Callable:
        _register_binary(plain, emit)
        return emit

    return register


def sqrt(value: Any) -> Any:
    """The square root, lane by lane."""
    return np.sqrt(value)


def nearest(value: Any) -> Any:
    """The nearest whole number, ties to even, lane by lane."""
    return np.rint(value)


def power_of_two(value: Any) -> Any:
    """2**value for whole numbers in [-126, 127], by writing the exponent's bits."""
    return ((value.astype(np.int32) + 127) << 23).view(np.float32)


def above(value: Any, bound: Any) -> Any:
    """1 where value > bound, else 0 (a NaN gives 0), lane by lane."""
    return (value > bound).astype(np.float32)


def larger(a: Any, b: Any) -> Any:
    """The larger of two vectors, lane by lane; b where either is NaN."""
    return np.where(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """The smaller of two vectors, lane by lane; b where either is NaN."""
    return np.where(a < b, a, b)


@_unary(sqrt)
def _emit_sqrt(builder: Any, value: Any) -> Any:
    return call(builder, "sqrt", value)


@_unary(nearest)
def _emit_nearest(builder: Any, value: Any) -> Any:
    return call(builder, "nearbyint", value)


@_unary(power_of_two)
def _emit_power_of_two(builder: Any, value: Any) -> Any:
    exponent = builder.add(builder.fptosi(value, _BITS), ir.Constant(_BITS, [127] * LANES))
    return builder.bitcast(builder.shl(exponent, ir.Constant(_BITS, [23] * LANES)), _VECTOR)


@_binary(above)
def _emit_above(builder: Any, value: Any, bound: Any) -> Any:
    return builder.uitofp(builder.fcmp_ordered(">", value, bound), _VECTOR)


@_binary(larger)
def _emit_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@_binary(smaller)
def _emit_smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


# --- across lanes: a fixed tree, so the order of the additions is always the same --------------------------------------


def total(value: Any) -> Any:
    """The sum of the lanes, as float32."""
    return _fold(value, operator.add)


def largest(value: Any) -> Any:
    """The largest lane, as float32."""
    return _fold(value, max)


def _fold(value: Any, combine: Callable) -> Any:
    parts = list(value)
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [combine(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]


def _emit_fold(builder: Any, value: Any, combine: Callable) -> Any:
    width = LANES
    while width > 1:
        width //= 2
        kind = ir.VectorType(_INT, width)
        low = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width))))
        high = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width, 2 * width))))
        value = combine(builder, low, high)
    return builder.extract_element(value, ir.Constant(_INT, 0))


def _register_fold(plain: Callable, combine: Callable) -> None:
    type_callable(plain)(lambda context: lambda value: types.float32)
    lower_builtin(plain, VectorType)(lambda context, builder, sig, args: _emit_fold(builder, args[0], combine))


_register_fold(total, lambda builder, a, b: builder.fadd(a, b))
_register_fold(largest, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


# --- counter-based random bits -------------------------------------------------------------------------------------------


def keep(key: int, column: int, threshold: int) -> Any:
    """1 where a hash of (key, column + lane) is below `threshold`, else 0: the dropout mask of LANES units.

    key and threshold are unsigned 32-bit numbers; the hash is murmur3's 32-bit finaliser over key + column * 0x9E3779B9,
    twice, which passes for independent draws at dropout's purpose and needs no state.
    """
    position = np.uint32(column) + np.arange(LANES, dtype=np.uint32)
    bits = _mix(_mix(position * np.uint32(0x9E3779B9) + np.uint32(key)) ^ np.uint32(key))
    return (bits < np.uint32(threshold)).astype(np.float32)


def _mix(bits: Any) -> Any:
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> np.uint32(16))


def _emit_mix(builder: Any, bits: Any) -> Any:
    number = lambda value: ir.Constant(_BITS, [value] * LANES)  # noqa: E731
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = builder.mul(builder.xor(bits, builder.lshr(bits, number(shift))), number(factor))
    return builder.xor(bits, builder.lshr(bits, number(16)))


def _spread_bits(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_BITS, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_BITS, [0] * LANES))


@type_callable(keep)
def _type_keep(context: Any) -> Callable:
    return lambda key, column, threshold: lanes


@lower_builtin(keep, types.Integer, types.Integer, types.Integer)
def _lower_keep(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    key, column, threshold = (
        _spread_bits(builder, context.cast(builder, value, kind, types.uint32))
        for kind, value in zip(sig.args, args, strict=True)
    )
    position = builder.add(column, ir.Constant(_BITS, list(range(LANES))))
    bits = builder.add(builder.mul(position, ir.Constant(_BITS, [0x9E3779B9] * LANES)), key)
    bits = _emit_mix(builder, builder.xor(_emit_mix(builder, bits), key))
    return builder.uitofp(builder.icmp_unsigned("<", bits, threshold), _VECTOR)
