"""rmsprop."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step() -> Callable[..., None]:
    raise NotImplementedError


RMSPROP = OptimizerSpec(
    name="rmsprop",
    slots=lambda momentum: 1 + (momentum > 0),
    momentum=True,
    step=_step,
)
