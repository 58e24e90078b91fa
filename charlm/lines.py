"""Lines of a text, scored one by one as they come: each alone, or after all that came before it. And unknown characters."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .checkpoint import Checkpoint
from .errors import CorpusError
from .network import Network

_STREAMS = 32  # read side by side where lines do not depend on each other
_STEPS = 64  # of a block
_CALL = 1 << 15  # characters of a kernel call, so that Ctrl-C is noticed soon
_WORTH = 4  # times as many characters as the longest line has make it worth to read side by side
ESCAPE = 2.0**-16  # the probability that is kept for characters that a model does not know
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

    A line is predicted from a line's end, with the state zero before it is read (alone), or carried from line to line.
    """

    def __init__(self, saved: Checkpoint, alone: bool, escape: bool = False, threads: int = 1) -> None:
        """escape: whether unknown characters have a price (see Escape) or are an error. Raises CorpusError."""
        newline, unknown = saved.vocabulary.encode_known("\n")
        if unknown:
            raise CorpusError(f"{saved.path}: the model knows no line's end: it was trained on a text of one line")
        self._newline = self._last = int(newline[0])
        self._alone, self._vocabulary = alone, saved.vocabulary
        self._escape = Escape(len(saved.vocabulary)) if escape else None
        self._narrow = Network(saved.parameters, 1, _STEPS, threads=threads)
        self._wide = Network(saved.parameters, _STREAMS, _STEPS, threads=threads) if alone else None
        self._lines = 0

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
            yield Scored(line, costs / math.log(2), int((each < 0).sum()) if self._escape else 0)
        if problem:
            raise problem

    def jump(self, lines: int, before: str) -> None:
        """Goes on at another place of the text: after so many lines, whose last characters are `before`.

        Lines that are not scored alone have the state that these characters leave, as eval's streams have theirs.
        """
        self._lines = lines
        if not self._alone:
            self._narrow.clear_state()
            self._last = self._newline
            ids = self._vocabulary.look_up(before)
            self._in_order(ids[ids >= 0])

    def _encode(self, line: str, number: int) -> np.ndarray:
        ids = self._vocabulary.look_up(line)
        if self._escape is None and (ids < 0).any():
            if any("\udc80" <= character <= "\udcff" for character in line):
                raise CorpusError(f"line {number:,}: not UTF-8; convert it (iconv), or use --unknown escape")
            self._vocabulary.encode(line, f"line {number:,}")  # which names the character
        return ids

    def _nats(self, lines: list[np.ndarray]) -> list[np.ndarray]:
        """The losses (n,) float64 of each line's characters (n,), its end among them where it has one."""
        ends = np.cumsum([0, *map(len, lines)])
        ids = np.concatenate([np.zeros(0, np.int32), *lines]).astype(np.int32)
        longest = max(map(len, lines), default=0)
        wide = self._wide if len(ids) >= _WORTH * longest and len(lines) > 1 else None
        losses = self._side_by_side(wide, ids, ends) if wide else self._in_order(ids)
        return [losses[a:b] for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    def _in_order(self, ids: np.ndarray) -> np.ndarray:
        characters = np.concatenate([[self._newline if self._alone else self._last], ids])[:, None]
        if len(ids):
            self._last = int(ids[-1])
        return self._read(self._narrow, characters)[:, 0]

    def _side_by_side(self, net: Network, ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Whole lines are dealt out to streams of about the same length."""
        cuts = ends[np.searchsorted(ends, np.linspace(0, len(ids), net.streams + 1))]
        characters = np.full((int(np.diff(cuts).max()) + 1, net.streams), self._newline, np.int32)
        pieces = list(enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)))
        for s, (a, b) in pieces:
            characters[1 : b - a + 1, s] = ids[a:b]
        found = self._read(net, characters)
        return np.concatenate([found[: b - a, s] for s, (a, b) in pieces])

    def _read(self, net: Network, characters: np.ndarray) -> np.ndarray:
        """Losses (n, S) of the rows (n + 1, S) after the first."""
        steps = max(1, _CALL // net.streams)
        found = [np.zeros((0, net.streams))]
        for first in range(0, len(characters) - 1, steps):
            part = np.ascontiguousarray(characters[first : first + steps + 1], np.int32)
            resets = (part[:-1] == self._newline) if self._alone else np.zeros((len(part) - 1, net.streams), bool)
            found.append(net.score(part, resets.astype(np.uint8))[0])
        return np.concatenate(found)
