"""One number from a block, by a fixed tree: the order of the additions is the same whatever LANES is."""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from .vector import INT, VectorType, block


def total(value: Any) -> Any:
    """Return the sum of a block, as float32."""
    return _fold(value, operator.add)


def largest(value: Any) -> Any:
    """Return the largest number of a block, as float32."""
    return _fold(value, max)


def _fold(value: Any, combine: Callable) -> Any:
    parts = list(value)
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [combine(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]


def _emit_fold(builder: Any, value: Any, combine: Callable) -> Any:
    width = value.type.count
    while width > 1:
        width //= 2
        kind = ir.VectorType(INT, width)
        low = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width))))
        high = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width, 2 * width))))
        value = combine(builder, low, high)
    return builder.extract_element(value, ir.Constant(INT, 0))


def _register_fold(plain: Callable, combine: Callable) -> None:
    type_callable(plain)(lambda context: lambda value: types.float32 if value == block else None)
    lower_builtin(plain, VectorType)(lambda context, builder, sig, args: _emit_fold(builder, args[0], combine))


_register_fold(total, lambda builder, a, b: builder.fadd(a, b))
_register_fold(largest, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))
