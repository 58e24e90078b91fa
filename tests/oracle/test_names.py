"""Names that there are not raise, also where a configuration was made without being checked."""

from typing import Any

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.schedule import ScheduleConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import ConfigurationError
from charlm.nn.cells.rnn import RNN
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.nn.reference import cell_step
from charlm.nn.schedule import Schedule
from charlm.tbptt.method import make_method
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams


def renamed(config: Any, field: str) -> Any:
    """The configuration with a name in it that there is not."""
    object.__setattr__(config, field, "mystery")
    return config


def test_a_truncation() -> None:
    config = renamed(TruncationConfig(), "kind")
    with pytest.raises(ConfigurationError, match="--truncation mystery: choose from newest, window, artbp, adaptive"):
        make_method(config, Streams(100, 2), 0)


def test_an_optimizer() -> None:
    parameters = Parameters(ModelConfig(hidden=4), 5)
    with pytest.raises(ConfigurationError, match="--optimizer mystery: choose from adam, adamw, rmsprop, adagrad, sgd"):
        Optimizer(renamed(OptimizerConfig(), "rule"), parameters, parameters.like())


def test_a_schedule() -> None:
    with pytest.raises(ConfigurationError, match="--schedule mystery: choose from constant, cosine, plateau"):
        Schedule(renamed(ScheduleConfig(updates=1), "kind"), 0.1)


def test_a_cell() -> None:
    with pytest.raises(ConfigurationError, match="--cell mystery: choose from rnn, lstm, gru, mlstm, indrnn, mingru$"):
        Parameters(renamed(ModelConfig(), "cell"), 5)


def test_an_activation() -> None:
    config, zeros = renamed(ModelConfig("rnn"), "activation"), np.zeros((1, 1))
    biases = {"rnn.bias_ih_l0": zeros[0], "rnn.bias_hh_l0": zeros[0]}
    for attempt in (lambda: RNN.steps("mystery"), lambda: cell_step(config, biases, 0, *[zeros] * 4)):
        with pytest.raises(ConfigurationError, match="--activation mystery: choose from tanh, relu$"):
            attempt()


def test_a_reset() -> None:
    with pytest.raises(ConfigurationError, match="--reset mystery: choose from never"):
        Resets(renamed(ResetConfig(), "policy"), 4)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (TruncationConfig, "kind"),
        (OptimizerConfig, "rule"),
        (ModelConfig, "cell"),
        (ModelConfig, "activation"),
        (ResetConfig, "policy"),
    ],
)
@pytest.mark.parametrize("value", ["mystery", "", None, 3, ["newest"]])
def test_configurations_are_checked_where_they_are_made(kind: type, field: str, value: Any) -> None:
    with pytest.raises(ConfigurationError):
        kind(**{field: value})
