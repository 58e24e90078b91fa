"""Evaluation: the loss of a model on a text, read in order or as several streams side by side."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.parallel import share
from ..nn.network import Network
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams

_STEPS = 64  # per block
_CALL = 1 << 15  # characters per kernel call; few, since Ctrl-C waits for it to end
WARM_UP = 512  # characters that a stream reads before its part, to bring its state close to that of reading in order


@dataclass(frozen=True)
class Evaluation:
    """Totals of an evaluation: characters scored, their summed loss in nats, how many were the most likely one."""

    chars: int
    loss: float
    correct: int

    @property
    def nats_per_char(self) -> float:
        """The mean loss per character."""
        return self.loss / self.chars


class Evaluator:
    """Scores texts with the current values of the parameters. The network is reused from text to text."""

    def __init__(self, parameters: Parameters, streams: int = 1, threads: int = 1, rank: int = 0, ranks: int = 1) -> None:
        """rank, ranks: which share of the streams to read; the other ranks read the others."""
        self._streams, self._rank, self._ranks = streams, rank, ranks
        first, last = share(streams, rank, ranks)
        self._net = Network(parameters, max(1, last - first), _STEPS, threads=threads)

    def prepare(self) -> None:
        """Compile the kernels, or load them from the cache, without reading a text."""
        self._net.score(np.zeros((1, self._net.streams), np.int32), np.zeros((0, self._net.streams), np.uint8))

    def evaluate(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None] = lambda n: None, steps: int | None = None
    ) -> Evaluation:
        """Score all characters of ids (N,) except the first; with several ranks, those in this rank's streams.

        One stream reads the text in order. With more, each stream reads its part after a warm-up on up to 512 characters
        before it, which are not counted. on_done: called with the number of characters in each kernel call. steps: how many
        characters of its part each stream reads, to score a sample of the text; all by default.
        """
        chars, nats, correct = 0, 0.0, 0
        for _, losses, right in self._calls(ids, resets, on_done, steps):
            chars, nats, correct = chars + len(losses), nats + float(losses.sum()), correct + int(right.sum())
        return Evaluation(chars, nats, correct)

    def losses(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None] = lambda n: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss in nats (N-1,) float64 and correctness (N-1,) uint8 of characters 1 .. N-1, in order."""
        nats, correct = np.zeros(len(ids) - 1), np.zeros(len(ids) - 1, np.uint8)
        for at, losses, right in self._calls(ids, resets, on_done):
            nats[at : at + len(losses)] = losses
            correct[at : at + len(losses)] = right
        return nats, correct

    def _calls(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None], steps: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield (position of the first target, losses, correct) for each kernel call and stream."""
        net, whole = self._net, Streams(len(ids), self._streams)
        streams = whole.of_rank(self._rank, self._ranks)
        if streams.own == 0:
            return
        warm_up = min(WARM_UP, int(whole.starts[-1]))
        net.clear_state()
        per_call = max(1, _CALL // (net.streams * _STEPS)) * _STEPS
        end = streams.steps if steps is None else min(steps, streams.steps)
        for first in range(-warm_up, end, per_call):
            last = min(end, first + per_call)
            losses, right = net.score(*_read(streams, resets, ids, first, last))
            for s, (start, targets) in enumerate(zip(streams.starts.tolist(), streams.targets.tolist(), strict=True)):
                own = slice(max(0, first), min(last, targets))
                if own.stop > own.start:
                    rows = slice(own.start - first, own.stop - first)
                    yield start + own.start, losses[rows, s], right[rows, s]
            on_done((last - first) * net.streams)


def _read(streams: Streams, resets: Resets, ids: Ids, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return characters (last - first + 1, S) and resets (last - first, S) of steps first to last - 1.

    Steps below 0 are the warm-up. Resets are at the same characters as when the text is read in order. Steps before the
    start of the text read its first character; that has no effect, since the state is reset at the start.
    """
    n, whole = last - first, Streams(len(ids), 1)
    characters = np.full((n + 1, streams.own), ids[0], np.int32)
    reset = np.zeros((n, streams.own), np.uint8)
    for s, start in enumerate(streams.starts.tolist()):
        lo, hi = start + first, min(start + last, len(ids) - 1)
        before = max(0, -lo)
        if before <= n:
            characters[before : hi - lo + 1, s] = ids[lo + before : hi + 1]
            reset[before : hi - lo, s] = resets.read(whole, ids, lo + before, hi)[:, 0]
        if lo <= 0 < hi:
            reset[-lo, s] = 1
    return characters, reset
