"""Lines of a text, scored one by one as they come: each alone, or after all that came before it. And unknown characters."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config.run import ResetConfig
from ..errors import CorpusError, finite
from ..nn.network import Network
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import Resets, opening_id

_STREAMS = 32  # read side by side where lines do not depend on each other
_STEPS = 64  # of a block
_CALL = 1 << 15  # characters of a kernel call, so that Ctrl-C is noticed soon
_WORTH = 4  # times as many characters as the longest line has make it worth to read side by side
# The probability that is kept for characters that a model does not know: so small that known ones cost no more by it than
# rounding does, while an unknown one costs 44 bits, 24 for the escape and 20 for which it is.
ESCAPE = 2.0**-24
_CODE_POINTS = 0x110000


class Scored(NamedTuple):
    """A line with what it costs. line: as it was given, with its end; each: bits of its characters (n,) float64.

    unknown: how many of them the model does not know. With a model of bytes `each` has the bits of bytes.
    """

    line: str
    each: np.ndarray
    unknown: int

    @property
    def bits(self) -> float:
        """Of the whole line."""
        return float(self.each.sum())

    @property
    def chars(self) -> int:
        """How many characters (with a model of bytes: bytes) it has, its end among them."""
        return len(self.each)


@dataclass(frozen=True)
class Escape:
    """A code for unknown characters: the escape's probability, then one of all code points that are not known.

    What is known costs as much more as the escape takes, so that the whole stays a code length. In nats.
    """

    vocabulary: int

    @property
    def known(self) -> float:
        """Added to the cost of each known character."""
        return -float(np.log1p(-ESCAPE))

    @property
    def unknown(self) -> float:
        """The cost of an unknown one."""
        return float(np.log((_CODE_POINTS - self.vocabulary) / ESCAPE))

    def costs(self, ids: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Nats (n,) float64 of characters (n,), -1 for unknown ones, from those of the known ones alone."""
        nats = np.full(len(ids), self.unknown)
        nats[ids >= 0] = known + self.known
        return nats


