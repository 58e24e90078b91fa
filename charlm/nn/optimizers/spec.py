"""An optimizer's spec: everything that the rest of charlm asks about an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class OptimizerSpec:
    """An update rule.

    slots(momentum): how many arrays of the parameters' size the rule remembers. epsilon: its constant. weight_decay: the
    default of --weight-decay. momentum, nesterov: whether --momentum and --nesterov apply to it.

    step() returns the update for kernels; it imports Numba, which is why it is a function.
    """

    name: str
    slots: Callable[[float], int]
    step: Callable[[], Callable[..., None]]
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: bool = False
    nesterov: bool = False
