"""adamw."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step() -> Callable[..., None]:
    raise NotImplementedError


ADAMW = OptimizerSpec(
    name="adamw",
    slots=lambda momentum: 2,
    weight_decay=0.1,
    step=_step,
)
