"""A measurement of how far errors reach: their norms by lag, from which tbptt/decay.py recommends a k2."""

from collections.abc import Callable

import numpy as np

from ..config.optimizer import OptimizerConfig
from ..errors import DivergenceError
from ..kernels.tasks import Plan
from ..nn.network import Network, Training
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..tbptt.decay import DecayProfile
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams


class GradientDecay:
    """Measures decay profiles of parameters at their current values; the network is reused from one to the next."""

    def __init__(self, parameters: Parameters, lags: int, streams: int = 8, threads: int = 1) -> None:
        self._net = Network(parameters, streams, lags, Training(lags), threads)
        frozen = OptimizerConfig("sgd", learning_rate=0.0, clip=0.0)
        self._rule = Optimizer(frozen, parameters, self._net.gradients).rule
        self._lags = lags

    @property
    def bytes(self) -> int:
        """Memory that measuring takes."""
        return self._net.all_bytes()

    def measure(
        self,
        ids: Ids,
        resets: Resets,
        losses: int,
        random: np.random.Generator,
        on_done: Callable[[int], None] = lambda n: None,
    ) -> DecayProfile:
        """Follow at least `losses` losses back, at random places of a text of more than 2 * lags characters.

        Each window is read after as many characters before it, so that its state is one that training would have. on_done:
        called with the number of losses that were followed. Raises DivergenceError if a gradient is not finite.
        """
        n, net = self._lags, self._net
        found = []
        for _ in range(-(-losses // net.streams)):
            begin = random.integers(0, len(ids) - 2 * n, net.streams)
            net.clear_state()
            stats = net.train(self._plan(ids, resets, begin), self._rule, lags=n)
            if not stats.applied.all():
                raise DivergenceError("a gradient is not finite: the model's parameters are too large to compute with")
            found.append(stats.lags[1])
            on_done(net.streams)
        squares = np.concatenate(found, axis=3).sum(2)  # blocks of units
        return DecayProfile(*np.moveaxis(np.sqrt(squares), 1, 0))

    def _plan(self, ids: Ids, resets: Resets, begin: np.ndarray) -> Plan:
        """Plan two blocks: one to warm up, and one over which the errors of its last loss go back."""
        n, whole = self._lags, Streams(len(ids), 1)
        each = np.ones(2, np.int64)
        return Plan(
            ids=np.stack([ids[b : b + 2 * n + 1] for b in begin.tolist()], axis=1).astype(np.int32),
            resets=np.concatenate([resets.read(whole, ids, b, b + 2 * n) for b in begin.tolist()], axis=1),
            gradient_scale=np.ones(2 * n, np.float32),
            first_step=0,
            epoch_base=0,
            origin=np.array([0, n]),
            start=np.array([0, n]),
            steps=n * each,
            reach=np.array([1, n]),
            losses=each,
            weight=np.ones(2),
            learning_rate=np.zeros(2),
            number=each,
            connects=np.ones(2, np.uint8),
        )
