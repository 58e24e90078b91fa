"""A long sequence as S streams read side by side, the update blocks it is cut into, and where the state is reset.

Every character but the first is a target exactly once an epoch: the N - 1 targets are dealt out as evenly as possible,
the first (N - 1) mod S streams get one more, and the first character of stream j + 1 is the last target of stream j.
"""

from dataclasses import dataclass

import numpy as np

from .config import ResetConfig, RunConfig
from .errors import CorpusError
from .kernels.parallel import share
from .vocabulary import Vocabulary


@dataclass(frozen=True)
class Streams:
    """How N characters are split over S streams, and which of them are read here: all, or those of one rank.

    length: N. count: S. first, own: the first stream that is read here, and how many are.
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

    def of_rank(self, rank: int, ranks: int) -> "Streams":
        """The same with the share of one of `ranks` ranks only."""
        first, last = share(self.count, rank, ranks)
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
        """How many of all S streams lack the target of an epoch's last step."""
        return self.count * self.steps - (self.length - 1)

    def read(self, ids: np.ndarray, first: int, last: int) -> np.ndarray:
        """Characters of steps [first, last) and the targets of the last one: (last - first + 1, own) int32.

        Row i is what step first + i reads, row i + 1 what it should predict; -1 where a stream has ended before.
        """
        out = np.empty((last - first + 1, self.own), np.int32)
        for s, (start, targets) in enumerate(zip(self.starts.tolist(), self.targets.tolist(), strict=True)):
            end = min(last, targets)
            out[: end - first + 1, s] = ids[start + first : start + end + 1]
            out[end - first + 1 :, s] = -1
        return out


class Resets:
    """Where the policy sets a stream's state to zero: before reading which characters.

    With line and after it is the separator's last character: what follows a separator is predicted from that character
    alone, so sequences that separators divide are independent of each other.

    period: steps between resets; 0 where the text decides. separator: (n,) ids, empty where there is none.
    """

    def __init__(self, config: ResetConfig, block: int, separator: np.ndarray | None = None) -> None:
        """block: k1, for the policy block. separator: ids of the text after which a sequence ends, for line and after.

        A separator of None or with characters that the vocabulary lacks never occurs, so it never resets.
        """
        self._policy = config.policy
        self.period = {"block": block, "every": config.every}.get(config.policy, 0)
        self.separator = np.zeros(0, np.int32) if separator is None else separator.astype(np.int32)

    @classmethod
    def of_run(cls, config: RunConfig, vocabulary: Vocabulary) -> "Resets":
        """The policy that a run trains with, and that texts which its model reads or writes follow."""
        return cls.for_text(config.reset, config.truncation.k1, vocabulary)

    @classmethod
    def for_text(cls, config: ResetConfig, block: int, vocabulary: Vocabulary) -> "Resets":
        """The policy for texts of this vocabulary."""
        if not config.separator:
            return cls(config, block)
        ids, unknown = vocabulary.encode_known(config.separator)
        return cls(config, block, None if unknown else ids)

    def read(self, streams: Streams, ids: np.ndarray, first: int, last: int) -> np.ndarray:
        """(last - first, own) uint8, 1 where the state is reset before the step; an epoch's first step always is,
        unless the policy is never."""
        out = np.zeros((last - first, streams.own), np.uint8)
        if self._policy == "never":
            return out
        steps = np.arange(first, last)
        if self.period:
            out[steps % self.period == 0] = 1
        elif len(self.separator):
            for s, start in enumerate(streams.starts.tolist()):
                out[:, s] = _ends(ids, start + first, start + last, self.separator)
        out[steps == 0] = 1
        return out


def _ends(ids: np.ndarray, first: int, last: int, separator: np.ndarray) -> np.ndarray:
    """(last - first,) uint8: 1 at positions of ids that hold the last character of the separator."""
    n = len(separator)
    begin = max(0, first - n + 1)
    text = np.asarray(ids[begin : min(last, len(ids))])
    found = np.zeros(last - first, np.uint8)
    if len(text) < n:
        return found
    match = np.ones(len(text) - n + 1, bool)
    for i, character in enumerate(separator.tolist()):
        match &= text[i : len(text) - n + 1 + i] == character
    found[np.flatnonzero(match) + begin + n - 1 - first] = 1
    return found
