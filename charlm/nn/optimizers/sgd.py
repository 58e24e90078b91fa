"""Stochastic gradient descent, with momentum and Nesterov's look-ahead if asked for. As torch.optim.SGD.

v = momentum v + g; p -= rate v, or with the look-ahead p -= rate (g + momentum v)
"""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step(momentum: float) -> Callable[..., None]:
    """Return the update: see OptimizerSpec."""
    from ...kernels.simd import LANES, fma, load, store
    from ...kernels.update import decayed

    def plain(hyper, n, parameters, gradients):
        for j in range(0, n, LANES):
            store(parameters, j, fma(decayed(hyper, parameters, gradients, j), -hyper.rate, load(parameters, j)))

    def with_momentum(hyper, n, parameters, gradients, velocity):
        for j in range(0, n, LANES):
            g = decayed(hyper, parameters, gradients, j)
            v = fma(load(velocity, j), hyper.momentum, g)
            store(velocity, j, v)
            g = fma(v, hyper.momentum, g) if hyper.nesterov else v
            store(parameters, j, fma(g, -hyper.rate, load(parameters, j)))

    return with_momentum if momentum > 0 else plain


SGD = OptimizerSpec(
    name="sgd",
    slots=lambda momentum: int(momentum > 0),
    step=_step,
    momentum=True,
    nesterov=True,
)
