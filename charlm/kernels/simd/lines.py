"""Masks of a cache line of 64-bit numbers: a bit for each of the eight, number 0 the lowest."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..numba_internals import declared_function
from ..table_sizes import LINE
from .vector import pointer, spread

_NUMBER = ir.IntType(64)
_NUMBERS = ir.VectorType(_NUMBER, LINE)


def same(array: np.ndarray, row: int, column: int, shift: int, value: int) -> Any:
    """Return where n >> shift is `value`, for the numbers n = array[row, column : column + 8] of a uint64 array."""
    equal = array[row, column : column + LINE] >> np.uint64(shift) == np.uint64(value)
    return np.uint64(sum(1 << i for i in range(LINE) if equal[i]))


def lowest(mask: Any) -> Any:
    """Return the number of the lowest bit of a mask that is not 0."""
    return (int(mask) & -int(mask)).bit_length() - 1


def highest(mask: Any) -> Any:
    """Return the number of the highest bit of a mask that is not 0."""
    return int(mask).bit_length() - 1


@type_callable(same)
def _type_same(context: Any) -> Callable:
    return lambda array, row, column, shift, value: types.uint64


@lower_builtin(same, types.Array, *[types.Integer] * 4)
def _lower_same(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    indices = [context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2)]
    numbers = builder.load(pointer(context, builder, sig.args[0], args[0], indices, _NUMBERS), align=8)
    shift, value = (spread(builder, context.cast(builder, args[i], sig.args[i], types.uint64), _NUMBERS) for i in (3, 4))
    equal = builder.icmp_unsigned("==", builder.lshr(numbers, shift), value)
    return builder.zext(builder.bitcast(equal, ir.IntType(LINE)), _NUMBER)


@type_callable(lowest)
def _type_lowest(context: Any) -> Callable:
    return lambda mask: types.int64


@lower_builtin(lowest, types.Integer)
def _lower_lowest(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _zeros(context, builder, sig, args, "llvm.cttz.i64")


@type_callable(highest)
def _type_highest(context: Any) -> Callable:
    return lambda mask: types.int64


@lower_builtin(highest, types.Integer)
def _lower_highest(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.sub(ir.Constant(_NUMBER, 63), _zeros(context, builder, sig, args, "llvm.ctlz.i64"))


def _zeros(context: Any, builder: Any, sig: Any, args: Any, name: str) -> Any:
    """Return the zeros at one end of a mask, by an LLVM intrinsic that need not know what to do without a 1."""
    kind = ir.FunctionType(_NUMBER, [_NUMBER, ir.IntType(1)])
    function = declared_function(builder.module, kind, name)
    return builder.call(function, [context.cast(builder, args[0], sig.args[0], types.uint64), ir.Constant(ir.IntType(1), 1)])