class LineScorer:
    """Scores lines in their order, in batches of any size; what comes out does not depend on how they are batched.

    The text is read as evaluation reads it: its first character is predicted from blocks.opening_id, and the
    state is reset where the policy says so, whatever lines there are.
    """

    def __init__(self, saved: Checkpoint, policy: ResetConfig | None = None, escape: bool = False, threads: int = 1) -> None:
        """policy: default that of the model. escape: whether unknown characters have a price or are an error.

        Raises CorpusError where each line is to be read alone and the model knows no line's end.
        """
        config = policy or saved.config.reset
        self._vocabulary = saved.vocabulary
        self._resets = Resets.for_text(config, saved.config.truncation.k1, saved.vocabulary)
        self._alone = config.policy == "line"
        if self._alone and len(self._resets.separator) == 0:
            raise CorpusError(f"{saved.path}: the model knows no line's end: it was trained on a text of one line")
        self._opening = opening_id(config, saved.vocabulary)
        self._escape = Escape(len(saved.vocabulary)) if escape else None
        self._narrow = Network(saved.parameters, 1, _STEPS, threads=threads)
        self._wide = Network(saved.parameters, _STREAMS, _STEPS, threads=threads) if self._alone else None
        self._lines = 0
        self._begin(np.array([self._opening]), 0)

    def _begin(self, characters: np.ndarray, position: int) -> None:
        """Starts at a place of the text. characters: that were read before the last of them; position: of the last one."""
        self._narrow.clear_state()
        self._read_before, self._last, self._position = characters[:-1], int(characters[-1]), position

    def score(self, lines: Sequence[str]) -> Iterator[Scored]:
        """Yields each line scored; raises CorpusError at the first that cannot be, after those before it."""
        ids: list[np.ndarray] = []
        problem = None
        for line in lines:
            try:
                ids.append(self._encode(line, self._lines + len(ids) + 1))
            except CorpusError as error:
                problem = error
                break
        self._lines += len(ids)
        known = self._nats([each[each >= 0] for each in ids])
        for line, each, nats in zip(lines, ids, known, strict=False):
            costs = self._escape.costs(each, nats) if self._escape else nats
            finite(float(costs.sum()), "the loss of a line")
            yield Scored(line, costs / math.log(2), int((each < 0).sum()) if self._escape else 0)
        if problem:
            raise problem

    def known_ids(self, lines: Sequence[str]) -> np.ndarray:
        """Returns the characters (n,) of the lines that the model knows: what reading them goes over."""
        ids = np.concatenate([self._vocabulary.look_up(line) for line in lines])
        return ids[ids >= 0]

    def jump(self, lines: int, known: int, before: np.ndarray) -> None:
        """Goes on at another place of the text: after so many lines and known characters, the last of which are `before`.

        Where there are more of them, the state is the one that these leave, as eval's streams have theirs.
        """
        self._lines = lines
        if self._alone:
            return
        if len(before) == known:
            self._begin(np.array([self._opening]), 0)
            self._in_order(before)
        else:
            self._begin(before[:1], known - len(before) + 1)
            self._in_order(before[1:])

    def _encode(self, line: str, number: int) -> np.ndarray:
        ids = self._vocabulary.look_up(line)
        if self._escape is None and (ids < 0).any():
            if any("\udc80" <= character <= "\udcff" for character in line):
                raise CorpusError(f"line {number:,}: not UTF-8; convert it (iconv), or leave out --unknown error")
            self._vocabulary.encode(line, f"line {number:,}")  # which names the character
        return ids

    def _nats(self, lines: list[np.ndarray]) -> list[np.ndarray]:
        """The losses (n,) float64 of each line's characters (n,), its end among them where it has one."""
        ends = np.cumsum([0, *map(len, lines)])
        ids = np.concatenate([np.zeros(0, np.int32), *lines]).astype(np.int32)
        longest = max(map(len, lines), default=0)
        wide = self._wide if len(ids) >= _WORTH * longest and len(lines) > 1 else None
        if self._alone:
            self._begin(np.array([self._opening]), 0)  # whatever was read before, a line of its own begins like the first
        losses = self._side_by_side(wide, ids, ends) if wide else self._in_order(ids)
        return [losses[a:b] for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    def _in_order(self, ids: np.ndarray) -> np.ndarray:
        characters = np.concatenate([[self._last], ids])
        resets = self._resets.following(self._read_before, characters[:-1], self._position)
        if len(ids):
            recent = max(1, len(self._resets.separator))
            self._read_before = np.concatenate([self._read_before, characters[:-1]])[-recent:]
            self._last, self._position = int(ids[-1]), self._position + len(ids)
        return self._read(self._narrow, characters[:, None], resets[:, None])[:, 0]

    def _side_by_side(self, net: Network, ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Whole lines are dealt out to streams of about the same length."""
        cuts = ends[np.searchsorted(ends, np.linspace(0, len(ids), net.streams + 1))]
        characters = np.full((int(np.diff(cuts).max()) + 1, net.streams), self._opening, np.int32)
        pieces = list(enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)))
        for s, (a, b) in pieces:
            characters[1 : b - a + 1, s] = ids[a:b]
        found = self._read(net, characters, characters[:-1] == self._opening)
        return np.concatenate([found[: b - a, s] for s, (a, b) in pieces])

    def _read(self, net: Network, characters: np.ndarray, resets: np.ndarray) -> np.ndarray:
        """Losses (n, S) of the rows (n + 1, S) after the first; resets (n, S): where the state is set to zero."""
        steps = max(1, _CALL // net.streams)
        found = [np.zeros((0, net.streams))]
        for first in range(0, len(resets), steps):
            part = np.ascontiguousarray(characters[first : first + steps + 1], np.int32)
            found.append(net.score(part, np.ascontiguousarray(resets[first : first + steps], np.uint8))[0])
        return np.concatenate(found)
