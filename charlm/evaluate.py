"""How well a model predicts a text: nats per character, in order or over several streams at once."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .blocks import Resets, Streams
from .network import Network
from .parameters import Parameters

_STEPS = 64  # steps of a block while reading
_CALL = 1 << 15  # characters a kernel call reads, so that Ctrl-C is noticed soon
_WARM_UP = 512  # characters that a stream reads before its part, so that its state is as good as if read in order


@dataclass(frozen=True)
class Evaluation:
    """chars: targets scored. nats: their summed loss. hits: how many of them were the most likely character."""

    chars: int
    nats: float
    hits: int

    @property
    def nats_per_char(self) -> float:
        """The mean loss, over chars (not over blocks)."""
        return self.nats / self.chars


class Evaluator:
    """Scores texts with the current values of some parameters; keeps its network from one text to the next."""

    def __init__(self, parameters: Parameters, streams: int = 1, threads: int = 1) -> None:
        self._net = Network(parameters, streams, _STEPS, threads=threads)

    def evaluate(
        self, ids: np.ndarray, resets: Resets, on_done: Callable[[int], None] = lambda n: None
    ) -> Evaluation:  # fmt: skip
        """Scores every character of ids but the first.

        With one stream the text is read in order. With more, each stream reads its part, after a warm-up on up to 512
        characters before it that are not counted. on_done is told how many characters more were read.
        """
        nats = self.losses(ids, resets, on_done)
        return Evaluation(len(nats[0]), float(nats[0].sum()), int(nats[1].sum()))

    def losses(
        self, ids: np.ndarray, resets: Resets, on_done: Callable[[int], None] = lambda n: None
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """(nats (N-1,) float64, hits (N-1,) uint8) of the characters 1 .. N-1 in their order."""
        net, nats, hits = self._net, np.zeros(len(ids) - 1), np.zeros(len(ids) - 1, np.uint8)
        streams = Streams(len(ids), net.streams)
        warm_up = min(_WARM_UP, int(streams.starts[-1]))
        net.clear_state()
        per_call = max(1, _CALL // (net.streams * _STEPS)) * _STEPS
        for first in range(-warm_up, streams.steps, per_call):
            last = min(streams.steps, first + per_call)
            losses, right = net.score(*_read(streams, resets, ids, first, last))
            for s, (start, targets) in enumerate(zip(streams.starts.tolist(), streams.targets.tolist(), strict=True)):
                own = slice(max(0, first), min(last, targets))
                if own.stop > own.start:
                    rows = slice(own.start - first, own.stop - first)
                    nats[start + own.start : start + own.stop] = losses[rows, s]
                    hits[start + own.start : start + own.stop] = right[rows, s]
            on_done((last - first) * net.streams)
        return nats, hits


def _read(streams: Streams, resets: Resets, ids: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Characters (last - first + 1, S) and resets of steps [first, last); steps below 0 are the warm-up.

    Resets are those of the text read in order, whatever the streams. What the first stream reads before the text
    begins does not matter, since its state is reset there.
    """
    n, whole = last - first, Streams(len(ids), 1)
    characters = np.full((n + 1, streams.count), ids[0], np.int32)
    reset = np.zeros((n, streams.count), np.uint8)
    for s, start in enumerate(streams.starts.tolist()):
        lo, hi = start + first, min(start + last, len(ids) - 1)
        before = max(0, -lo)
        if before <= n:
            characters[before : hi - lo + 1, s] = ids[lo + before : hi + 1]
            reset[before : hi - lo, s] = resets.read(whole, ids, lo + before, hi)[:, 0]
        if lo <= 0 < hi:
            reset[-lo, s] = 1
    return characters, reset
