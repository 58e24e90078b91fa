"""Threads of one update: the division of its work, the places of their memory, and waiting for each other.

All threads run the same kernel, each with a Part of its own. The parts decide which thread computes an output number, never
how it is computed, so results are the same bit for bit for any number of threads. There are two ways to
divide a pass over a block. With enough streams every thread takes some of them through time and needs nobody else.
With few streams several threads take the same ones, each computes a slice of every layer's units, and they meet at each
step. Both at once make a grid: groups of streams, and in each group a thread for each slice.

If several processes (MPI's ranks) make an update together, the threads of each sum its own gradients, and Python's main
thread sums these over the ranks. It sleeps until the kernel rings, and the kernel sleeps until it answers. They use pipes,
since neither may keep a processor busy that the other needs.

Two processors that write to neighbouring memory hold each other up, even 16 KiB apart, since each one's prefetching
takes lines from the other. So every thread's activations lie together: an array with a row for each step and stream
holds the rows of the first thread's streams, in order of time, then those of the second thread's; or the first slice
of every row, then the second slice of every row.
"""

import os
from typing import NamedTuple

import numpy as np

from .buffers import Evidence
from .jit import inner
from .matmul import Scratch
from .records import Array1, Array2
from .simd import LANES
from .tile import PANEL

GATE = 16  # int64 numbers of the gate a thread: places that threads write lie apart by two cache lines
# Looks at another thread's place before the processor is offered to somebody else. Where each thread has a processor, the
# one waited for will go on by itself, and whoever takes the offer keeps the processor for milliseconds.
PATIENT, HASTY = 200_000, 2000


class Part(NamedTuple):
    """The share of one thread in an update."""

    rank: int
    ranks: int
    groups: int  # parts that the streams are divided into
    group: int  # the group of streams that this thread takes through time
    slices: int  # parts that a layer's units are divided into; ranks = slices * groups, rank = slice * groups + group
    slice: int  # the slice that it computes
    lo: int  # the first stream of its group
    n: int  # how many
    base: int  # streams whose rows lie before its own, in arrays that hold one slice after the other
    own: Array2[np.int64]  # (pieces, 2): the rows of the flat buffer that it updates
    scratch: Scratch
    evidence: Evidence
    gate: Array1[np.int64]  # (ranks * GATE,), the same array for all threads, zeros at the start
    patience: int  # PATIENT, or HASTY if there are more threads than processors
    bell: int = -1  # pipe that the first thread writes to when more of the gradient is complete; -1: nobody listens
    answer: int = -1  # pipe that it reads from before the gradient is used; a byte for each update


def read(array: np.ndarray, index: int) -> int:
    """Return array[index] as other threads have left it, never a copy kept in a register."""
    return int(array[index])


def write(array: np.ndarray, index: int, value: int) -> None:
    """Write array[index] so that other threads see it, after all that was written before."""
    array[index] = value


def give_way() -> None:
    """Let another thread have the processor, where the system can."""


def ring(pipe: int) -> None:
    """Write a byte to a pipe."""
    os.write(pipe, b"g")


def listen(pipe: int) -> None:
    """Wait for a byte from a pipe, or for its end."""
    os.read(pipe, 1)


@inner
def barrier(part: Part) -> None:
    """Wait until all threads have come here. Each counts its arrivals in its own place and looks at the others'."""
    if part.ranks == 1:
        return
    _gather(part, 0, 1, 0)


@inner
def _gather(part, first, apart, kind):
    """Wait until each thread first, first + apart, first + 2 apart ... has come here as often as this one.

    kind: 0 for all threads, 1 for those of a group, which may meet more often than those of another. They are counted apart.
    """
    gate = part.gate
    arrivals = read(gate, part.rank * GATE + kind) + 1
    write(gate, part.rank * GATE + kind, arrivals)
    for other in range(first, part.ranks, apart):
        spins = 0
        while read(gate, other * GATE + kind) < arrivals:
            spins += 1
            if spins > part.patience:
                give_way()


@inner
def announce(part: Part) -> None:
    """Tell whoever sums over the ranks that the gradients of one more layer are complete; after a barrier."""
    if part.rank == 0 and part.bell >= 0:
        ring(part.bell)


@inner
def await_sum(part: Part) -> None:
    """Wait until the gradient is that of all ranks."""
    if part.answer >= 0:
        if part.rank == 0:
            listen(part.answer)
        barrier(part)


@inner
def meet(part: Part) -> None:
    """Wait for the other threads that share streams with this one, if there are any."""
    if part.slices > 1:
        _gather(part, part.group, part.groups, 1)


@inner
def share(n: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the part [lo, hi) of range(n) that thread `rank` of `ranks` takes."""
    return n * rank // ranks, n * (rank + 1) // ranks


@inner
def divide(n: int, piece: int, rank: int, ranks: int) -> tuple[int, int]:
    """Return the same as `share`, in whole pieces; the last thread takes what is left over too."""
    first, last = share(n // piece, rank, ranks)
    return first * piece, n if rank == ranks - 1 else last * piece


@inner
def pack_columns(part: Part, columns: int) -> tuple[int, int]:
    """Return the columns of its slice of a matrix that this thread packs: a share of them, since each group needs them."""
    return divide(columns, PANEL, part.group, part.groups)


@inner
def own_columns(part: Part, units: int) -> tuple[int, int]:
    """Return the units of its slice whose sums over rows this thread makes: a share of them for each group."""
    return divide(units, LANES, part.group, part.groups)


@inner
def own_rows(part: Part, steps: int) -> tuple[int, int]:
    """Return the rows [first, last) of a block that this thread computes alone, if no row depends on its neighbours.

    These are its share of the steps * n rows of its group's streams: all of them if no other thread takes these.
    """
    return share(steps * part.n, part.slice, part.slices)
