"""The rules' constants, the learning rate's schedule, and the optimizer's memory. The loops are in kernels/update.py."""

import math

import numpy as np

from ..config.run import SCHEDULES, OptimizerConfig, ScheduleConfig, choice
from ..kernels import update
from ..kernels.buffers import OptimizerParams
from .parameters import Parameters, aligned_zeros

_KINDS = {
    "sgd": update.SGD,
    "adagrad": update.ADAGRAD,
    "rmsprop": update.RMSPROP,
    "adam": update.ADAM,
    "adamw": update.ADAMW,
}
_EPSILON = {"adagrad": 1e-10}  # PyTorch's default; 1e-8 for the others
_FINAL_SHARE = 0.02  # of the learning rate, where a cosine schedule ends
_PLATEAU_FACTOR = 0.5
_PLATEAU_PATIENCE = 1  # validations without improvement before the rate is halved


class Optimizer:
    """One rule with its memory for one set of parameters; `rule` is what the training kernel is handed."""

    def __init__(
        self, config: OptimizerConfig, parameters: Parameters, gradients: Parameters, slots: np.ndarray | None = None
    ) -> None:
        """slots: the rule's memory (n, *flat.shape); dynamic evaluation's, whose rule it is then. Else zeros."""
        self.slots = aligned_zeros((_slot_count(config), *parameters.flat.shape)) if slots is None else slots
        self.rule = OptimizerParams(
            kind=_KINDS[config.rule] if slots is None else update.DYNAMIC,
            momentum=float(config.momentum),
            nesterov=int(config.nesterov),
            beta1=float(config.beta1),
            beta2=float(config.beta2),
            epsilon=_EPSILON.get(config.rule, 1e-8),
            decay=float(config.weight_decay),
            clip=float(config.clip),
            matrices=parameters.matrices,
            parameters=parameters.flat,
            gradients=gradients.flat,
            slots=self.slots,
            partial=np.zeros(len(parameters.flat)),
        )


def _slot_count(config: OptimizerConfig) -> int:
    """How many arrays of the parameters' shape a rule remembers. Raises ConfigurationError for one that there is not."""
    velocity = int(config.momentum > 0)
    slots = {"sgd": velocity, "adagrad": 1, "rmsprop": 1 + velocity, "adam": 2, "adamw": 2}
    choice("optimizer", config.rule, tuple(slots))
    return slots[config.rule]


class Schedule:
    """The learning rate by update or by share of the time, and how plateaus lower it.

    factor and stale are its memory: saved with a checkpoint, they make it continue exactly.
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

    def validated(self, improved: bool) -> None:
        """Takes note of a validation; a plateau schedule halves the rate after too many without improvement."""
        self.stale = 0 if improved else self.stale + 1
        if self._config.kind == "plateau" and self.stale > _PLATEAU_PATIENCE:
            self.factor *= _PLATEAU_FACTOR
            self.stale = 0
