"""How a network's work is divided among threads, and where each thread's rows lie: see kernels/parallel.py.

Nothing outside a network knows this layout: what is saved has its rows by time and stream, whatever the threads.
"""

import numpy as np

from .kernels.buffers import Sizes
from .kernels.lanes import LANES
from .kernels.matmul import PANEL
from .kernels.parallel import GATE, Part, share
from .parameters import Parameters

_STREAMS = 12  # streams that make a thread's products as fast as they get
_LEAST_STREAMS = 4  # streams that are worth a thread where units cannot be divided


class Layout:
    """The parts of `threads` threads, or of as many as are of use, for a block of `streams` streams."""

    def __init__(self, parameters: Parameters, padded: int, streams: int, threads: int) -> None:
        by_streams, by_units = min(threads, streams // _STREAMS), _slices(padded, threads)
        if max(by_streams, by_units) == 1:
            by_streams = min(threads, streams // _LEAST_STREAMS)
        ranks = max(1, by_streams, by_units)
        self.slices = 1 if by_streams == ranks else ranks
        self.streams = streams
        self.parts: list[Part] = []
        gate = np.zeros(ranks * GATE, np.int64)
        for rank in range(ranks):
            own = parameters.rows_of(rank, ranks)
            if self.slices > 1:
                self.parts.append(Part(rank, ranks, ranks, rank, 0, streams, rank * streams, own, gate))
            else:
                lo, hi = share(streams, rank, ranks)
                self.parts.append(Part(rank, ranks, 1, 0, lo, hi - lo, lo, own, gate))

    def _blocks(self) -> list[tuple[int, int]]:
        """(first stream, streams) of each block of rows."""
        return [(0, self.streams)] if self.slices > 1 else [(part.lo, part.n) for part in self.parts]

    def rows(self, steps: int) -> np.ndarray:
        """Where in a slice the row of a step and stream lies, (steps, S), in an array that holds `steps` steps."""
        found = np.zeros((steps, self.streams), np.int64)
        for lo, n in self._blocks():
            found[:, lo : lo + n] = steps * lo + np.arange(steps * n).reshape(steps, n)
        return found

    def collect(self, array: np.ndarray, steps: int, groups: int) -> np.ndarray:
        """A copy with rows by step and stream and slices joined: (..., X steps S, groups U) -> (..., steps S, groups P).

        steps: what the array holds of them; layers for a State. groups: numbers of units that a row holds, such as G; 0
        where a row is not divided, and every slice, if there is one for each, has a copy of all rows.
        """
        rows = self.rows(steps).reshape(-1)
        if groups and self.slices > 1:
            *outer, _, width = array.shape
            parted = array.reshape(*outer, self.slices, len(rows), groups, width // groups)
            array = np.moveaxis(parted, -4, -2).reshape(*outer, len(rows), self.slices * width)
        return np.ascontiguousarray(array[..., rows, :])

    def spread(self, whole: np.ndarray, array: np.ndarray, steps: int, groups: int) -> None:
        """Writes what `collect` gave back into the array."""
        rows = self.rows(steps).reshape(-1)
        ordered = np.empty_like(whole)
        ordered[..., rows, :] = whole
        *outer, _, width = array.shape
        if groups and self.slices > 1:
            parted = ordered.reshape(*outer, len(rows), groups, self.slices, width // groups)
            array[...] = np.moveaxis(parted, -2, -4).reshape(array.shape)
        else:
            array.reshape(*outer, -1, len(rows), width)[...] = ordered[..., None, :, :]

    def unit_runs(self, sizes: Sizes, groups: int) -> np.ndarray:
        """Runs (groups X, 3) that collect a row of `groups` times P numbers from its slices: see kernels/matmul.py."""
        per_slice = sizes.capacity * sizes.streams * groups * sizes.units
        return np.array(
            [
                (piece * per_slice + group * sizes.units, group * sizes.padded + piece * sizes.units, sizes.units)
                for group in range(groups)
                for piece in range(self.slices)
            ],
            np.int64,
        )

    def time_runs(self, sizes: Sizes, capacity: int) -> np.ndarray:
        """Runs (C blocks, 3) of rows, all streams of each slot in turn: in a ring of `capacity` steps, and in the window's."""
        return np.array(
            [
                (capacity * lo + slot % capacity * n, sizes.capacity * lo + slot * n, n)
                for slot in range(sizes.capacity)
                for lo, n in self._blocks()
            ],
            np.int64,
        )


def _slices(padded: int, threads: int) -> int:
    """The most equal slices, at most one a thread, that are no narrower than half a panel."""
    return max(n for n in range(1, threads + 1) if n == 1 or (padded % (n * LANES) == 0 and padded // n >= PANEL // 2))
