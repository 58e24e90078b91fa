"""The validations of a run: how many there are, when they are due, and how much of the held-out text each reads.

They may cost a twentieth of the training. The cost is counted in characters, not measured, so that a run of a given number
of updates is validated in the same way on every machine.
"""

import math
from typing import NamedTuple

from ..inference.evaluation import WARM_UP
from .run import Run

_SHARE = 0.05  # of the training's cost that all validations together may have
_LEAST_BUDGET = 1 << 15  # characters that they may read however short the run is: a moment's work
_TIMES = 20  # in a run, where that is affordable
_ENOUGH = 10  # validations on all of the text are better than more of them on a sample
_MOST_CHARS = 1 << 20  # of the held-out text that are read each time; `charlm eval` reads all
_USUAL_CHARS, _LEAST_CHARS = 1 << 14, 1 << 11  # that a sample should have; that it has whatever it costs
_STREAMS, _STREAM_CHARS = 32, 2048  # read side by side, at most; characters that are worth a stream
_DECIDED = 0.05  # the share of a run that time ends, after which its speed is known well enough to plan validations by


def streams_for(chars: int) -> int:
    """Return at how many places of a text a sample of so many characters is read side by side."""
    return max(1, min(_STREAMS, chars // _STREAM_CHARS))


def cost(chars: int) -> int:
    """Return how many characters are read to evaluate a sample of so many, warm-ups included."""
    streams = streams_for(chars)
    return chars + (streams * WARM_UP if streams > 1 else 0)


def affordable_times(chars: int, training_cost: float) -> int:
    """Return how often a run is validated on a sample of so many characters, at least once.

    training_cost: of the whole run, in characters read forward.
    """
    return max(1, min(_TIMES, int(_budget(training_cost) // cost(chars))))


def sample_size(held_out: int, training_cost: float, times: int = 0) -> int:
    """Return how many of a text's characters each validation reads.

    held_out: characters of the text. training_cost: as for affordable_times. times: validations that are asked for (0: as
    many as are affordable).
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


class Validations(NamedTuple):
    """How many validations a run has, and characters that each reads."""

    times: int
    chars: int


class ValidationPlan:
    """The validations of one run. Without a held-out text there are none.

    held_out: characters of that text.
    """

    def __init__(self, run: Run, held_out: int) -> None:
        self._run, self.held_out = run, held_out

    @property
    def training_cost(self) -> float:
        """The cost of the whole run in characters read forward, as the truncation method counts them."""
        return self._run.chars * self._run.text.truncation.cost

    @property
    def planned(self) -> Validations:
        """The number and size of the run's validations: as asked for, or as the time for them allows."""
        training_cost, every = self.training_cost, self._run.config.schedule.eval_every
        updates = self._run.chars / self._run.text.chars_per_update
        asked = max(1, math.ceil(updates / every)) if every else 0
        chars = min(self.held_out, self._run.state.sampled) or sample_size(self.held_out, training_cost, asked)
        return Validations(asked or affordable_times(chars, training_cost), chars)

    @property
    def share(self) -> float:
        """The cost of all validations as a share of that of training."""
        training_cost = self.training_cost
        if self.held_out == 0 or training_cost == 0:
            return 0.0
        planned = self.planned
        return planned.times * cost(planned.chars) / training_cost

    @property
    def interval(self) -> int:
        """Updates between validations; 0 if time decides."""
        if self._run.config.schedule.eval_every:
            return self._run.config.schedule.eval_every
        total = self._run.total_updates
        return 0 if total is None or self.held_out == 0 else max(1, total // self.planned.times)

    @property
    def expected(self) -> int:
        """Validations that should have been made by now if time decides."""
        return int(self._run.share() * self.planned.times)

    @property
    def due(self) -> bool:
        """Return whether a validation is due after the updates made so far."""
        state, every = self._run.state, self.interval
        if self.held_out == 0 or self._run.chars == 0:
            return False
        if every:
            return state.updates % every == 0
        return (state.sampled > 0 or self._run.share() >= _DECIDED) and self.expected > state.validations
