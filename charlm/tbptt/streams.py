"""A long sequence as S streams that are read side by side.

Every character but the first is a target exactly once an epoch: the N - 1 targets are dealt out as evenly as possible,
the first (N - 1) mod S streams get one more, and the first character of stream j + 1 is the last target of stream j.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..errors import CorpusError
from ..lazy import np


class Ids(Protocol):
    """A sequence of ids: an array, or a text that is encoded as it is read. Slices are arrays."""

    def __len__(self) -> int:
        """Return the number of ids."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """Return one of them, or a slice."""
        ...


@dataclass(frozen=True)
class Streams:
    """The split of N characters over S streams, of which all are read here, or those of one rank.

    length: N. count: S. first, own: the first stream that is read here, and their number.
    """

    length: int
    count: int
    first: int = 0
    own: int = -1

    def __post_init__(self) -> None:
        if self.length - 1 < self.count:
            raise CorpusError(f"{self.length} characters are too few for {self.count} streams")
        if self.own < 0:
            object.__setattr__(self, "own", self.count)

    def of_rank(self, rank: int, ranks: int) -> Streams:
        """Return the same streams with the share of one of `ranks` ranks only."""
        first, last = self.count * rank // ranks, self.count * (rank + 1) // ranks
        return Streams(self.length, self.count, first, last - first)

    @property
    def steps(self) -> int:
        """Steps of an epoch: the longest stream's."""
        return -(-(self.length - 1) // self.count)

    @property
    def starts(self) -> np.ndarray:
        """The position of the first character of each stream that is read here, (own,) int64."""
        short, longer = divmod(self.length - 1, self.count)
        index = np.arange(self.first, self.first + self.own)
        return index * short + np.minimum(index, longer)

    @property
    def targets(self) -> np.ndarray:
        """The number of their targets, (own,) int64; never increasing."""
        short, longer = divmod(self.length - 1, self.count)
        return short + (np.arange(self.first, self.first + self.own) < longer)

    @property
    def shorter(self) -> int:
        """The number of streams, of all S, that lack the target of an epoch's last step."""
        return self.count * self.steps - (self.length - 1)

    def read(self, ids: Ids, first: int, last: int) -> np.ndarray:
        """Return the characters of steps [first, last) and the targets of the last one: (last - first + 1, own) int32.

        Row i is what step first + i reads, row i + 1 what it should predict; -1 where a stream has ended before.
        """
        out = np.empty((last - first + 1, self.own), np.int32)
        for s, (start, targets) in enumerate(zip(self.starts.tolist(), self.targets.tolist(), strict=True)):
            end = min(last, targets)
            out[: end - first + 1, s] = ids[start + first : start + end + 1]
            out[end - first + 1 :, s] = -1
        return out
