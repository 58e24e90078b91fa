"""sgd."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step() -> Callable[..., None]:
    raise NotImplementedError


SGD = OptimizerSpec(
    name="sgd",
    slots=lambda momentum: int(momentum > 0),
    momentum=True,
    nesterov=True,
    step=_step,
)
