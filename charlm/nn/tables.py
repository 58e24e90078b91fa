"""The tables beside a network: counts of what followed each context, some last characters.

The kernels count and look up (kernels/contexts.py), and weigh what was found (kernels/direct.py).
"""

from copy import copy

import numpy as np

from ..config.model import ModelConfig
from ..kernels.buffers import Tables
from ..kernels.table_sizes import OWN_TABLES, REGIONS, places, room
from ..tbptt.streams import Streams
from ..tree import StateDict
from .arrays import large_zeros
from .table_state import packed, unpacked

_SECTIONS = 32  # that a text is divided into, at least


class ContextTables:
    """Counts of a text: none at first.

    counts: (REGIONS, n) uint64, as kernels/contexts.py lays them out. Those of sections, which training leaves out of what
    predicts them, are there if the text was counted as a whole.
    """

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        """vocabulary: V; no character beyond it is counted."""
        self.lengths, self._vocabulary = config.direct_lengths, vocabulary
        self._megabytes = config.table_megabytes
        self.counts = _empty(self._megabytes)
        self._own, self._per_stream, self._stretch = _empty(0), 1, 1
        self._used, self._own_used = np.zeros(REGIONS, np.int64), np.zeros(REGIONS, np.int64)

    def for_kernels(self, excludes: bool = False, learns: bool = False) -> Tables:
        """Return the tables for a network. excludes: leave out what the section itself counts. learns: count every block."""
        own = self._own if excludes else _empty(0)
        used = self._used, self._own_used
        return Tables(
            np.array(self.lengths, np.int64),
            self.counts,
            used[0],
            own,
            used[1],
            self._per_stream,
            self._stretch,
            int(learns),
        )

    def prepare(self, streams: Streams) -> None:
        """Begin to count a text that lies in these streams, section by section."""
        self.counts = _empty(self._megabytes)
        self._own = _empty(OWN_TABLES * self._megabytes)
        self._used[...], self._own_used[...] = 0, 0
        self._per_stream = -(-_SECTIONS // streams.count)
        self._stretch = -(-streams.steps // self._per_stream)

    def copy(self) -> "ContextTables":
        """Return tables that can go on counting by themselves, without the counts of sections."""
        own = copy(self)
        own.counts, own._own = _empty(self._megabytes), _empty(0)
        own.counts[...] = self.counts
        own._used, own._own_used = self._used.copy(), np.zeros(REGIONS, np.int64)
        return own

    @property
    def full(self) -> bool:
        """Return whether a region takes no new entries, so that what follows would be counted in part."""
        regions = ((self._used, self.counts), (self._own_used, self._own))
        return any(bool((used >= room(table.shape[1])).any()) for used, table in regions)

    def restore(self, other: "ContextTables") -> None:
        """Take over the counts of tables of the same size."""
        self.counts[...], self._used[...] = other.counts, other._used

    @property
    def bytes(self) -> int:
        """The memory that they take."""
        return self.counts.nbytes + self._own.nbytes

    def state_dict(self) -> StateDict:
        """Return the entries and their places: see table_state.py."""
        return packed(self.counts)

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.fill(*unpacked(state, self._megabytes, self._vocabulary))

    def fill(self, occupied: np.ndarray, entries: np.ndarray) -> None:
        """Take over what `unpacked` returned for tables of this size."""
        self.counts[...] = 0
        self.counts[occupied] = entries
        self._used[...] = occupied.sum(1)


def _empty(megabytes: int) -> np.ndarray:
    return large_zeros((REGIONS, places(megabytes)), np.uint64)
