"""Tables beside the network: gradients against the reference's, with counts kept in dictionaries."""

import itertools

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig

from .problem import Problem
from .test_gradients import CELLS, RESETS, check

ORDERS = [1, 3, 5]


@pytest.mark.parametrize("counted", ["text", "blocks"])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_against_reference(cell: str, activation: str, counted: str) -> None:
    for reset, order, (k1, k2), streams in itertools.product(RESETS, ORDERS, [(1, 4), (5, 12), (7, 3)], [1, 3]):
        model = ModelConfig(cell, activation, hidden=3, layers=2, dropout=0.3, direct_order=order, direct_size=1)
        problem = Problem(model, TruncationConfig(k1, k2), reset, streams, length=streams * 30 + 2, counted=counted)
        check(problem, threads=(1, 2, 3) if streams > 1 else (1,))
