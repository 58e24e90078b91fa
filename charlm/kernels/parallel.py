"""Threads of one update: the division of its work, the places of their memory, and waiting for each other.

All threads run the same kernel, each with a Part of its own. The parts decide which thread computes an output number, never
how it is computed, so results are the same bit for bit for any number of threads. There are two ways to
divide a pass over a block. With enough streams every thread takes some of them through time and needs nobody else.
With few streams all threads take all of them, each computes a slice of every layer's units, and they meet at each step.

If several processes (MPI's ranks) make an update together, the threads of each sum its own gradients, and Python's main
thread sums these over the ranks. It sleeps until the kernel rings, and the kernel sleeps until it answers. They use pipes,
since neither may keep a processor busy that the other needs.

Two processors that write to neighbouring memory hold each other up, even 16 KiB apart, since each one's prefetching
takes lines from the other. So every thread's activations lie together: an array with a row for each step and stream
holds the rows of the first thread's streams, in order of time, then those of the second thread's; or the first slice
of every row, then the second slice of every row.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from .buffers import Evidence
from .jit import inner, kernel, plain
from .matmul import Scratch
from .numba_internals import declared_function, on_stack

GATE = 16  # int64 numbers of the gate a thread: places that threads write lie apart by two cache lines
_SPINS = 2000  # looks at another thread's place before the processor is offered to somebody else


class Part(NamedTuple):
    """The share of one thread in an update."""

    rank: int
    ranks: int
    slices: int  # parts that a layer's units are divided into: `ranks`, or 1 where streams are divided
    slice: int  # the slice that this thread computes
    lo: int  # the first of the streams that it takes through time
    n: int  # how many
    base: int  # streams whose rows lie before its own, in arrays that hold one slice after the other
    own: np.ndarray  # (pieces, 2) int64: the rows of the flat buffer that it updates
    scratch: Scratch
    evidence: Evidence
    gate: np.ndarray  # (ranks * GATE,) int64, the same array for all threads, zeros at the start
    bell: int = -1  # pipe that the first thread writes to when more of the gradient is complete; -1: nobody listens
    answer: int = -1  # pipe that it reads from before the gradient is used; a byte for each update


def _read(array: np.ndarray, index: int) -> int:
    """Return array[index] as other threads have left it, never a copy kept in a register."""
    return int(array[index])


def _write(array: np.ndarray, index: int, value: int) -> None:
    """Write array[index] so that other threads see it, after all that was written before."""
    array[index] = value


def _give_way() -> None:
    """Let another thread have the processor, where the system can."""


def _ring(pipe: int) -> None:
    """Write a byte to a pipe."""
    os.write(pipe, b"g")


def _listen(pipe: int) -> None:
    """Wait for a byte from a pipe, or for its end."""
    os.read(pipe, 1)


def _address(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    struct = context.make_array(sig.args[0])(context, builder, args[0])
    index = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.gep(struct.data, [index])


@type_callable(_read)
def _type_read(context: Any) -> Callable:
    return lambda array, index: types.int64


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
        function = declared_function(builder.module, ir.FunctionType(ir.IntType(32), []), "sched_yield")
        builder.call(function, [])
    return context.get_dummy_value()


@type_callable(_ring)
@type_callable(_listen)
def _type_pipe(context: Any) -> Callable:
    return lambda pipe: types.void


def _call_pipe(builder: Any, name: str, pipe: Any) -> Any:
    """Call write(pipe, "g", 1) or read(pipe, buffer, 1) of the C library and return its result."""
    byte, long = ir.IntType(8), ir.IntType(64)
    buffer = on_stack(builder, ir.Constant(byte, ord("g")))
    kind = ir.FunctionType(long, [ir.IntType(32), byte.as_pointer(), long])
    function = declared_function(builder.module, kind, name)
    return builder.call(function, [builder.trunc(pipe, ir.IntType(32)), buffer, ir.Constant(long, 1)])


@lower_builtin(_ring, types.Integer)
def _lower_ring(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if os.name == "posix":
        _call_pipe(builder, "write", args[0])
    return context.get_dummy_value()


@lower_builtin(_listen, types.Integer)
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


@inner
def barrier(part: Part) -> None:
    """Wait until all threads have come here. Each counts its arrivals in its own place and looks at the others'."""
    if part.ranks == 1:
        return
    gate = part.gate
    arrivals = _read(gate, part.rank * GATE) + 1
    _write(gate, part.rank * GATE, arrivals)
    for other in range(part.ranks):
        spins = 0
        while _read(gate, other * GATE) < arrivals:
            spins += 1
            if spins > _SPINS:
                _give_way()


@inner
def announce(part: Part) -> None:
    """Tell whoever sums over the ranks that the gradients of one more layer are complete; after a barrier."""
    if part.rank == 0 and part.bell >= 0:
        _ring(part.bell)


@inner
def await_sum(part: Part) -> None:
    """Wait until the gradient is that of all ranks."""
    if part.answer >= 0:
        if part.rank == 0:
            _listen(part.answer)
        barrier(part)


@kernel
def rehearse(meetings: int, part: Part) -> None:
    """Meet and do nothing else, so that it can be timed."""
    for _ in range(meetings):
        barrier(part)


@inner
def meet(part: Part) -> None:
    """Wait for the other threads if they share streams with this one."""
    if part.slices > 1:
        barrier(part)


@plain
def share(n: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the part [lo, hi) of range(n) that thread `rank` of `ranks` takes."""
    return n * rank // ranks, n * (rank + 1) // ranks


@plain
def divide(n: int, piece: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the same as `share`, in whole pieces; the last thread takes what is left over too."""
    first, last = share(n // piece, rank, ranks)
    return first * piece, n if rank == ranks - 1 else last * piece


@inner
def own_rows(part: Part, steps: int) -> tuple[int, int]:
    """Return the rows [first, last) of a block that this thread computes alone, if no row depends on its neighbours.

    These are all steps * n rows of its streams, or its share of them if all threads take the same streams.
    """
    if part.slices > 1:
        return share(steps * part.n, part.rank, part.ranks)
    return 0, steps * part.n
