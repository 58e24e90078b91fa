"""adam."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step() -> Callable[..., None]:
    raise NotImplementedError


ADAM = OptimizerSpec(
    name="adam",
    slots=lambda momentum: 2,
    step=_step,
)
