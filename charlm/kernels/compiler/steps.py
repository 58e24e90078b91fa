"""How steps are called by their address: see steps.py."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..steps import call, span
from .numba_types import ArrayType, address, as_indices, row


@type_callable(span)
def _type_span(context: Any) -> Callable:
    return lambda array, first, last: row


@lower_builtin(span, ArrayType, types.Integer, types.Integer)
def _lower_span(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return address(context, builder, args[0], as_indices(context, builder, sig.args[1:2], args[1:2]))


@type_callable(call)
def _type_call(context: Any) -> Callable:
    return lambda step, arguments: types.void


@lower_builtin(call, types.Integer, types.BaseTuple)
def _lower_call(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packer = context.get_arg_packer(sig.args[1].types)
    function = ir.FunctionType(ir.VoidType(), packer.argument_types)
    values = [builder.extract_value(args[1], i) for i in range(len(sig.args[1].types))]
    builder.call(builder.inttoptr(args[0], function.as_pointer()), packer.as_arguments(builder, values))
    return context.get_dummy_value()
