"""Dynamic evaluation: against a naive network that learns by the same formula, and what it must do for a text."""

import numpy as np
import pytest

from charlm.config.evaluation import DynamicConfig
from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import DivergenceError
from charlm.inference import dynamic_evaluation as dynamic
from charlm.inference.dynamic_evaluation import DynamicEvaluator
from charlm.inference.evaluation import Evaluator
from charlm.inference.sampling import Context
from charlm.nn.parameters import Parameters
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

from ..divergence import inject_divergence
from .naive import NaiveClocks, NaiveRnn
from .problem import LINE_END, Problem

PROBLEM = Problem(ModelConfig("rnn", hidden=7, layers=1, dropout=0.0), TruncationConfig(4, 4), length=90)
CLOCKS = Problem(ModelConfig("rnn", hidden=7, layers=2, dropout=0.0, clocks="1,3"), TruncationConfig(4, 4), length=90)
Arrays = dict[str, np.ndarray]


class Learner:
    """A naive network with PyTorch's parameters; reads a text block by block."""

    def __init__(self, parameters: Parameters) -> None:
        self.p = {name: a.astype(np.float64) for name, a in parameters.state_dict().items()}
        clock = parameters.config.slowest
        self.net = NaiveRnn(self.p) if clock == 1 else NaiveClocks(self.p, clock)

    def read(self, ids: np.ndarray, resets: Resets, config: DynamicConfig, learn: bool, **rule: Arrays) -> tuple[list, list]:
        """Nats and gradient of each block; `rule` is what it learns by, if it does."""
        trained, nats, gradients = {k: v.copy() for k, v in self.p.items()}, [], []
        reset = resets.read(Streams(len(ids), 1), ids, 0, len(ids) - 1)[:, 0]
        for first in range(0, len(ids) - 1, config.k1):
            steps = range(first, min(first + config.k1, len(ids) - 1))
            nats.append(sum(self.net.forward(ids[t], ids[t + 1], bool(reset[t])) for t in steps))
            window = min(config.k2, steps.stop)
            gradients.append(self.net.named_gradient(window, len(steps), 1 / config.k1))
            if learn:
                for name, g in gradients[-1].items():
                    root = rule["root"][name]
                    back = np.minimum(1.0, config.decay * root / rule["mean"]["all"]) * (trained[name] - self.p[name])
                    self.p[name] += back - config.learning_rate * g / (root + rule["least"]["all"])
                self.net.take_over(self.p)
        return nats, gradients


def test_k2_is_k1_unless_it_is_given() -> None:
    assert DynamicConfig(k1=50).k2 == DynamicConfig.from_settings({"k1": 50, "k2": None}).k2 == 50
    assert DynamicConfig(k1=50, k2=70).k2 == DynamicConfig.from_settings({"k1": 50, "k2": 70}).k2 == 70


@pytest.mark.parametrize("problem", [PROBLEM, CLOCKS], ids=["plain", "clocks"])
@pytest.mark.parametrize("reset", ["never", "line"])
@pytest.mark.parametrize(
    "config", [DynamicConfig(0.02, 0.05, 4, 4), DynamicConfig(0.02, 0.5, 4, 10), DynamicConfig(0.0, 0.0, 7, 7)]
)
def test_against_a_naive_learner(
    config: DynamicConfig, reset: str, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic, "_MEASURED", 80)
    monkeypatch.setattr(dynamic, "_TEXTS", 2)
    parameters, ids = problem.parameters(), problem.text()
    before = parameters.flat.copy()
    resets = Resets(ResetConfig(reset), 4, np.array([LINE_END]) if reset == "line" else None)
    found = np.array(list(DynamicEvaluator(parameters, resets, config, threads=2).losses(ids)))
    assert np.array_equal(parameters.flat, before), "the model itself learns nothing"

    own = dynamic._sampled_text(Context(parameters, resets, np.zeros(1)))
    assert own.shape == (80,)
    _, gradients = Learner(parameters).read(own, resets, config, learn=False)
    root = {name: np.sqrt(np.mean([g[name] ** 2 for g in gradients], axis=0)) for name in gradients[0]}
    every = np.concatenate([r.ravel() for r in root.values()])
    expected, _ = Learner(parameters).read(
        ids,
        resets,
        config,
        learn=True,
        root=root,
        mean={"all": every[every > 0].mean()},
        least={"all": dynamic._EPSILON * every.max()},
    )
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    static, _ = Evaluator(parameters).losses(ids, resets)
    assert (found.sum() == pytest.approx(static.sum(), rel=1e-6)) == (config.learning_rate == 0)


def test_it_learns_what_a_text_repeats() -> None:
    """A text that repeats itself comes to cost less."""
    parameters = Problem(ModelConfig("lstm", hidden=24, layers=1, dropout=0.0), TruncationConfig(4, 4)).parameters()
    resets, round_ = Resets(ResetConfig("never"), 4), np.random.default_rng(1).integers(0, 5, 20)
    found = np.array(list(DynamicEvaluator(parameters, resets, DynamicConfig(2e-2, 0.0)).losses(np.tile(round_, 100))))
    assert found[-10:].mean() < 0.5 * found[:10].mean()


def test_divergence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = DynamicEvaluator(PROBLEM.parameters(), Resets(ResetConfig(), 4), DynamicConfig(0.02, 0.0, 4, 4))
    inject_divergence(monkeypatch, {10: 1})
    with pytest.raises(DivergenceError, match="try a lower --lr"):
        list(evaluator.losses(PROBLEM.text()))
