"""The optimizers' fused passes against their formulas in plain NumPy, on the gradients that training really made."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.schedule import ScheduleConfig
from charlm.config.truncation import TruncationConfig
from charlm.nn.schedule import Schedule

from .problem import Problem, run_epoch

# A rule is fed one gradient after the other and gives the step to subtract, learning rate left out.
OptimizerParams = Callable[[np.ndarray], np.ndarray]


def sgd(config: OptimizerConfig) -> OptimizerParams:
    velocity = np.zeros(1)

    def step(g: np.ndarray) -> np.ndarray:
        nonlocal velocity
        velocity = config.momentum * velocity + g
        return g + config.momentum * velocity if config.nesterov else velocity

    return step


def adagrad(config: OptimizerConfig) -> OptimizerParams:
    squares = np.zeros(1)

    def step(g: np.ndarray) -> np.ndarray:
        nonlocal squares
        squares = squares + g**2
        return g / (np.sqrt(squares) + 1e-10)

    return step


def rmsprop(config: OptimizerConfig) -> OptimizerParams:
    squares, velocity = np.zeros(1), np.zeros(1)

    def step(g: np.ndarray) -> np.ndarray:
        nonlocal squares, velocity
        squares = config.beta2 * squares + (1 - config.beta2) * g**2
        velocity = config.momentum * velocity + g / (np.sqrt(squares) + 1e-8)
        return velocity

    return step


def adam(config: OptimizerConfig) -> OptimizerParams:
    mean, squares, n = np.zeros(1), np.zeros(1), 0

    def step(g: np.ndarray) -> np.ndarray:
        nonlocal mean, squares, n
        n += 1
        mean = config.beta1 * mean + (1 - config.beta1) * g
        squares = config.beta2 * squares + (1 - config.beta2) * g**2
        return mean / (1 - config.beta1**n) / (np.sqrt(squares / (1 - config.beta2**n)) + 1e-8)

    return step


RULES = {"sgd": sgd, "adagrad": adagrad, "rmsprop": rmsprop, "adam": adam, "adamw": adam}
CASES = [
    OptimizerConfig("sgd", 0.1, clip=0.0),
    OptimizerConfig("sgd", 0.05, momentum=0.9, clip=0.3, weight_decay=0.01),
    OptimizerConfig("sgd", 0.05, momentum=0.9, nesterov=True, clip=0.3),
    OptimizerConfig("adagrad", 0.05, clip=0.3, weight_decay=0.01),
    OptimizerConfig("rmsprop", 0.01, clip=0.3, weight_decay=0.01),
    OptimizerConfig("rmsprop", 0.01, momentum=0.9, clip=0.3),
    OptimizerConfig("adam", 0.02, clip=0.3, weight_decay=0.01),
    OptimizerConfig("adamw", 0.02, clip=0.3, weight_decay=0.5),
]


def clipped(config: OptimizerConfig, gradient: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradient.values()))
    scale = config.clip / norm if 0 < config.clip < norm else 1.0
    for name, g in gradient.items():
        yield name, scale * g.astype(np.float64)


@pytest.mark.parametrize("config", CASES, ids=lambda c: f"{c.rule}-{c.momentum}-{c.nesterov}")
def test_formulas(config: OptimizerConfig) -> None:
    problem = Problem(
        ModelConfig("gru", hidden=21, layers=2, dropout=0.0), TruncationConfig(5, 5), streams=3, length=3 * 200 + 1
    )
    updates, parameters = run_epoch(problem, config)
    p = {name: array.astype(np.float64) for name, array in problem.parameters().state_dict().items()}
    rules = {name: RULES[config.rule](config) for name in p}
    for u in updates:
        for name, g in clipped(config, u.gradient):
            decay = config.weight_decay if p[name].ndim == 2 else 0.0
            if config.rule == "adamw":
                p[name] *= 1 - config.learning_rate * decay
                decay = 0.0
            p[name] -= config.learning_rate * rules[name](g + decay * p[name])
    for name, array in parameters.state_dict().items():
        np.testing.assert_allclose(array, p[name], rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("config", CASES[1::2], ids=lambda c: c.rule)
def test_training_is_the_same_for_every_number_of_threads(config: OptimizerConfig, threads: int) -> None:
    problem = Problem(
        ModelConfig("lstm", hidden=70, layers=2, dropout=0.2),
        TruncationConfig(5, 12),
        streams=9,
        length=9 * 60 + 5,
        vocabulary=50,
    )
    _, one = run_epoch(problem, config)
    _, other = run_epoch(replace(problem, threads=threads), config)
    assert np.array_equal(one.flat, other.flat)


def test_schedules() -> None:
    share = np.linspace(0, 1, 11)
    constant = Schedule(ScheduleConfig("constant", warmup=4, updates=11), 0.5).rates(0, 11, share)
    np.testing.assert_allclose(constant, 0.5 * np.minimum(1, np.arange(1, 12) / 4))
    cosine = Schedule(ScheduleConfig("cosine", updates=11), 0.5).rates(0, 11, share)
    np.testing.assert_allclose(cosine, 0.5 * np.maximum(0.02, (1 + np.cos(np.pi * share)) / 2))
    plateau = Schedule(ScheduleConfig("plateau", updates=11), 0.5)
    for improved in (True, False, True, False, False):
        plateau.validated(improved)
    assert plateau.rates(20, 1, share[:1])[0] == 0.25
