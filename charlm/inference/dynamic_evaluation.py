"""Dynamic evaluation: the model keeps learning, by TBPTT, from the text that it is scored on.

Mikolov et al. 2010 (`-dynamic` in rnnlm) take plain gradient descent steps. charlm follows Krause, Kahembwe, Murray &
Renals 2018, equation 4. MS_g is the mean square of each parameter's gradient, measured beforehand; theta_g are the trained
parameters:

    theta <- theta - lr g / (sqrt(MS_g) + eps) + decay (theta_g - theta) RMS_norm,   RMS_norm = sqrt(MS_g) / mean sqrt(MS_g)

where decay RMS_norm is at most 1. The paper measures MS_g on training text, which may no longer exist; charlm measures it
on text sampled from the model.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ..config.evaluation import DynamicConfig
from ..config.optimizer import OptimizerConfig
from ..config.sampling import DrawConfig
from ..config.truncation import TruncationConfig
from ..errors import DivergenceError
from ..kernels.tasks import OptimizerParams
from ..nn.network import Network, Training
from ..nn.optimizer import Optimizer
from ..nn.optimizers.dynamic import DYNAMIC
from ..nn.parameters import Parameters
from ..tbptt.newest import Newest
from ..tbptt.plan import Position, make_plan
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams
from .sampling import Context, sample

_MEASURED = 1 << 15  # characters for measuring MS_g
_TEXTS = 16  # into which these are divided
_EPSILON = 0.002  # eps as a share of the largest sqrt(MS_g)
_CALL = 1 << 12  # characters per kernel call; short, since Ctrl-C waits for it to end


class DynamicEvaluator:
    """Scores texts with a copy of the trained parameters that learns from what it has scored, text after text."""

    def __init__(self, trained: Parameters, resets: Resets, config: DynamicConfig, threads: int = 1) -> None:
        self._parameters = trained.like()
        self._parameters.flat[...] = trained.flat
        self._parameters.tables = trained.tables.copy()
        self._resets, self._config = resets, config
        self._net = self._network(threads, counts=False)
        squares = self._mean_squares(_sampled_text(Context(trained, resets, np.zeros(1), threads)))
        self._net = self._network(threads, counts=True)
        self._optimizer = self._optimizer_params(trained, squares)

    def _network(self, threads: int, counts: bool) -> Network:
        """Return a network that learns. counts: whether its tables learn too."""
        c = self._config
        return Network(
            self._parameters, 1, c.k1, Training(max(c.k1, c.k2 * self._parameters.config.slowest), counts=counts), threads
        )

    def losses(self, ids: Ids, on_done: Callable[[int], None] = lambda n: None) -> Iterator[float]:
        """Yield the loss in nats of each block of k1 characters, taken before the model learns from the block.

        ids: (N,); its first character is context and not scored. on_done: called with the number of characters in each
        kernel call. Raise DivergenceError if a gradient is not finite.
        """
        self._net.clear_state()
        return self._read(ids, self._optimizer, self._config.learning_rate, on_done)

    def _read(
        self, ids: Ids, optimizer: OptimizerParams, rate: float, on_done: Callable[[int], None] = lambda n: None
    ) -> Iterator[float]:
        c = self._config
        streams, at = Streams(len(ids), 1), Position()
        truncation = Newest(TruncationConfig(c.k1, c.k2), streams)
        updates = max(1, _CALL // c.k1)
        while at.epoch == 0:
            plan, at = make_plan(truncation, streams, self._resets, ids, at, updates, np.full(updates, rate, np.float64))
            stats = self._net.train(plan, optimizer)
            if not stats.applied.all():
                raise DivergenceError("dynamic evaluation diverged: a gradient is not finite; try a lower --lr")
            yield from stats.loss.sum(1).tolist()
            on_done(int(plan.steps.sum()))

    def _mean_squares(self, ids: np.ndarray) -> np.ndarray:
        """Return each parameter's squared gradient, averaged over blocks, in the layout of the flat buffer, float64.

        Adagrad with a learning rate of 0 accumulates the sums.
        """
        adagrad = Optimizer(OptimizerConfig("adagrad", 0.0, clip=0.0), self._parameters, self._net.gradients)
        blocks = sum(1 for _ in self._read(ids, adagrad.rule, 0.0))
        return adagrad.slots[0].astype(np.float64) / blocks

    def _optimizer_params(self, trained: Parameters, squares: np.ndarray) -> OptimizerParams:
        """Return the update rule of equation 4; its slots are step scales, decays and trained parameters."""
        size = np.sqrt(squares)
        optimizer = Optimizer(OptimizerConfig("sgd", clip=0.0), self._parameters, self._net.gradients, DYNAMIC)
        gain, pull, anchor = optimizer.slots
        gain[...] = 1 / (size + _EPSILON * size.max())
        pull[...] = np.minimum(1.0, self._config.decay * size / size[size > 0].mean())
        anchor[...] = trained.flat
        return optimizer.rule


def _sampled_text(context: Context) -> np.ndarray:
    """Return texts sampled from the model, concatenated, (n,) int32."""
    pieces = sample(context, _TEXTS, _MEASURED // _TEXTS, DrawConfig(seed=0))
    return np.concatenate([piece.ids for piece in pieces]).T.ravel()
