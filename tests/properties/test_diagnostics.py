"""Watching training: norms and saturation against plain NumPy, alarms on made-up runs."""

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.truncation import TruncationConfig
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.streams import Streams
from charlm.training.diagnostics import Diagnostics, layer_norms, saturation
from tests.oracle.problem import Problem

CALM = {"layer1": 1.0, "layer2": 1.0, "out": 1.0}
OPEN = [[0.1, 0.2]]


@pytest.mark.parametrize("norm", ["layer", "cell", "batch"])
def test_norms_by_layer_add_up_to_the_whole(norm: str) -> None:
    """Of what is learned: statistics are no gradients."""
    parameters = Problem(ModelConfig("gru", hidden=5, layers=3, norm=norm), TruncationConfig()).parameters()
    norms = layer_norms(parameters)
    assert set(norms) == {"layer1", "layer2", "layer3", "out"}
    arrays = {name: a.astype(float) for name, a in parameters.state_dict().items() if "running" not in name}
    assert sum(n**2 for n in norms.values()) == pytest.approx(sum((a**2).sum() for a in arrays.values()))
    assert norms["out"] ** 2 == pytest.approx(sum((a**2).sum() for name, a in arrays.items() if name.startswith("out")))


@pytest.mark.parametrize(("cell", "activation"), [("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu")])
def test_gates_are_those_of_the_cell(cell: str, activation: str) -> None:
    """With all weights zero a gate is the sigmoid of its bias."""
    model = ModelConfig(cell, activation, hidden=20, layers=2, dropout=0.0)
    for slices in (1, 2):
        problem = Problem(model, TruncationConfig(4, 9), streams=3, length=3 * 13 + 2, slices=slices, threads=slices)
        parameters = Parameters(model, problem.vocabulary)
        if cell == "lstm":
            parameters.weights.b_ih.reshape(2, 4, -1)[:, 1, :20] = 5.0
            parameters.weights.b_ih.reshape(2, 4, -1)[:, 3, :20] = -5.0
        net = problem.network(parameters)
        rule = Optimizer(OptimizerConfig("sgd", 0.0), parameters, net.gradients).rule
        streams = Streams(problem.length, 3)
        plan, _ = make_plan(problem.cut(), streams, problem.resets(), problem.text(), Position(), 3, np.zeros(3))
        net.train(plan, rule)
        values = net.gate_values()
        expected = {"lstm": [0.5, 0.9933071, 0.0066929], "gru": [0.5, 0.5], "rnn": [0.5]}[cell]
        if activation == "relu":
            expected = []
        assert values.shape == (2, 3, len(expected), 20)
        assert values == pytest.approx(np.broadcast_to(np.array(expected)[:, None], values.shape), abs=1e-5)


def test_saturation_counts_both_ends() -> None:
    gates = np.array([0.0, 0.049, 0.051, 0.5, 0.949, 0.951, 1.0, 0.3]).reshape(1, 2, 1, 4)
    assert saturation(gates).tolist() == [[0.5]]


def test_alarms_come_once_and_name_what_to_try() -> None:
    watch = Diagnostics(1.0, 8)
    assert watch.look(1, 2.0, np.ones(5), CALM, OPEN) == []
    (alarm,) = watch.look(2, 2.0, np.full(5, 101.0), CALM, OPEN)
    assert alarm.kind == "explodes"
    assert "--lr" in alarm.message
    assert watch.look(3, 2.0, np.full(5, 1e6), CALM, OPEN) == []
    (alarm,) = watch.look(4, 2.0, np.ones(5), {**CALM, "layer1": 1e-5}, OPEN)
    assert alarm.kind == "vanishes"
    assert "layer 1" in alarm.message
    (alarm,) = watch.look(5, 2.0, np.ones(5), CALM, [[0.2, 0.97]])
    assert alarm.kind == "saturates"
    (alarm,) = watch.look(6, 2.6, np.ones(5), CALM, OPEN)
    assert alarm.kind == "diverges"
    assert "that of guessing 2.08" in alarm.message
    assert Diagnostics(1.0, 8).look(1, 2.0, np.ones(5), CALM, [[], []]) == [], "a relu cell has no gates"


def test_without_clipping_a_norm_is_compared_with_what_it_was() -> None:
    watch = Diagnostics(0.0, 8)
    for i in range(5):
        assert watch.look(i, 2.0, np.full(4, 0.3), CALM, OPEN) == []
    assert [a.kind for a in watch.look(6, 2.0, np.full(4, 31.0), CALM, OPEN)] == ["explodes"]
