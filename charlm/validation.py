"""Validations of a run: how many there are, how much of the held-out text each reads, and what they find.

They may cost a twentieth of the training. That is counted in characters, not measured, so that a run of so many updates
is validated in the same way on every machine.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .blocks import Ids, Resets
from .evaluate import WARM_UP, Evaluation, Evaluator
from .parameters import Parameters
from .ranks import Ranks

_SHARE = 0.05  # of the training's cost that all validations together may have
_LEAST_BUDGET = 1 << 15  # characters that they may read however short the run is: a moment's work
_TIMES = 20  # in a run, where that is affordable
_ENOUGH = 10  # validations on all of the text are better than more of them on a sample
_MOST_CHARS = 1 << 20  # of the held-out text that are read each time; `charlm eval` reads all
_USUAL_CHARS, _LEAST_CHARS = 1 << 14, 1 << 11  # that a sample should have; that it has whatever it costs
_STREAMS, _STREAM_CHARS = 32, 2048  # read side by side, at most; characters that are worth a stream


@dataclass(frozen=True)
class Sampling:
    """times: validations in a run. chars: of the held-out text that each of them reads, the same ones every time."""

    times: int
    chars: int

    @property
    def streams(self) -> int:
        """Places of the text that are read side by side."""
        return max(1, min(_STREAMS, self.chars // _STREAM_CHARS))

    @property
    def cost(self) -> int:
        """Characters that a validation reads, warm-ups included."""
        return self.chars + (self.streams * WARM_UP if self.streams > 1 else 0)


def sampling(held_out: int, training_cost: float, times: int = 0) -> Sampling:
    """Returns how often a run is validated on how much of its held-out text.

    held_out: its characters. training_cost: of the whole run, in characters read forward. times: how often it is asked for
    (0: as often as is affordable).
    """
    whole = min(held_out, _MOST_CHARS)
    budget = max(_LEAST_BUDGET, _SHARE * training_cost)
    if not times:
        affordable = int(budget // Sampling(1, whole).cost)
        if affordable >= _ENOUGH:
            return Sampling(min(_TIMES, affordable), whole)
        times = max(1, min(_TIMES, int(budget // Sampling(1, min(whole, _USUAL_CHARS)).cost)))
    each = budget / times
    if Sampling(times, whole).cost <= each:
        return Sampling(times, whole)
    within = int(max(each - _STREAMS * WARM_UP, each / (1 + WARM_UP / _STREAM_CHARS)))  # with the warm-ups before it
    return Sampling(times, min(whole, max(within, _LEAST_CHARS)))


class Validator:
    """Evaluates parameters, as they are then, on the same sample of a held-out text every time."""

    def __init__(self, parameters: Parameters, text: Ids, resets: Resets, threads: int, ranks: Ranks) -> None:
        """text: with an opening character before its first one. ranks: who read it together."""
        self._parameters, self._text, self._resets, self._threads, self._ranks = parameters, text, resets, threads, ranks
        self.sampling: Sampling | None = None  # until it is decided
        self._evaluator: Evaluator | None = None

    @property
    def held_out(self) -> int:
        """Characters of the text."""
        return len(self._text) - 1

    def decide(self, chosen: Sampling) -> None:
        """Fixes the sample, for all of the run: losses on different ones could not be compared."""
        self.sampling, self._evaluator = chosen, self._new_evaluator(chosen.streams)

    def prepare(self) -> None:
        """Compiles what is needed, or loads it: reads nothing."""
        (self._evaluator or self._new_evaluator(1)).prepare()

    def _new_evaluator(self, streams: int) -> Evaluator:
        return Evaluator(self._parameters, streams, self._threads, self._ranks.rank, self._ranks.size)

    def evaluate(self, on_done: Callable[[int], None]) -> Evaluation:
        """Evaluates this rank's part of the sample. on_done: as for Evaluator.evaluate."""
        assert self.sampling is not None and self._evaluator is not None
        steps = -(-self.sampling.chars // self.sampling.streams)
        return self._evaluator.evaluate(self._text, self._resets, on_done, steps)
