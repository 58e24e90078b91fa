"""State goes out and comes in by name, and what does not fit is named."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.schedule import ScheduleConfig
from charlm.nn.network import Network, Training
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.nn.schedule import Schedule
from charlm.tree import LeafError, Stateful

MODEL = ModelConfig("gru", hidden=5, layers=2)


def parameters() -> Parameters:
    made = Parameters(MODEL, 7)
    made.initialise(3)
    return made


def optimizer() -> Optimizer:
    return Optimizer(OptimizerConfig("adam"), parameters(), parameters())


KINDS: dict[str, Callable[[], Any]] = {
    "parameters": parameters,
    "optimizer": optimizer,
    "schedule": lambda: Schedule(ScheduleConfig("plateau", updates=9), 0.1),
    "network": lambda: Network(parameters(), 3, 4, Training(8)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_goes_out_comes_in(kind: str) -> None:
    one, other = KINDS[kind](), KINDS[kind]()
    state = {name: leaf + 1 for name, leaf in one.state_dict().items()}
    other.load_state_dict(state)
    found = other.state_dict()
    assert list(found) == list(state)
    for name, leaf in state.items():
        assert np.array_equal(found[name], leaf), name
        assert not np.array_equal(found[name], one.state_dict()[name]), name


@pytest.mark.parametrize(
    ("kind", "leaf", "wrong", "message"),
    [
        ("parameters", "out.bias", np.zeros(6, np.float32), r"out.bias: expected float32 \(7,\), found float32 \(6,\)"),
        ("parameters", "rnn.weight_hh_l0", None, r"rnn.weight_hh_l0: expected float32 \(15, 5\), found nothing"),
        ("optimizer", "slots", np.zeros(3), r"slots: expected float32 \(2, .*\), found float64 \(3,\)"),
        ("schedule", "factor", "half", "factor: expected a finite number, found 'half'"),
        ("schedule", "stale", -1, "stale: expected a whole number of 0 or more, found -1"),
        ("network", "state_h", np.full((2, 3, 16), np.nan, np.float32), "state_h: expected finite numbers, found nan"),
        ("network", "window_x", np.zeros((1, 8, 3, 1), np.int64), r"window_x: expected int32 .*, found int64"),
    ],
)
def test_what_does_not_fit_is_named(kind: str, leaf: str, wrong: Any, message: str) -> None:
    part: Stateful = KINDS[kind]()
    state = dict(part.state_dict())
    del state[leaf]
    with pytest.raises(LeafError, match=message):
        part.load_state_dict(state if wrong is None else {**state, leaf: wrong})
