"""An optimizer with its memory, and the learning rate's schedule. The update rules are in nn/optimizers/."""

import math

import numpy as np

from ..config.run import SCHEDULES, OptimizerConfig, ScheduleConfig, choice
from ..kernels.buffers import OptimizerParams
from ..registry import OPTIMIZERS
from ..tree import StateDict, take_array, take_count, take_number
from .optimizers.spec import OptimizerSpec, compiled
from .parameters import Parameters, aligned_zeros

_FINAL_SHARE = 0.02  # of the learning rate, where a cosine schedule ends
_PLATEAU_FACTOR = 0.5
_PLATEAU_PATIENCE = 1  # validations without improvement before the rate is halved


class Optimizer:
    """One update rule with its memory, for one set of parameters; `rule` is what the training kernel is handed.

    slots: (n, *flat.shape), zeros at first.
    """

    def __init__(
        self, config: OptimizerConfig, parameters: Parameters, gradients: Parameters, spec: OptimizerSpec | None = None
    ) -> None:
        """spec: the rule, if not the one that config names. Raises ConfigurationError."""
        spec = OPTIMIZERS[config.rule] if spec is None else spec
        self.slots = aligned_zeros((spec.slots(config.momentum), *parameters.flat.shape))
        self.rule = OptimizerParams(
            update=compiled(spec, config.momentum),
            momentum=float(config.momentum),
            nesterov=int(config.nesterov),
            beta1=float(config.beta1),
            beta2=float(config.beta2),
            epsilon=spec.epsilon,
            decay=float(config.weight_decay),
            clip=float(config.clip),
            matrices=parameters.matrices,
            parameters=parameters.flat,
            gradients=gradients.flat,
            slots=self.slots,
            partial=np.zeros(len(parameters.flat)),
        )

    def state_dict(self) -> StateDict:
        """Return the rule's memory: slots (n, R, P)."""
        return {"slots": self.slots}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.slots[...] = take_array(state, "slots", self.slots.shape)


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
        """Learning rates (n,) float64 of updates first .. first + n - 1 (from 0), at `progress` in [0, 1] of the run."""
        number = first + 1 + np.arange(n)
        warm = np.minimum(1.0, number / self._config.warmup) if self._config.warmup else np.ones(n)
        rates = self._rate * self.factor * warm
        if self._config.kind == "cosine":
            rates = rates * np.maximum(_FINAL_SHARE, 0.5 * (1 + np.cos(math.pi * np.clip(progress, 0, 1))))
        return rates

    def state_dict(self) -> StateDict:
        """Return what the next rates depend on."""
        return {"factor": self.factor, "stale": self.stale}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.factor, self.stale = take_number(state, "factor"), take_count(state, "stale")

    def validated(self, improved: bool) -> None:
        """Takes note of a validation; a plateau schedule halves the rate after too many without improvement."""
        self.stale = 0 if improved else self.stale + 1
        if self._config.kind == "plateau" and self.stale > _PLATEAU_PATIENCE:
            self.factor *= _PLATEAU_FACTOR
            self.stale = 0
