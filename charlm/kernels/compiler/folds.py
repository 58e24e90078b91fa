"""How simd/folds.py is made of instructions."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..simd.folds import largest, total
from .numba_types import INT, VectorType, block


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
