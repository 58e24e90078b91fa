"""The learning rate of every update: warm-up, decay by a cosine, and plateaus."""

import numpy as np

from ..config.checks import choice
from ..config.schedule import SCHEDULES, ScheduleConfig
from ..kernels.elementary import cos_turns
from ..tree import StateDict, take_count, take_number

_FINAL_SHARE = 0.02  # of the learning rate, where a cosine schedule ends
_PLATEAU_FACTOR = 0.5
_PLATEAU_PATIENCE = 1  # validations without improvement before the rate is halved


class Schedule:
    """The learning rate by update or by share of the time, and how plateaus lower it.

    factor: on the learning rate. stale: validations in a row without improvement. Both are its state.
    """

    def __init__(self, config: ScheduleConfig, learning_rate: float) -> None:
        choice("schedule", config.kind, SCHEDULES)
        self._config = config
        self._rate = learning_rate
        self.factor = 1.0
        self.stale = 0

    def rates(self, first: int, n: int, progress: np.ndarray) -> np.ndarray:
        """Return the learning rates (n,) float64 of n updates from number `first` (from 0) on, at `progress` in [0, 1]."""
        number = first + 1 + np.arange(n)
        warm = np.minimum(1.0, number / self._config.warmup) if self._config.warmup else np.ones(n)
        rates = self._rate * self.factor * warm
        if self._config.kind == "cosine":
            rates = rates * np.maximum(_FINAL_SHARE, 0.5 * (1 + cos_turns(0.5 * np.clip(progress, 0, 1))))
        return rates

    def state_dict(self) -> StateDict:
        """Return what the next rates depend on."""
        return {"factor": self.factor, "stale": self.stale}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.factor, self.stale = take_number(state, "factor"), take_count(state, "stale")

    def validated(self, improved: bool) -> None:
        """Take note of a validation. A plateau schedule halves the rate after too many without improvement."""
        self.stale = 0 if improved else self.stale + 1
        if self._config.kind == "plateau" and self.stale > _PLATEAU_PATIENCE:
            self.factor *= _PLATEAU_FACTOR
            self.stale = 0
