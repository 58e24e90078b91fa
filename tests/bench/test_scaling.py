"""The model of what ranks gain: a fit recovers its constants, and the streams it asks for are just enough."""

import re

import pytest

from charlm.config.model import ModelConfig
from charlm.nn.parameters import Parameters

from .scaling_model import GOAL, NODES, RATES, VOCABULARY, Computation, Fit, efficiency, fit, predictions, streams_needed

WORK = Computation(256, 1.3e-3, 8.5e-4)


def test_a_fit_finds_latency_and_bandwidth() -> None:
    true = Fit(8e-5, 1e-8, 0)
    found = fit({(n, m): true.seconds(n, m) for n in (2, 4, 8) for m in (4096, 10**5, 10**7)})
    assert found.alpha == pytest.approx(true.alpha)
    assert found.beta == pytest.approx(true.beta)
    assert found.error < 1e-9


def test_bytes_of_a_gradient() -> None:
    for hidden in (16, 256):
        parameters = Parameters(ModelConfig("lstm", hidden=hidden, layers=2), VOCABULARY)
        assert Computation(hidden, 0, 0).gradient == 4 * parameters.count


def test_streams_that_are_just_enough() -> None:
    link = Fit(8e-5, 1e-8, 0)
    for nodes in NODES:
        needed = streams_needed(WORK, link, nodes)
        assert efficiency(WORK, link, nodes, needed) >= GOAL > efficiency(WORK, link, nodes, needed - 1)


def test_predictions_are_of_faster_networks_too() -> None:
    header, _, *rows = predictions([WORK], Fit(8e-5, 1e-8, 0), 1e9)
    assert len(rows) == len(RATES)
    shares = [[int(n) for n in re.findall(r"(\d+) %", row)] for row in rows]
    assert all(len(row) == len(NODES) and row == sorted(row, reverse=True) for row in shares)
    assert shares[0][0] < shares[1][0] < shares[2][0]
    assert header.count("|") == rows[0].count("|")
