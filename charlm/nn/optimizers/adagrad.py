"""adagrad."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step() -> Callable[..., None]:
    raise NotImplementedError


ADAGRAD = OptimizerSpec(
    name="adagrad",
    slots=lambda momentum: 1,
    epsilon=1e-10,
    step=_step,
)
