"""Dynamic evaluation: a model that goes on learning, by TBPTT, from the text that it is scored on.

Mikolov et al. 2010 (`-dynamic` of his rnnlm) make plain steps of gradient descent. Krause, Kahembwe, Murray & Renals
2018, equation 4: with MS_g the mean square of each parameter's gradient, measured beforehand, and theta_g the trained
parameters,

    theta <- theta - lr g / (sqrt(MS_g) + eps) + decay (theta_g - theta) RMS_norm,   RMS_norm = sqrt(MS_g) / mean sqrt(MS_g)

where decay RMS_norm is at most 1. They measure MS_g on training text, which may be gone; here it is measured on text
that the model itself writes.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ..config.run import DrawConfig, DynamicConfig, OptimizerConfig, TruncationConfig
from ..errors import DivergenceError
from ..kernels.buffers import OptimizerParams
from ..nn.network import Network
from ..nn.optimizer import Optimizer
from ..nn.optimizers.dynamic import DYNAMIC
from ..nn.parameters import Parameters
from ..tbptt.streams import Ids, Resets, Streams
from ..tbptt.truncation import Position, Truncation, make_plan
from .sampling import sample

_MEASURED = 1 << 15  # characters that MS_g is measured on
_TEXTS = 16  # that these are drawn as
_EPSILON = 0.002  # of the largest sqrt(MS_g): what is added to them
_CALL = 1 << 12  # characters of a kernel call, so that Ctrl-C is noticed soon


class DynamicEvaluator:
    """Reads one text after the other with parameters of its own, that begin as the given ones and learn."""

    def __init__(self, trained: Parameters, resets: Resets, config: DynamicConfig, threads: int = 1) -> None:
        self._parameters = trained.like()
        self._parameters.flat[...] = trained.flat
        self._resets, self._config = resets, config
        self._net = Network(self._parameters, 1, config.k1, max(config.k1, config.k2), dropout_seed=None, threads=threads)
        squares = self._mean_squares(_own_text(trained, resets, threads))
        self._rule = self._rule_of(trained, squares)

    def losses(self, ids: Ids, on_done: Callable[[int], None] = lambda n: None) -> Iterator[float]:
        """Yields the nats of each block of k1 characters of ids (N,), all but the first, before the model learns from it.

        on_done is told how many characters more were read. Raises DivergenceError.
        """
        self._net.clear_state()
        return self._read(ids, self._rule, self._config.learning_rate, on_done)

    def _read(
        self, ids: Ids, rule: OptimizerParams, rate: float, on_done: Callable[[int], None] = lambda n: None
    ) -> Iterator[float]:
        c = self._config
        streams, at = Streams(len(ids), 1), Position()
        truncation = Truncation(TruncationConfig(c.k1, c.k2), streams)
        updates = max(1, _CALL // c.k1)
        while at.epoch == 0:
            plan, at = make_plan(truncation, streams, self._resets, ids, at, updates, np.full(updates, rate))
            stats = self._net.train(plan, rule)
            if not stats.applied.all():
                raise DivergenceError("dynamic evaluation diverged: a gradient is not finite; try a lower --lr")
            yield from stats.loss.sum(1).tolist()
            on_done(int(plan.steps.sum()))

    def _mean_squares(self, ids: np.ndarray) -> np.ndarray:
        """The mean over blocks of each gradient's square, as the flat buffer lies, float64: Adagrad's sums, at no rate."""
        adagrad = Optimizer(OptimizerConfig("adagrad", 0.0, clip=0.0), self._parameters, self._net.gradients)
        blocks = sum(1 for _ in self._read(ids, adagrad.rule, 0.0))
        return adagrad.slots[0].astype(np.float64) / blocks

    def _rule_of(self, trained: Parameters, squares: np.ndarray) -> OptimizerParams:
        size = np.sqrt(squares)
        optimizer = Optimizer(OptimizerConfig("sgd", clip=0.0), self._parameters, self._net.gradients, DYNAMIC)
        gain, pull, anchor = optimizer.slots
        gain[...] = 1 / (size + _EPSILON * size.max())
        pull[...] = np.minimum(1.0, self._config.decay * size / size[size > 0].mean())
        anchor[...] = trained.flat
        return optimizer.rule


def _own_text(parameters: Parameters, resets: Resets, threads: int) -> np.ndarray:
    """Characters that the model writes, one text after the other, (n,) int32."""
    pieces = sample(parameters, resets, np.zeros(1), _TEXTS, _MEASURED // _TEXTS, DrawConfig(seed=0), threads)
    return np.concatenate([piece.ids for piece in pieces]).T.ravel()
