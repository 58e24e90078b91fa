"""The parts of the threads that a network's work is divided among, and where their rows lie: see kernels/parallel.py.

Nothing outside a network knows where rows lie: what is saved has its rows by time and stream, whatever the threads.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..distributed.ranks import Exchange
from ..kernels.buffers import Evidence, Sizes
from ..kernels.matmul import CHUNK, Scratch
from ..kernels.parallel import GATE, HASTY, PATIENT, Part, share
from ..kernels.simd import PAD
from ..kernels.tile import PANEL
from ..system import processors
from .arrays import aligned_zeros
from .arrays import padded as roundup
from .parameters import Parameters


class Partition:
    """The parts of a network's threads: `groups` of streams, each of a thread for every slice of units."""

    def __init__(self, parameters: Parameters, padded: int, streams: int, trains: bool, way: tuple[int, int]) -> None:
        """way: groups and slices."""
        self.streams, self.trains, self.lengths = streams, trains, parameters.config.direct_lengths
        self.longest = max(self.lengths, default=0)
        self.out_rows = parameters.weights.out.shape[0]
        self.way = self.groups, self.slices = way
        ranks = self.groups * self.slices
        self.parts: list[Part] = []
        gate = np.zeros(ranks * GATE, np.int64)
        for rank in range(ranks):
            own = parameters.rows_of(rank, ranks)
            scratch = _scratch(padded, self.out_rows, trains), _evidence(streams, self.lengths, parameters.vocabulary)
            (piece, group), (lo, n) = divmod(rank, self.groups), self._blocks()[rank % self.groups]
            place = self.groups, group, self.slices, piece, lo, n, piece * streams + lo
            self.parts.append(Part(rank, ranks, *place, own, *scratch, gate, _patience(ranks)))

    def _blocks(self) -> list[tuple[int, int]]:
        """Return (first stream, streams) of each group, whose rows lie together."""
        bounds = [share(self.streams, group, self.groups) for group in range(self.groups)]
        return [(lo, hi - lo) for lo, hi in bounds]

    def rows(self, steps: int) -> np.ndarray:
        """Return the row of each step and stream within a slice, (steps, S), for an array that holds `steps` steps."""
        found = np.zeros((steps, self.streams), np.int64)
        for lo, n in self._blocks():
            found[:, lo : lo + n] = steps * lo + np.arange(steps * n).reshape(steps, n)
        return found

    def collect(self, array: np.ndarray, steps: int, groups: int) -> np.ndarray:
        """Copy with rows by step and stream, and slices joined: (..., X steps S, groups U) -> (..., steps, S, groups P).

        steps: how many the array holds; for a State, layers. groups: how many times U numbers a row holds, such as G; 0 if
        rows are not divided among slices, and each slice has a copy of them.
        """
        rows = self.rows(steps)
        if groups and self.slices > 1:
            *outer, _, width = array.shape
            parted = array.reshape(*outer, self.slices, rows.size, groups, width // groups)
            array = np.moveaxis(parted, -4, -2).reshape(*outer, rows.size, self.slices * width)
        return np.ascontiguousarray(array[..., rows, :])

    def spread(self, whole: np.ndarray, array: np.ndarray, steps: int, groups: int) -> None:
        """Write what `collect` returned back into the array."""
        rows = self.rows(steps)
        *outer, _, width = array.shape
        ordered = np.empty((*outer, rows.size, whole.shape[-1]), whole.dtype)
        ordered[..., rows, :] = whole
        if groups and self.slices > 1:
            parted = ordered.reshape(*outer, rows.size, groups, self.slices, width // groups)
            array[...] = np.moveaxis(parted, -2, -4).reshape(array.shape)
        else:
            array.reshape(*outer, -1, rows.size, width)[...] = ordered[..., None, :, :]

    def unit_runs(self, sizes: Sizes, groups: int, taken: int | None = None) -> np.ndarray:
        """Return the runs (groups X, 3) that collect a row of `groups` times P numbers from its slices: see tile.py.

        taken: how many of the groups; all by default.
        """
        per_slice = sizes.capacity * sizes.streams * groups * sizes.units
        return np.array(
            [
                (piece * per_slice + group * sizes.units, group * sizes.padded + piece * sizes.units, sizes.units)
                for group in range(groups if taken is None else taken)
                for piece in range(self.slices)
            ],
            np.int64,
        )

    def time_runs(self, sizes: Sizes, capacity: int) -> np.ndarray:
        """Return runs (C blocks, 3) of rows, slot by slot: in a ring of `capacity` steps, and in the window."""
        return np.array(
            [
                (capacity * lo + slot % capacity * n, sizes.capacity * lo + slot * n, n)
                for slot in range(sizes.capacity)
                for lo, n in self._blocks()
            ],
            np.int64,
        )


def _scratch(padded: int, outputs: int, trains: bool) -> Scratch:
    rows = CHUNK if trains else 0
    return Scratch(
        left=aligned_zeros((1, rows * max(padded, roundup(outputs)))),
        below=aligned_zeros((1, rows * padded)),
        right=aligned_zeros((1, rows * PANEL)),
        characters=np.zeros(rows, np.int32),
        run=np.zeros((1, 3), np.int64),
    )


def _evidence(streams: int, lengths: tuple[int, ...], vocabulary: int) -> Evidence:
    orders, v = len(lengths), vocabulary if lengths else 0
    return Evidence(
        context=np.zeros((streams, max(lengths, default=0)), np.uint64),
        characters=np.zeros((2, v), np.int32),
        counts=np.zeros((2, v), np.int32),
        own=np.zeros(v, np.int32),
        chance=np.ones(v),
        excess=np.ones((1, v + PAD), np.float32),
        backed_off=np.ones((1, v + PAD), np.float32),
        found=np.zeros(orders * v, np.int32),
        value=np.ones((1, orders * v + PAD), np.float32),
        first=np.zeros(orders + 1, np.int64),
        last=np.zeros(orders, np.int32),
        bucket=np.zeros(2 * orders, np.int16),
    )


def _idle_part(rank: int, ranks: int, gate: np.ndarray, evidence: Evidence) -> Part:
    """Return the part of a thread that computes nothing of a network."""
    place = ranks, rank, 1, 0, 0, 0, 0
    return Part(rank, ranks, *place, np.zeros((0, 2), np.int64), _scratch(0, 0, False), evidence, gate, _patience(ranks))


def _patience(threads: int) -> int:
    return PATIENT if threads <= len(processors()) else HASTY


def counting_parts(streams: int, lengths: tuple[int, ...], threads: int) -> list[Part]:
    """Return parts of threads that count a text in so many streams for tables."""
    gate = np.zeros(threads * GATE, np.int64)
    return [_idle_part(rank, threads, gate, _evidence(streams, lengths, 0)) for rank in range(threads)]


def run_together(
    kernel: Callable,
    arguments: tuple[Any, ...],
    parts: list[Part],
    pool: ThreadPoolExecutor,
    exchange: Exchange | None = None,
) -> tuple[list[float], float]:
    """Call a kernel on all parts at once, in other threads, so that this one can handle signals however long they take.

    exchange: sums gradients over the ranks meanwhile. Returns the share of its own time for which each thread got a
    processor, and the seconds that the slowest took.
    """
    parts[0].gate[:] = 0
    if exchange is not None:
        parts = [part._replace(bell=exchange.bell, answer=exchange.answer) for part in parts]
    running = [pool.submit(_timed, kernel, *arguments, part) for part in parts]
    if exchange is not None:
        exchange.serve(running)
    took = [part.result() for part in running]
    return [share for share, _ in took], max(passed for _, passed in took)


def _timed(kernel: Callable, *arguments: Any) -> tuple[float, float]:
    """Call a kernel. Return the share of the time for which this thread got a processor, and the seconds that passed."""
    got, begun = time.thread_time(), time.perf_counter()
    kernel(*arguments)
    got, passed = time.thread_time() - got, time.perf_counter() - begun
    return got / max(passed, 1e-9), passed
