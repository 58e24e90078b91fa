"""Line scoring: the loss of each line as it arrives, read on its own or after all lines before it. Unknown characters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config.reset import ResetConfig
from ..errors import CorpusError, finite
from ..kernels.elementary import log
from ..nn.network import Network
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import Resets, opening_id
from ..units import to_bits

_STREAMS = 32  # read side by side if lines do not depend on each other
_STEPS = 64  # per block
_CALL = 1 << 15  # characters per kernel call; few, since Ctrl-C waits for it to end
_WORTHWHILE = 4  # reading side by side pays if a batch is this many times as long as its longest line
# The probability reserved for unknown characters. It is so small that it adds no more than rounding to the cost of known
# characters. An unknown one costs about 44 bits: 24 for the escape and about 20 for its code point.
ESCAPE = 2.0**-24
_CODE_POINTS = 0x110000


class Scored(NamedTuple):
    """A scored line.

    line: as given, with its end. each: bits of its characters (n,) float64; of its bytes for a model of bytes. unknown: how
    many of its characters the model does not know.
    """

    line: str
    each: np.ndarray
    unknown: int

    @property
    def bits(self) -> float:
        """The bits of the whole line."""
        return float(self.each.sum())

    @property
    def chars(self) -> int:
        """The number of characters (of bytes for a model of bytes), including the line end."""
        return len(self.each)


@dataclass(frozen=True)
class Escape:
    """A code for unknown characters: an escape, then one of all unknown code points with equal probability. In nats.

    Known characters share the remaining probability, so totals are still code lengths. vocabulary: the number of characters
    known.
    """

    vocabulary: int

    @property
    def known(self) -> float:
        """The additional cost of a known character."""
        return -float(log(1.0 - ESCAPE))

    @property
    def unknown(self) -> float:
        """The cost of an unknown character."""
        return float(log((_CODE_POINTS - self.vocabulary) / ESCAPE))

    def costs(self, ids: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the cost in nats (n,) float64 of each character. ids: (n,), -1 if unknown. known: losses of the known."""
        nats = np.full(len(ids), self.unknown)
        nats[ids >= 0] = known + self.known
        return nats


class LineScorer:
    """Scores lines in order, in batches of any size. Results do not depend on the division into batches.

    The text is read as in evaluation: its first character is predicted from the opening character (resets.opening_id),
    and the reset policy applies to characters, independently of lines.
    """

    def __init__(self, saved: Checkpoint, policy: ResetConfig | None = None, escape: bool = False, threads: int = 1) -> None:
        """policy: when to reset the state; default that of the model. escape: give unknown characters a cost, else refuse.

        Raise CorpusError if each line is to be read on its own and the vocabulary has no line end.
        """
        config = policy or saved.config.reset
        self._vocabulary = saved.vocabulary
        self._resets = Resets.for_text(config, saved.config.truncation.k1, saved.vocabulary)
        self._alone = config.policy == "line"
        if self._alone and len(self._resets.separator) == 0:
            raise CorpusError(f"{saved.path}: the model knows no line's end: it was trained on a text of one line")
        self._opening = opening_id(config, saved.vocabulary)
        self._escape = Escape(len(saved.vocabulary)) if escape else None
        self._narrow = Network(saved.parameters, 1, _STEPS, threads=threads, fixed=True)
        self._wide = Network(saved.parameters, _STREAMS, _STEPS, threads=threads, fixed=True) if self._alone else None
        self._lines = 0
        self._start(np.array([self._opening]), 0)

    def _start(self, characters: np.ndarray, position: int) -> None:
        """Start at a position of the text. characters: (n,), read already except the last, which is at this position."""
        self._narrow.clear_state()
        self._read_before, self._last, self._position = characters[:-1], int(characters[-1]), position

    def score(self, lines: Sequence[str]) -> Iterator[Scored]:
        """Yield each line scored. Raise CorpusError at the first line that cannot be scored, after the lines before it."""
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
            yield Scored(line, to_bits(costs), int((each < 0).sum()) if self._escape else 0)
        if problem:
            raise problem

    def known_ids(self, lines: Sequence[str]) -> np.ndarray:
        """Return the ids (n,) of the characters in the lines that the model knows."""
        ids = np.concatenate([self._vocabulary.look_up(line) for line in lines])
        return ids[ids >= 0]

    def jump(self, lines: int, known: int, before: np.ndarray) -> None:
        """Continue at another place of the text. Its state comes from reading `before`, as a stream's in evaluation does.

        lines, known: the number of lines and of known characters before this place. before: the last of these characters.
        """
        self._lines = lines
        if self._alone:
            return
        if len(before) == known:
            self._start(np.array([self._opening]), 0)
            self._in_order(before)
        else:
            self._start(before[:1], known - len(before) + 1)
            self._in_order(before[1:])

    def _encode(self, line: str, number: int) -> np.ndarray:
        ids = self._vocabulary.look_up(line)
        if self._escape is None and (ids < 0).any():
            if any("\udc80" <= character <= "\udcff" for character in line):
                raise CorpusError(f"line {number:,}: not UTF-8; convert it (iconv), or leave out --unknown error")
            self._vocabulary.encode(line, f"line {number:,}")  # raises an error that names the character
        return ids

    def _nats(self, lines: list[np.ndarray]) -> list[np.ndarray]:
        """Return the losses (n,) float64 of the ids (n,) of each line."""
        ends = np.cumsum([0, *map(len, lines)])
        ids = np.concatenate([np.zeros(0, np.int32), *lines]).astype(np.int32)
        longest = max(map(len, lines), default=0)
        wide = self._wide if len(ids) >= _WORTHWHILE * longest and len(lines) > 1 else None
        if self._alone:
            self._start(np.array([self._opening]), 0)  # each line starts like the first, even after a line without an end
        losses = self._side_by_side(wide, ids, ends) if wide else self._in_order(ids)
        return [losses[a:b] for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]

    def _in_order(self, ids: np.ndarray) -> np.ndarray:
        """Read ids (n,) where the last call ended. Return their losses (n,)."""
        characters = np.concatenate([[self._last], ids])
        resets = self._resets.following(self._read_before, characters[:-1], self._position)
        if len(ids):
            recent = max(1, len(self._resets.separator))
            self._read_before = np.concatenate([self._read_before, characters[:-1]])[-recent:]
            self._last, self._position = int(ids[-1]), self._position + len(ids)
        return self._read(self._narrow, characters[:, None], resets[:, None])[:, 0]

    def _side_by_side(self, net: Network, ids: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Read whole lines, distributed over streams of about equal length. Return the losses of ids (n,)."""
        cuts = ends[np.searchsorted(ends, np.linspace(0, len(ids), net.streams + 1))]
        characters = np.full((int(np.diff(cuts).max()) + 1, net.streams), self._opening, np.int32)
        pieces = list(enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)))
        for s, (a, b) in pieces:
            characters[1 : b - a + 1, s] = ids[a:b]
        found = self._read(net, characters, characters[:-1] == self._opening)
        return np.concatenate([found[: b - a, s] for s, (a, b) in pieces])

    def _read(self, net: Network, characters: np.ndarray, resets: np.ndarray) -> np.ndarray:
        """Return the losses (n, S) of characters (n + 1, S) after the first row. resets: (n, S), 1 zeroes the state."""
        steps = max(1, _CALL // net.streams)
        found = [np.zeros((0, net.streams))]
        for first in range(0, len(resets), steps):
            part = np.ascontiguousarray(characters[first : first + steps + 1], np.int32)
            found.append(net.score(part, np.ascontiguousarray(resets[first : first + steps], np.uint8))[0])
        return np.concatenate(found)
