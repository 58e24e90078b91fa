"""The description of an optimizer: all that the rest of charlm needs to know of one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigurationError


@dataclass(frozen=True)
class OptimizerSpec:
    """An update rule.

    slots(momentum): how many arrays of the parameters' size the rule remembers; they begin as zeros. epsilon: its
    constant. weight_decay: the default of --weight-decay. momentum, nesterov: whether --momentum and --nesterov apply.

    step(momentum) returns the update for kernels: update(hyper, n, parameters, gradients, *slots), as kernels/steps.py
    describes it. It names one argument for each slot. Importing Numba takes long, so only this function may do it.
    """

    name: str
    slots: Callable[[float], int]
    step: Callable[[float], Callable[..., None]]
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    momentum: bool = False
    nesterov: bool = False


@functools.cache
def compiled(spec: OptimizerSpec, momentum: float) -> Any:
    """Return the address of the update. Raises ConfigurationError if it takes other slots than the spec declares."""
    from ...kernels.steps import MOST_SLOTS, compile_update

    update, declared = spec.step(momentum), spec.slots(momentum)
    taken = len(inspect.signature(update).parameters) - 4  # hyper, n, parameters, gradients
    if taken != declared or declared > MOST_SLOTS:
        raise ConfigurationError(
            f"optimizer {spec.name}: its spec declares {declared} slots and its step takes {taken}; they must be the same "
            f"number, at most {MOST_SLOTS}"
        )
    return compile_update(update, declared)
