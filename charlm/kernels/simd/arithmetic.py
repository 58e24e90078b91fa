"""Arithmetic lane by lane: + - * / between vectors, or a vector and a number, and a few functions."""

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..jit import FASTMATH, LANES
from .vector import BITS, VECTOR, VectorType, call, lanes

_FLAGS = tuple(sorted(FASTMATH))


def _type_binary(a: Any, b: Any) -> Any:
    """Return the type of an operation on two vectors, or on a vector and a number; None for other operands."""
    return lanes if lanes in (a, b) and all(x is lanes or isinstance(x, types.Number) for x in (a, b)) else None


def _register_binary(operation: Callable, emit: Callable) -> None:
    """Make `operation` of two vectors, or of a vector and a number, the IR that emit(builder, a, b) builds."""
    type_callable(operation)(lambda context: _type_binary)

    @lower_builtin(operation, VectorType, VectorType)
    @lower_builtin(operation, VectorType, types.Number)
    @lower_builtin(operation, types.Number, VectorType)
    def _lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vectors = [context.cast(builder, value, kind, lanes) for value, kind in zip(args, sig.args, strict=True)]
        return emit(builder, *vectors)


def _instruction(name: str) -> Callable:
    return lambda builder, a, b: getattr(builder, name)(a, b, flags=_FLAGS)


_register_binary(operator.add, _instruction("fadd"))
_register_binary(operator.sub, _instruction("fsub"))
_register_binary(operator.mul, _instruction("fmul"))
_register_binary(operator.truediv, _instruction("fdiv"))


def _unary(plain: Callable) -> Callable:
    """Decorate the IR of a function of one vector, whose NumPy twin is `plain`."""

    def register(emit: Callable) -> Callable:
        type_callable(plain)(lambda context: lambda value: lanes)
        lower_builtin(plain, VectorType)(lambda context, builder, sig, args: emit(builder, args[0]))
        return emit

    return register


def _binary(plain: Callable) -> Callable:
    """Decorate the IR of a function of two vectors (or a vector and a number), whose NumPy twin is `plain`."""

    def register(emit: Callable) -> Callable:
        _register_binary(plain, emit)
        return emit

    return register


def sqrt(value: Any) -> Any:
    """Return the square root, lane by lane."""
    return np.sqrt(value)


def nearest(value: Any) -> Any:
    """Return the nearest whole number, ties to even, lane by lane."""
    return np.rint(value)


def power_of_two(value: Any) -> Any:
    """Return 2**value for whole numbers in [-126, 127], by writing the exponent's bits."""
    return ((value.astype(np.int32) + 127) << 23).view(np.float32)


def above(value: Any, bound: Any) -> Any:
    """Return 1 where value > bound, else 0 (a NaN gives 0), lane by lane."""
    return (value > bound).astype(np.float32)


def larger(a: Any, b: Any) -> Any:
    """Return the larger of two vectors, lane by lane; b where either is NaN."""
    return np.where(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """Return the smaller of two vectors, lane by lane; b where either is NaN."""
    return np.where(a < b, a, b)


@_unary(sqrt)
def _emit_sqrt(builder: Any, value: Any) -> Any:
    return call(builder, "sqrt", value)


@_unary(nearest)
def _emit_nearest(builder: Any, value: Any) -> Any:
    return call(builder, "nearbyint", value)


@_unary(power_of_two)
def _emit_power_of_two(builder: Any, value: Any) -> Any:
    exponent = builder.add(builder.fptosi(value, BITS), ir.Constant(BITS, [127] * LANES))
    return builder.bitcast(builder.shl(exponent, ir.Constant(BITS, [23] * LANES)), VECTOR)


@_binary(above)
def _emit_above(builder: Any, value: Any, bound: Any) -> Any:
    return builder.uitofp(builder.fcmp_ordered(">", value, bound), VECTOR)


@_binary(larger)
def _emit_larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@_binary(smaller)
def _emit_smaller(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)
