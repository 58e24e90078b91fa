"""Is an estimator of the gradient unbiased? Its mean over many draws against the gradient without truncation."""

import math
from dataclasses import dataclass

import numpy as np

from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.nn.network import Network, Training
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams


@dataclass(frozen=True)
class Error:
    """What is wrong with a mean gradient, in units of what is wrong with TBPTT's: 1 is as biased, 0 unbiased.

    along: its part in the direction of TBPTT's error. deviation: its standard error. worst: the largest of its parts in
    random directions, in their standard errors; nan where nothing is random.
    """

    along: float
    deviation: float
    worst: float


def epoch_gradient(parameters: Parameters, cut: TruncationConfig, streams: int, ids: np.ndarray, seed: int) -> np.ndarray:
    """The mean gradient of a loss over an epoch, parameters held, (n,) float64: sums over updates, times their weights."""
    split = Streams(len(ids), streams)
    truncation = make_method(cut, split, seed)
    plan, _ = make_plan(
        truncation, split, Resets(ResetConfig(), cut.k1), ids, Position(), split.steps, np.zeros(split.steps)
    )
    net = Network(parameters, streams, truncation.block, Training(truncation.window))
    net.reserve(int(plan.steps.max()))
    # At a learning rate of 0 nothing moves, and the velocity at a momentum of 1, or all but 1, is the sum of all gradients.
    optimizer = Optimizer(OptimizerConfig("sgd", momentum=math.nextafter(1.0, 0.0), clip=0.0), parameters, net.gradients)
    net.train(plan._replace(weight=np.ones(len(plan.weight))), optimizer.rule)
    return optimizer.slots[0].ravel().astype(np.float64) / (streams * split.steps)


def compare(
    parameters: Parameters, ids: np.ndarray, streams: int, mean_length: int, tail: float, draws: int, directions: int = 20
) -> dict[str, Error]:
    """Errors of TBPTT(mean_length, mean_length), and of the mean of `draws` of ARTBP with segments of that mean length."""
    steps = Streams(len(ids), streams).steps
    full = epoch_gradient(parameters, TruncationConfig(steps, steps), streams, ids, 0)
    cut = epoch_gradient(parameters, TruncationConfig(mean_length, mean_length), streams, ids, 0)
    length, direction = float(np.linalg.norm(cut - full)), (cut - full) / np.linalg.norm(cut - full)
    random = np.random.default_rng(0).standard_normal((directions, len(full))) * (full != 0)
    kind = TruncationConfig(mean_length, mean_length, "artbp", settings={"mean_length": mean_length, "tail": tail})
    errors = np.array([epoch_gradient(parameters, kind, streams, ids, seed) - full for seed in range(draws)])
    along, apart = errors @ direction / length, errors @ random.T
    z = np.sqrt(draws) * apart.mean(0) / apart.std(0, ddof=1)
    return {
        "TBPTT": Error(1.0, 0.0, float("nan")),
        "ARTBP": Error(float(along.mean()), float(along.std(ddof=1)) / draws**0.5, float(np.abs(z).max())),
    }
