"""Names that there are not raise, also where a configuration was made without being checked."""

from typing import Any

import pytest

from charlm.config import run
from charlm.config.run import GATES, ModelConfig, OptimizerConfig, ResetConfig, ScheduleConfig, TruncationConfig
from charlm.errors import ConfigurationError
from charlm.nn.optimizer import Optimizer, Schedule
from charlm.nn.parameters import Parameters
from charlm.registry import CELLS, OPTIMIZERS
from charlm.tbptt.contract import contract
from charlm.tbptt.streams import Resets, Streams
from charlm.tbptt.truncation import method


def renamed(config: Any, field: str) -> Any:
    """The configuration with a name in it that there is not."""
    object.__setattr__(config, field, "mystery")
    return config


def test_a_truncation() -> None:
    config = renamed(TruncationConfig(), "kind")
    with pytest.raises(ConfigurationError, match="--truncation mystery: choose from newest, window, artbp, adaptive"):
        method(config, Streams(100, 2), 0)
    with pytest.raises(ConfigurationError, match="--truncation mystery"):
        contract(config, "epoch", 0)


def test_an_optimizer() -> None:
    parameters = Parameters(ModelConfig(hidden=4), 5)
    with pytest.raises(ConfigurationError, match="--optimizer mystery: choose from adam, adamw, rmsprop, adagrad, sgd"):
        Optimizer(renamed(OptimizerConfig(), "rule"), parameters, parameters.like())


def test_a_schedule() -> None:
    with pytest.raises(ConfigurationError, match="--schedule mystery: choose from constant, cosine, plateau"):
        Schedule(renamed(ScheduleConfig(updates=1), "kind"), 0.1)


def test_a_cell() -> None:
    with pytest.raises(ConfigurationError, match="--cell mystery: choose from rnn, lstm, gru$"):
        Parameters(renamed(ModelConfig(), "cell"), 5)


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


def test_cells_and_optimizers_are_those_that_configurations_know() -> None:
    assert {name: len(cell.gates) for name, cell in CELLS.items()} == GATES
    assert set(OPTIMIZERS) == set(run.OPTIMIZERS)
