"""RMSprop (Hinton 2012, lecture 6e), as torch.optim.RMSprop.

s = beta2 s + (1 - beta2) g^2; v = momentum v + g / (sqrt(s) + epsilon); p -= rate v
"""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step(momentum: float) -> Callable[..., None]:
    """Return the update: see OptimizerSpec."""
    from ...kernels.simd import LANES, fma, load, sqrt, store
    from ...kernels.update import decayed

    def plain(hyper, n, parameters, gradients, squares):
        for j in range(0, n, LANES):
            g = decayed(hyper, parameters, gradients, j)
            s = fma(load(squares, j), hyper.beta2, g * g * (1.0 - hyper.beta2))
            store(squares, j, s)
            store(parameters, j, fma(g / (sqrt(s) + hyper.epsilon), -hyper.rate, load(parameters, j)))

    def with_momentum(hyper, n, parameters, gradients, squares, velocity):
        for j in range(0, n, LANES):
            g = decayed(hyper, parameters, gradients, j)
            s = fma(load(squares, j), hyper.beta2, g * g * (1.0 - hyper.beta2))
            store(squares, j, s)
            v = fma(load(velocity, j), hyper.momentum, g / (sqrt(s) + hyper.epsilon))
            store(velocity, j, v)
            store(parameters, j, fma(v, -hyper.rate, load(parameters, j)))

    return with_momentum if momentum > 0 else plain


RMSPROP = OptimizerSpec(
    name="rmsprop",
    slots=lambda momentum: 1 + (momentum > 0),
    step=_step,
    momentum=True,
)
