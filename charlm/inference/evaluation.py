"""How well a model predicts a text: nats per character, in order or over several streams at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.parallel import share
from ..nn.network import Network
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams

_STEPS = 64  # steps of a block while reading
_CALL = 1 << 15  # characters a kernel call reads, so that Ctrl-C is noticed soon
WARM_UP = 512  # characters that a stream reads before its part, so that its state is as good as if read in order


@dataclass(frozen=True)
class Evaluation:
    """chars: targets scored. loss: their summed loss. correct: how many of them were the most likely character."""

    chars: int
    loss: float
    correct: int

    @property
    def nats_per_char(self) -> float:
        """The mean loss, over chars (not over blocks)."""
        return self.loss / self.chars


class Evaluator:
    """Scores texts with the current values of some parameters; keeps its network from one text to the next."""

    def __init__(self, parameters: Parameters, streams: int = 1, threads: int = 1, rank: int = 0, ranks: int = 1) -> None:
        """rank, ranks: whose share of the streams is read; the others' are left to others."""
        self._streams, self._rank, self._ranks = streams, rank, ranks
        first, last = share(streams, rank, ranks)
        self._net = Network(parameters, max(1, last - first), _STEPS, threads=threads)

    def prepare(self) -> None:
        """Compiles what is needed, or loads it: reads nothing."""
        self._net.score(np.zeros((1, self._net.streams), np.int32), np.zeros((0, self._net.streams), np.uint8))

    def evaluate(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None] = lambda n: None, steps: int | None = None
    ) -> Evaluation:
        """Scores every character of ids but the first, as far as it lies in streams that are read here.

        With one stream the text is read in order. With more, each stream reads its part, after a warm-up on up to 512
        characters before it that are not counted. on_done is told how many characters more were read. steps: how many
        characters of its part each stream reads, all by default: then they are a sample of the whole text.
        """
        chars, nats, correct = 0, 0.0, 0
        for _, losses, right in self._calls(ids, resets, on_done, steps):
            chars, nats, correct = chars + len(losses), nats + float(losses.sum()), correct + int(right.sum())
        return Evaluation(chars, nats, correct)

    def losses(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None] = lambda n: None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(nats (N-1,) float64, correct (N-1,) uint8) of the characters 1 .. N-1 in their order."""
        nats, correct = np.zeros(len(ids) - 1), np.zeros(len(ids) - 1, np.uint8)
        for at, losses, right in self._calls(ids, resets, on_done):
            nats[at : at + len(losses)] = losses
            correct[at : at + len(losses)] = right
        return nats, correct

    def _calls(
        self, ids: Ids, resets: Resets, on_done: Callable[[int], None], steps: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Reads the text a call at a time: (place of the first target, losses, correct) of each stream."""
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
    """Characters (last - first + 1, S) and resets of steps [first, last); steps below 0 are the warm-up.

    Resets are those of the text read in order, whatever the streams. What the first stream reads before the text
    begins does not matter, since its state is reset there.
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
