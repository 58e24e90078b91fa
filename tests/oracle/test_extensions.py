"""A cell and an optimizer defined here, one object each, work like those that charlm brings."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.run import RunConfig
from charlm.config.sampling import DrawConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import ConfigurationError
from charlm.inference.evaluation import Evaluator
from charlm.nn.cells.spec import Cell, Gate, sigmoid
from charlm.nn.network import Network
from charlm.nn.optimizer import Optimizer
from charlm.nn.optimizers.spec import OptimizerSpec
from charlm.nn.parameters import Parameters
from charlm.nn.reference import losses
from charlm.registry import CELLS, OPTIMIZERS
from charlm.storage.checkpoint import Checkpoint
from charlm.storage.onnx import save_onnx
from charlm.storage.safetensors import save_safetensors

from .problem import Problem, exact, reference_gradient, reference_sequence, relative_error, run_epoch
from .test_gradients import TOLERANCE


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    (xf, xn), (hf, hn) = np.split(zx, 2, -1), np.split(zh, 2, -1)
    f = sigmoid(xf + hf)
    return (1 - f) * h + f * np.tanh(xn + f * hn), c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    from charlm.kernels.fastmath import sigmoid, tanh
    from charlm.kernels.simd import LANES, load, store

    def forward(units, rows, recurrent, c):  # type: ignore[no-untyped-def]
        for j in range(0, units, LANES):
            forget = sigmoid(load(rows.z, j) + load(recurrent, j))
            state_part, before = load(recurrent, units + j), load(rows.h_before, j)
            new = tanh(load(rows.z, units + j) + forget * state_part)
            store(rows.z, j, forget)
            store(rows.z, units + j, new)
            store(rows.extra, j, state_part)
            store(rows.h, j, before + forget * (new - before))

    def backward(units, rows, dh, dc, dz, dz_h):  # type: ignore[no-untyped-def]
        for j in range(0, units, LANES):
            forget, new, error = load(rows.z, j), load(rows.z, units + j), load(dh, j)
            d_new = error * forget * (1.0 - new * new)
            d_forget = (error * (new - load(rows.h_before, j)) + d_new * load(rows.extra, j)) * forget * (1.0 - forget)
            store(dz, j, d_forget)
            store(dz, units + j, d_new)
            store(dz_h, j, d_forget)
            store(dz_h, units + j, d_new * forget)
            store(dh, j, error * (1.0 - forget))

    return forward, backward


# The minimal gated unit (Zhou et al. 2016), with its gate after the product.
MGU = Cell("mgu", (Gate("f", "sigmoid"), Gate("n", "tanh")), _reference, _steps, extras=1, separate=True)


def _averaged(momentum: float) -> Callable[..., None]:
    from charlm.kernels.simd import LANES, load, store
    from charlm.kernels.update import decayed

    def update(hyper, n, parameters, gradients, means):  # type: ignore[no-untyped-def]
        for j in range(0, n, LANES):
            mean = load(means, j) * hyper.beta1 + decayed(hyper, parameters, gradients, j) * (1.0 - hyper.beta1)
            store(means, j, mean)
            store(parameters, j, load(parameters, j) - mean * hyper.rate)

    return update


AVERAGED = OptimizerSpec("averaged", lambda momentum: 1, _averaged)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    CELLS.register("mgu", MGU)
    OPTIMIZERS.register("averaged", AVERAGED)
    yield
    CELLS.unregister("mgu")
    OPTIMIZERS.unregister("averaged")


def named(config: ModelConfig | OptimizerConfig, field: str, name: str) -> None:
    """Gives a configuration a registered name, also one that its own check does not know."""
    object.__setattr__(config, field, name)


def problem(**more: int) -> Problem:
    model = ModelConfig("lstm", hidden=19, layers=2, dropout=0.3, residual=True, layer_norm=True)
    named(model, "cell", "mgu")
    return Problem(model, TruncationConfig(2, 5, "window"), ResetConfig("line"), streams=2, length=25, **more)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cell_has_the_gradients_of_its_reference(threads: int) -> None:
    for u in run_epoch(problem(threads=threads))[0]:
        assert relative_error(u.gradient, reference_gradient(problem(), u.first, u.last)) < TOLERANCE


def test_a_cell_is_evaluated_and_sampled() -> None:
    one = Problem(problem().model, TruncationConfig(4, 4), length=60)
    object.__setattr__(one.model, "dropout", 0.0)
    parameters = one.parameters()
    expected = losses(one.model, exact(parameters), reference_sequence(one, 59))
    found = Evaluator(parameters).losses(one.text(), one.resets())[0]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    network = Network(parameters, 1, 1)
    drawn, _ = network.draw(np.zeros((1, 1)), 20, 0, 0, one.resets(), DrawConfig(seed=1))
    assert set(drawn.ravel()) <= set(range(one.vocabulary)) and len(set(drawn.ravel())) > 1
    assert network.gate_values().shape == (2, 1, 1, 19)


def test_formats_without_the_cell_say_so(tmp_path: Path) -> None:
    config = RunConfig()
    object.__setattr__(config, "model", problem().model)
    saved = Checkpoint(tmp_path, config, Vocabulary("abcde"), problem().parameters(), {}, {})
    with pytest.raises(ConfigurationError, match="--cell mgu: PyTorch has no such cell"):
        save_safetensors(saved, tmp_path / "m.safetensors")
    with pytest.raises(ConfigurationError, match="--cell mgu: ONNX has no such cell"):
        save_onnx(saved, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_an_optimizer_computes_its_formula() -> None:
    config = OptimizerConfig("sgd", 0.05, clip=0.0)
    named(config, "rule", "averaged")
    plain = Problem(ModelConfig("gru", hidden=9, dropout=0.0), TruncationConfig(5, 5), length=61)
    updates, parameters = run_epoch(plain, config)
    for name, array in parameters.state_dict().items():
        p, mean = plain.parameters().state_dict()[name].astype(np.float64), np.zeros(1)
        for u in updates:
            mean = 0.9 * mean + 0.1 * u.gradient[name]
            p = p - 0.05 * mean
        np.testing.assert_allclose(array, p, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("declared", [0, 2])
def test_an_optimizer_that_takes_other_slots_than_it_declares(declared: int) -> None:
    parameters = Parameters(ModelConfig(hidden=4), 5)
    wrong = OptimizerSpec("wrong", lambda momentum: declared, _averaged)
    with pytest.raises(ConfigurationError, match=f"wrong: its spec declares {declared} slots and its step takes 1"):
        Optimizer(OptimizerConfig(), parameters, parameters.like(), wrong)
