"""Resets: where the state is set to zero, which is a separate choice from truncation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..config.checks import choice
from ..config.reset import RESETS, ResetConfig
from ..config.run import RunConfig
from ..lazy import np

if TYPE_CHECKING:
    from ..corpus.vocabulary import Vocabulary
    from .streams import Ids, Streams


class Resets:
    """The steps before which a policy sets a stream's state to zero.

    With line and after, the state is reset before the separator's last character is read. What follows a separator is
    predicted from that character alone, so sequences between separators are independent of each other.

    period: steps between resets; 0 if the text decides. separator: (n,) ids; empty if the policy has none.
    """

    def __init__(self, config: ResetConfig, block: int, separator: np.ndarray | None = None) -> None:
        """block: k1, for the policy block. separator: ids of the text after which a sequence ends, for line and after.

        None means that the separator never occurs, for example because the vocabulary lacks one of its characters.
        """
        choice("reset", config.policy, RESETS)
        self._policy = config.policy
        self.period = {"block": block, "every": config.every}.get(config.policy) or 0
        self.separator = np.zeros(0, np.int32) if separator is None else separator.astype(np.int32)

    @classmethod
    def of_run(cls, config: RunConfig, vocabulary: Vocabulary) -> Resets:
        """Return the resets of a run: in training, and in texts that its model reads or writes."""
        return cls.for_text(config.reset, config.truncation.k1, vocabulary)

    @classmethod
    def for_text(cls, config: ResetConfig, block: int, vocabulary: Vocabulary) -> Resets:
        """Return the resets of texts with this vocabulary."""
        if not config.separator:
            return cls(config, block)
        ids, unknown = vocabulary.encode_known(config.separator)
        return cls(config, block, None if unknown else ids)

    def describe(self) -> str:
        """Return a sentence about what resets do to training; empty if they never happen within an epoch."""
        return "" if self._policy in ("never", "epoch") else f"a reset ({self._policy}) cuts both state and gradient"

    def read(self, streams: Streams, ids: Ids, first: int, last: int) -> np.ndarray:
        """Return (last - first, own) uint8, 1 where the state is reset before the step.

        The first step of an epoch always is, unless the policy is never.
        """
        out = np.zeros((last - first, streams.own), np.uint8)
        if len(self.separator):
            for s, start in enumerate(streams.starts.tolist()):
                before = max(0, start + first - len(self.separator) + 1)
                text = np.asarray(ids[before : start + last])
                ends = ends_with(text, self.separator)[start + first - before :]
                out[: len(ends), s] = ends
        self._add_periodic(out, first)
        return out

    def following(self, before: np.ndarray, characters: np.ndarray, position: int) -> np.ndarray:
        """Return (..., n) uint8, 1 where the state is reset before one of `characters` (..., n) is read.

        before: (..., m), the characters before them; all of them, or at least the separator's length less one. position:
        of the first of `characters` in the text, from 0.
        """
        text = np.concatenate([before, characters], -1)
        out = ends_with(text, self.separator)[..., before.shape[-1] :].astype(np.uint8)
        self._add_periodic(out.T, position)
        return out

    def _add_periodic(self, out: np.ndarray, first: int) -> None:
        """Mark the rows (n, .) of steps first, first + 1 and so on that are reset whatever is read there."""
        if self.period:
            out[-first % self.period :: self.period] = 1
        if first == 0 and self._policy != "never":
            out[:1] = 1


def ends_with(text: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return (..., n) bool: whether the part of `text` (..., n) up to each character ends with the ids `end` (m,).

    Nothing ends with an `end` that is empty.
    """
    m, n = len(end), text.shape[-1]
    found = np.zeros(text.shape, bool)
    if 0 < m <= n:
        match = np.ones((*text.shape[:-1], n - m + 1), bool)
        for i, character in enumerate(end.tolist()):
            match &= text[..., i : n - m + 1 + i] == character
        found[..., m - 1 :] = match
    return found


def opening(config: ResetConfig, vocabulary: Vocabulary) -> np.ndarray:
    """Return what a model reads before a text begins, ids (1,) or more.

    It is the separator of the sequences that it was trained on; else a line's end; else, if it knows none, its first
    character.
    """
    ids, unknown = vocabulary.encode_known(config.separator or "\n")
    return np.zeros(1, np.uint32) if unknown or len(ids) == 0 else ids


def opening_id(config: ResetConfig, vocabulary: Vocabulary) -> int:
    """Return the last character of the opening, from which a text's first character is predicted."""
    return int(opening(config, vocabulary)[-1])
