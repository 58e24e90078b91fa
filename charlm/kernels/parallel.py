"""How the threads of one update meet: a spinning barrier, and fair shares of a range.

All threads run the same kernel with their own `rank` of `ranks`. What each output number is made of never depends on
the ranks, only who computes it, so results are the same bit for bit for any number of threads.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, type_callable

from .jit import inner

ARRIVED, ROUND = 0, 16  # positions in the gate: apart by two cache lines
GATE_SIZE = 32
_SPINS = 2000  # looks at the gate before the processor is offered to somebody else


def new_gate() -> np.ndarray:
    """The shared memory of a barrier: int64 (GATE_SIZE,), zeros."""
    return np.zeros(GATE_SIZE, np.int64)


def _increment(array: np.ndarray, index: int) -> int:
    """Adds 1 to array[index] and returns what it held, atomically."""
    array[index] += 1
    return int(array[index] - 1)


def _read(array: np.ndarray, index: int) -> int:
    """array[index] as other threads have left it, never a copy kept in a register."""
    return int(array[index])


def _write(array: np.ndarray, index: int, value: int) -> None:
    """Writes array[index] so that other threads see it, after all that was written before."""
    array[index] = value


def _give_way() -> None:
    """Lets another thread have the processor, where the system can."""


def _address(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    struct = context.make_array(sig.args[0])(context, builder, args[0])
    index = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.gep(struct.data, [index])


for _plain, _result in ((_increment, types.int64), (_read, types.int64)):
    type_callable(_plain)(lambda context, result=_result: lambda array, index: result)


@lower_builtin(_increment, types.Array, types.Integer)
def _lower_increment(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    one = ir.Constant(ir.IntType(64), 1)
    return builder.atomic_rmw("add", _address(context, builder, sig, args), one, "seq_cst")


@lower_builtin(_read, types.Array, types.Integer)
def _lower_read(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load_atomic(_address(context, builder, sig, args), ordering="acquire", align=8)


@type_callable(_write)
def _type_write(context: Any) -> Callable:
    return lambda array, index, value: types.void


@lower_builtin(_write, types.Array, types.Integer, types.Integer)
def _lower_write(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    value = context.cast(builder, args[2], sig.args[2], types.int64)
    builder.store_atomic(value, _address(context, builder, sig, args), ordering="release", align=8)
    return context.get_dummy_value()


@type_callable(_give_way)
def _type_give_way(context: Any) -> Callable:
    return lambda: types.void


@lower_builtin(_give_way)
def _lower_give_way(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if os.name == "posix":
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield")
        builder.call(function, [])
    return context.get_dummy_value()


@inner
def barrier(gate: np.ndarray, ranks: int) -> None:
    """Waits until all `ranks` threads have come here."""
    if ranks == 1:
        return
    this_round = _read(gate, ROUND)
    if _increment(gate, ARRIVED) == ranks - 1:
        _write(gate, ARRIVED, 0)
        _write(gate, ROUND, this_round + 1)
        return
    spins = 0
    while _read(gate, ROUND) == this_round:
        spins += 1
        if spins > _SPINS:
            _give_way()


@inner
def share(n: int, rank: int, ranks: int) -> tuple[int, int]:
    """The part [lo, hi) of range(n) that thread `rank` of `ranks` takes."""
    return n * rank // ranks, n * (rank + 1) // ranks
