"""How the operations of simd/arithmetic.py, and + - * / between vectors, are made of instructions.

No instruction carries a flag that would let LLVM fuse, reorder or approximate: a fused multiply-add is written as `fma`.
"""

import operator
from collections.abc import Callable
from typing import Any

from numba import types
from numba.extending import lower_builtin, type_callable

from ..simd.arithmetic import above, exponent, fma, larger, mantissa, nearest, pair, power_of_two, smaller, sqrt
from .instructions import bits_of, call, filled
from .numba_types import VectorType

_NEAREST = 1.5 * 2.0**23  # added to a number, it leaves the nearest whole number in the lowest bits of the sum


def _type_operands(*operands: Any) -> Any:
    """Return the type of an operation on vectors of one type, or on such and numbers; None for other operands."""
    vectors = {each for each in operands if isinstance(each, VectorType)}
    fitting = all(isinstance(each, VectorType | types.Number) for each in operands)
    return vectors.pop() if len(vectors) == 1 and fitting else None


def _register(plain: Callable, operands: int, emit: Callable) -> None:
    """Make `plain` of vectors, or of vectors and numbers, the IR that emit(builder, *operands) builds."""
    if operands == 1:
        type_callable(plain)(lambda context: lambda a: _type_operands(a))
    elif operands == 2:
        type_callable(plain)(lambda context: lambda a, b: _type_operands(a, b))
    else:
        type_callable(plain)(lambda context: lambda a, b, c: _type_operands(a, b, c))

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.return_type
        return emit(builder, *(context.cast(builder, a, of, kind) for a, of in zip(args, sig.args, strict=True)))

    for which in range(1, 1 << operands):  # which operands are vectors
        kinds = [VectorType if which >> i & 1 else types.Number for i in range(operands)]
        lower_builtin(plain, *kinds)(lower)


def _emitted(plain: Callable, operands: int) -> Callable:
    """Decorate the function that builds the IR of `plain`, its NumPy twin."""

    def register(emit: Callable) -> Callable:
        _register(plain, operands, emit)
        return emit

    return register


_register(operator.add, 2, lambda builder, a, b: builder.fadd(a, b))
_register(operator.sub, 2, lambda builder, a, b: builder.fsub(a, b))
_register(operator.mul, 2, lambda builder, a, b: builder.fmul(a, b))
_register(operator.truediv, 2, lambda builder, a, b: builder.fdiv(a, b))
_register(operator.neg, 1, lambda builder, a: builder.fneg(a))


@_emitted(fma, 3)
def _emit_fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return call(builder, "fma", a, b, c)


@_emitted(sqrt, 1)
def _emit_sqrt(builder: Any, value: Any) -> Any:
    return call(builder, "sqrt", value)


@_emitted(nearest, 1)
def _emit_nearest(builder: Any, value: Any) -> Any:
    bias = filled(value.type, _NEAREST)
    return builder.fsub(builder.fadd(value, bias), bias)


@_emitted(power_of_two, 1)
def _emit_power_of_two(builder: Any, value: Any) -> Any:
    # Not a conversion to an integer, which LLVM leaves undefined for a NaN. The bias's own bits are shifted out.
    bits = bits_of(value)
    whole = builder.bitcast(builder.fadd(value, filled(value.type, _NEAREST)), bits)
    exponent = builder.add(builder.shl(whole, filled(bits, 23)), filled(bits, 127 << 23))
    return builder.bitcast(exponent, value.type)


@_emitted(exponent, 1)
def _emit_exponent(builder: Any, value: Any) -> Any:
    bits = bits_of(value)
    biased = builder.lshr(builder.bitcast(value, bits), filled(bits, 23))
    return builder.sitofp(builder.sub(biased, filled(bits, 127)), value.type)


@_emitted(mantissa, 1)
def _emit_mantissa(builder: Any, value: Any) -> Any:
    bits = bits_of(value)
    fraction = builder.and_(builder.bitcast(value, bits), filled(bits, 0x7FFFFF))
    return builder.bitcast(builder.or_(fraction, filled(bits, 0x3F800000)), value.type)


@_emitted(pair, 2)
def _emit_pair(builder: Any, left: Any, right: Any) -> Any:
    bits = bits_of(left)
    lower = builder.lshr(builder.bitcast(left, bits), filled(bits, 16))
    upper = builder.and_(builder.bitcast(right, bits), filled(bits, 0xFFFF0000))
    return builder.bitcast(builder.or_(upper, lower), left.type)


@_emitted(above, 2)
def _emit_above(builder: Any, value: Any, bound: Any) -> Any:
    return builder.uitofp(builder.fcmp_ordered(">", value, bound), value.type)


@_emitted(larger, 2)
def _emit_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@_emitted(smaller, 2)
def _emit_smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)
