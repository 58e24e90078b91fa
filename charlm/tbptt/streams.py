"""A long sequence as S streams read side by side, the update blocks it is cut into, and where the state is reset.

Every character but the first is a target exactly once an epoch: the N - 1 targets are dealt out as evenly as possible,
the first (N - 1) mod S streams get one more, and the first character of stream j + 1 is the last target of stream j.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..config.run import RESETS, ResetConfig, RunConfig, choice
from ..corpus.vocabulary import Vocabulary
from ..errors import CorpusError
from ..kernels.parallel import share


class Ids(Protocol):
    """A sequence of ids: an array, or a text that is encoded as it is read. Slices are arrays."""

    def __len__(self) -> int:
        """The number of ids."""
        ...

    def __getitem__(self, index: Any) -> Any:
        """One of them, or a slice."""
        ...


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

    def read(self, ids: Ids, first: int, last: int) -> np.ndarray:
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
        choice("reset", config.policy, RESETS)
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

    def read(self, streams: Streams, ids: Ids, first: int, last: int) -> np.ndarray:
        """(last - first, own) uint8, 1 where the state is reset before the step; an epoch's first step always is,
        unless the policy is never."""
        out = np.zeros((last - first, streams.own), np.uint8)
        if len(self.separator):
            for s, start in enumerate(streams.starts.tolist()):
                before = max(0, start + first - len(self.separator) + 1)
                text = np.asarray(ids[before : start + last])
                ends = self._ends(text)[start + first - before :]
                out[: len(ends), s] = ends
        self._add_periodic(out, first)
        return out

    def following(self, before: np.ndarray, characters: np.ndarray, position: int) -> np.ndarray:
        """(n,) uint8, 1 where the state is reset before one of `characters` (n,) is read.

        before: what was read before them, at least as long as the separator less one or all of the text. position: of
        the first of them in the text; the text's very first is 0.
        """
        out = self._ends(np.concatenate([before, characters]))[len(before) :]
        self._add_periodic(out[:, None], position)
        return out

    def _add_periodic(self, out: np.ndarray, first: int) -> None:
        """Marks the rows (n, .) of steps first, first + 1 and so on that are reset whatever is read there."""
        if self.period:
            out[-first % self.period :: self.period] = 1
        if first == 0 and self._policy != "never":
            out[:1] = 1

    def _ends(self, text: np.ndarray) -> np.ndarray:
        """(n,) uint8: 1 where a character of `text` (n,) is the last one of a separator."""
        n = len(self.separator)
        found = np.zeros(len(text), np.uint8)
        if 0 < n <= len(text):
            match = np.ones(len(text) - n + 1, bool)
            for i, character in enumerate(self.separator.tolist()):
                match &= text[i : len(text) - n + 1 + i] == character
            found[n - 1 :] = match
        return found


def opening(config: ResetConfig, vocabulary: Vocabulary) -> np.ndarray:
    """Returns what a model reads before a text begins: the end of one, ids (1,) or more.

    That is the separator of the sequences it was trained on, else a line's end, else (it knows none) its first character.
    """
    ids, unknown = vocabulary.encode_known(config.separator or "\n")
    return np.zeros(1, np.uint32) if unknown or len(ids) == 0 else ids


def opening_id(config: ResetConfig, vocabulary: Vocabulary) -> int:
    """Returns the last character of the opening: the one that a text's first character is predicted from."""
    return int(opening(config, vocabulary)[-1])
