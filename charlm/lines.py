"""Lines of a text, scored one by one as they come: each alone, or after all that came before it."""

from dataclasses import dataclass

import numpy as np

from .network import Network
from .parameters import Parameters

_STREAMS = 32  # read side by side where lines do not depend on each other
_STEPS = 64  # of a block
_CALL = 1 << 15  # characters of a kernel call, so that Ctrl-C is noticed soon
_WORTH = 4  # times as many characters as the longest line has make it worth to read side by side
ESCAPE = 2.0**-16  # the probability that is kept for characters that a model does not know
_CODE_POINTS = 0x110000


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


class LineScorer:
    """Scores lines in their order, in batches of any size; what comes out does not depend on how they are batched.

    A line is predicted from a line's end, with the state zero before it is read (alone), or carried from line to line.
    """

    def __init__(self, parameters: Parameters, newline: int, alone: bool, threads: int = 1) -> None:
        """newline: the id of a line's end."""
        self._newline, self._alone, self._last = newline, alone, newline
        self._narrow = Network(parameters, 1, _STEPS, threads=threads)
        self._wide = Network(parameters, _STREAMS, _STEPS, threads=threads) if alone else None

    def nats(self, lines: list[np.ndarray]) -> list[np.ndarray]:
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
        return self._score(self._narrow, characters)[:, 0]

    def _side_by_side(self, net: Network, ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Whole lines are dealt out to streams of about the same length."""
        cuts = ends[np.searchsorted(ends, np.linspace(0, len(ids), net.streams + 1))]
        characters = np.full((int(np.diff(cuts).max()) + 1, net.streams), self._newline, np.int32)
        pieces = list(enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)))
        for s, (a, b) in pieces:
            characters[1 : b - a + 1, s] = ids[a:b]
        found = self._score(net, characters)
        return np.concatenate([found[: b - a, s] for s, (a, b) in pieces])

    def _score(self, net: Network, characters: np.ndarray) -> np.ndarray:
        """Losses (n, S) of the rows (n + 1, S) after the first."""
        steps = max(1, _CALL // net.streams)
        found = [np.zeros((0, net.streams))]
        for first in range(0, len(characters) - 1, steps):
            part = np.ascontiguousarray(characters[first : first + steps + 1], np.int32)
            resets = (part[:-1] == self._newline) if self._alone else np.zeros((len(part) - 1, net.streams), bool)
            found.append(net.score(part, resets.astype(np.uint8))[0])
        return np.concatenate(found)
