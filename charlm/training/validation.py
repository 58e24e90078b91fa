"""Validations of a run: how many there are, how much of the held-out text each reads, and what they find.

They may cost a twentieth of the training. That is counted in characters, not measured, so that a run of so many updates
is validated in the same way on every machine.
"""

from collections.abc import Callable

from ..distributed.ranks import Ranks
from ..inference.evaluation import WARM_UP, Evaluation, Evaluator
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids

_SHARE = 0.05  # of the training's cost that all validations together may have
_LEAST_BUDGET = 1 << 15  # characters that they may read however short the run is: a moment's work
_TIMES = 20  # in a run, where that is affordable
_ENOUGH = 10  # validations on all of the text are better than more of them on a sample
_MOST_CHARS = 1 << 20  # of the held-out text that are read each time; `charlm eval` reads all
_USUAL_CHARS, _LEAST_CHARS = 1 << 14, 1 << 11  # that a sample should have; that it has whatever it costs
_STREAMS, _STREAM_CHARS = 32, 2048  # read side by side, at most; characters that are worth a stream


def streams_for(chars: int) -> int:
    """Returns how many places of a text a sample of so many characters is read at, side by side."""
    return max(1, min(_STREAMS, chars // _STREAM_CHARS))


def cost(chars: int) -> int:
    """Returns how many characters are read to evaluate a sample of so many, warm-ups included."""
    streams = streams_for(chars)
    return chars + (streams * WARM_UP if streams > 1 else 0)


def affordable_times(chars: int, training_cost: float) -> int:
    """Returns how often a run is validated on a sample of so many characters, at least once.

    training_cost: of the whole run, in characters read forward.
    """
    return max(1, min(_TIMES, int(_budget(training_cost) // cost(chars))))


def sample_size(held_out: int, training_cost: float, times: int = 0) -> int:
    """Returns how many of a text's characters each validation reads.

    held_out: the text's. training_cost: as for affordable_times. times: how often validations are asked for (0: as often
    as is affordable).
    """
    whole, budget = min(held_out, _MOST_CHARS), _budget(training_cost)
    if not times:
        if affordable_times(whole, training_cost) >= _ENOUGH:
            return whole
        times = affordable_times(min(whole, _USUAL_CHARS), training_cost)
    each = budget / times
    if cost(whole) <= each:
        return whole
    within = int(max(each - _STREAMS * WARM_UP, each / (1 + WARM_UP / _STREAM_CHARS)))  # with the warm-ups before it
    return min(whole, max(within, _LEAST_CHARS))


def _budget(training_cost: float) -> float:
    return max(_LEAST_BUDGET, _SHARE * training_cost)


class Validator:
    """Evaluates parameters, as they are then, on a sample of a held-out text."""

    def __init__(self, parameters: Parameters, text: Ids, resets: Resets, threads: int, ranks: Ranks) -> None:
        """text: with an opening character before its first one. ranks: who read it together."""
        self._parameters, self._text, self._resets, self._threads, self._ranks = parameters, text, resets, threads, ranks
        self._evaluators: dict[int, Evaluator] = {}  # by their streams

    @property
    def held_out(self) -> int:
        """Characters of the text."""
        return len(self._text) - 1

    def prepare(self) -> None:
        """Compiles what is needed, or loads it: reads nothing."""
        self._evaluator(1).prepare()

    def _evaluator(self, streams: int) -> Evaluator:
        if streams not in self._evaluators:
            own = Evaluator(self._parameters, streams, self._threads, self._ranks.rank, self._ranks.size)
            self._evaluators = {streams: own}
        return self._evaluators[streams]

    def evaluate(self, chars: int, on_done: Callable[[int], None]) -> Evaluation:
        """Evaluates this rank's part of a sample of so many characters, always the same, spread over all of the text.

        on_done: as for Evaluator.evaluate.
        """
        streams = streams_for(chars)
        return self._evaluator(streams).evaluate(self._text, self._resets, on_done, -(-chars // streams))
