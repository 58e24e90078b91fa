"""The update of dynamic evaluation (Krause et al. 2018, eq. 4): p += pull (anchor - p) - rate gain g.

The slots are not memory: inference/dynamic_evaluation.py fills them and they stay as they are. Not an --optimizer.
"""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step(momentum: float) -> Callable[..., None]:
    """Return the update: see OptimizerSpec."""
    from ...kernels.simd import LANES, fma, load, store

    def update(hyper, n, parameters, gradients, gain, pull, anchor):
        for j in range(0, n, LANES):
            g, p = load(gradients, j) * hyper.scale, load(parameters, j)
            p = fma(load(anchor, j) - p, load(pull, j), p)
            store(parameters, j, fma(g * load(gain, j), -hyper.rate, p))

    return update


DYNAMIC = OptimizerSpec(
    name="dynamic",
    slots=lambda momentum: 3,
    step=_step,
)
