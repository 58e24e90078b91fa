"""How threads see each other's writes, and how they wait: see parallel.py."""

import os
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..parallel import give_way, listen, read, ring, write
from .instructions import declared_function, on_stack
from .numba_types import ArrayType, address, as_indices


def _address(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return address(context, builder, args[0], as_indices(context, builder, sig.args[1:2], args[1:2]))


@type_callable(read)
def _type_read(context: Any) -> Callable:
    return lambda array, index: types.int64


@lower_builtin(read, ArrayType, types.Integer)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load_atomic(_address(context, builder, sig, args), ordering="acquire", align=8)


@type_callable(write)
def _type_write(context: Any) -> Callable:
    return lambda array, index, value: types.void


@lower_builtin(write, ArrayType, types.Integer, types.Integer)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    value = context.cast(builder, args[2], sig.args[2], types.int64)
    builder.store_atomic(value, _address(context, builder, sig, args), ordering="release", align=8)
    return context.get_dummy_value()


@type_callable(give_way)
def _type_give_way(context: Any) -> Callable:
    return lambda: types.void


@lower_builtin(give_way)
def _lower_give_way(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if os.name == "posix":
        function = declared_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield")
        builder.call(function, [])
    return context.get_dummy_value()


@type_callable(ring)
@type_callable(listen)
def _type_pipe(context: Any) -> Callable:
    return lambda pipe: types.void


def _call_pipe(builder: Any, name: str, pipe: Any) -> Any:
    """Call write(pipe, "g", 1) or read(pipe, buffer, 1) of the C library and return its result."""
    byte, long = ir.IntType(8), ir.IntType(64)
    buffer = on_stack(builder, ir.Constant(byte, ord("g")))
    kind = ir.FunctionType(long, [ir.IntType(32), byte.as_pointer(), long])
    function = declared_function(builder.module, kind, name)
    return builder.call(function, [builder.trunc(pipe, ir.IntType(32)), buffer, ir.Constant(long, 1)])


@lower_builtin(ring, types.Integer)
def _lower_ring(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if os.name == "posix":
        _call_pipe(builder, "write", args[0])
    return context.get_dummy_value()


@lower_builtin(listen, types.Integer)
def _lower_listen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if os.name == "posix":
        again, done = builder.append_basic_block("listen"), builder.append_basic_block("heard")
        builder.branch(again)
        builder.position_at_end(again)
        found = _call_pipe(builder, "read", args[0])
        # Less than 0: a signal's handler ran on this thread meanwhile.
        builder.cbranch(builder.icmp_signed("<", found, ir.Constant(found.type, 0)), again, done)
        builder.position_at_end(done)
    return context.get_dummy_value()
