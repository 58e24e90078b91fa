"""How simd/lines.py is made of instructions."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..simd.lines import highest, lowest, same
from ..table_sizes import LINE
from .instructions import declared_function, spread
from .numba_types import ArrayType, address, as_indices

_NUMBER = ir.IntType(64)
_NUMBERS = ir.VectorType(_NUMBER, LINE)


@type_callable(same)
def _type_same(context: Any) -> Callable:
    return lambda array, row, column, shift, value: types.uint64


@lower_builtin(same, ArrayType, *[types.Integer] * 4)
def _lower_same(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    at = address(context, builder, args[0], as_indices(context, builder, sig.args[1:3], args[1:3]))
    numbers = builder.load(builder.bitcast(at, _NUMBERS.as_pointer()), align=8)
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
