"""Adam (Kingma & Ba 2015, algorithm 1), as torch.optim.Adam: weight decay is added to the gradient."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step(momentum: float) -> Callable[..., None]:
    """Return the update: see OptimizerSpec."""
    import math

    from ...kernels.elementary import power
    from ...kernels.simd import LANES, fma, load, sqrt, store
    from ...kernels.update import decayed

    def update(hyper, n, parameters, gradients, means, squares):
        step = hyper.rate / (1.0 - power(hyper.beta1, hyper.number))
        correction = 1.0 / math.sqrt(1.0 - power(hyper.beta2, hyper.number))
        for j in range(0, n, LANES):
            g = decayed(hyper, parameters, gradients, j)
            m = fma(load(means, j), hyper.beta1, g * (1.0 - hyper.beta1))
            v = fma(load(squares, j), hyper.beta2, g * g * (1.0 - hyper.beta2))
            store(means, j, m)
            store(squares, j, v)
            store(parameters, j, load(parameters, j) - m * step / fma(sqrt(v), correction, hyper.epsilon))

    return update


ADAM = OptimizerSpec(
    name="adam",
    slots=lambda momentum: 2,
    step=_step,
)
