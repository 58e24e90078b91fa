"""Adagrad (Duchi, Hazan & Singer 2011): s += g^2; p -= rate g / (sqrt(s) + epsilon). As torch.optim.Adagrad."""

from __future__ import annotations

from collections.abc import Callable

from .spec import OptimizerSpec


def _step(momentum: float) -> Callable[..., None]:
    """Return the update: see OptimizerSpec."""
    from ...kernels.simd import LANES, fma, load, sqrt, store
    from ...kernels.update import decayed

    def update(hyper, n, parameters, gradients, squares):
        for j in range(0, n, LANES):
            g = decayed(hyper, parameters, gradients, j)
            s = fma(g, g, load(squares, j))
            store(squares, j, s)
            store(parameters, j, load(parameters, j) - g * hyper.rate / (sqrt(s) + hyper.epsilon))

    return update


ADAGRAD = OptimizerSpec(
    name="adagrad",
    slots=lambda momentum: 1,
    step=_step,
    epsilon=1e-10,
)
