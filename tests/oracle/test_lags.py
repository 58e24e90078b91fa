"""Norms of errors by lag: against derivatives of the reference, and what is concluded from known ones."""

import math
from dataclasses import replace

import numpy as np
import pytest

from charlm.analysis.gradient_decay import GradientDecay
from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.nn import reference
from charlm.nn.reference import Sequence, _since_reset, losses
from charlm.registry import CELLS as CELLS_BY_NAME
from charlm.tbptt.decay import DecayProfile
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

from .problem import Problem, exact
from .test_gradients import CELLS, TOLERANCE

LAGS = 7


def derivative(
    problem: Problem, sequence: Sequence, at: int, layer: int, of_c: bool, monkeypatch: pytest.MonkeyPatch
) -> float:
    """The norm of d (last loss) / d h, or d c, of one layer at step `at`, one unit after the other by the complex step.

    What is moved is what the step gave, so h stays as it was where c is moved.
    """
    plain, model, squares = reference.cell_step, problem.model, 0.0
    for unit in range(model.hidden):
        calls = 0

        def moved(*arguments: object, unit: int = unit) -> tuple:
            nonlocal calls
            h, c = plain(*arguments)  # type: ignore[arg-type]
            if calls == layer * len(sequence.x) + at:  # layer by layer
                step = np.zeros(h.shape, complex)
                step[..., unit] = 1e-30j
                h, c = (h, c + step) if of_c else (h + step, c)
            calls += 1
            return h, c

        monkeypatch.setattr(reference, "cell_step", moved)
        squares += float(losses(model, exact(problem.parameters()), sequence)[-1].imag.sum() / 1e-30) ** 2
    monkeypatch.setattr(reference, "cell_step", plain)
    return math.sqrt(squares)


@pytest.mark.parametrize("reset", [ResetConfig("never"), ResetConfig("line")], ids=lambda r: r.policy)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("cell", "activation", "clocks"), [*((*one, "") for one in CELLS), ("lstm", "tanh", "1,3")])
def test_against_reference(
    cell: str, activation: str, clocks: str, threads: int, reset: ResetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers with all that lies between; one window, whose first half only warms up."""
    model = ModelConfig(cell, activation, 5, layers=2, dropout=0.4, residual=True, layer_norm=True, clocks=clocks)
    problem = Problem(model, TruncationConfig(), reset, length=2 * LAGS + 1)
    ids = problem.text()
    profile = GradientDecay(problem.parameters(), LAGS, 3, threads).measure(
        ids, problem.resets(), 3, np.random.default_rng(0)
    )
    assert profile.h.shape == profile.c.shape == (2, 3, LAGS)
    undropped = Problem(replace(model, dropout=0.0), problem.truncation)
    resets = problem.resets().read(Streams(len(ids), 1), ids, 0, 2 * LAGS).astype(bool)
    sequence = Sequence(ids[:-1, None], ids[1:, None], resets)
    for layer in range(2):
        for lag in range(LAGS):
            at = 2 * LAGS - 1 - lag
            if _since_reset(resets)[at, 0] % model.layer_clocks[layer]:
                continue  # a state that waits is not what a step gave
            expected = derivative(undropped, sequence, at, layer, False, monkeypatch)
            assert profile.h[layer, :, lag] == pytest.approx(expected, rel=TOLERANCE, abs=1e-7)
            if CELLS_BY_NAME[cell].memory:
                expected = derivative(undropped, sequence, at, layer, True, monkeypatch)
                assert profile.c[layer, :, lag] == pytest.approx(expected, rel=TOLERANCE, abs=1e-7)
            else:
                assert not profile.c[layer, :, lag].any()


def test_a_geometric_profile_is_known_in_full() -> None:
    """phi_k = r^k: what is left out from K on is r^K / (1 - r), also beyond what was measured."""
    rate, n = 0.8, 40
    h = (rate ** np.arange(n))[None, None]
    profile = DecayProfile(h, np.zeros_like(h))
    assert profile.rate == pytest.approx(rate)
    expected = rate ** np.arange(n + 1) / (1 - rate)
    assert profile.left_out() == pytest.approx(expected)
    bias = profile.relative_bias()
    assert bias[10] == pytest.approx(rate**10 / (1 - 2 * rate**10))
    assert math.isinf(bias[1]), "more is left out than kept"
    first = profile.recommended(0.05)
    assert first is not None
    assert bias[first] <= 0.05 < bias[first - 1]
    assert profile.recommended(1e-9) is None


def test_blocks_average_over_their_losses() -> None:
    rate = 0.5
    h = (rate ** np.arange(30))[None, None]
    profile = DecayProfile(h, np.zeros_like(h))
    out = np.mean([rate ** (12 - i) / (1 - rate) for i in range(4)])
    assert profile.relative_bias(4)[12] == pytest.approx(out / (1 / (1 - rate) - 2 * out))
    assert profile.relative_bias(1)[12] < profile.relative_bias(4)[12]


def test_nothing_is_recommended_where_errors_grow() -> None:
    h = (1.02 ** np.arange(30))[None, None]
    profile = DecayProfile(h, np.zeros_like(h))
    assert not profile.decays
    assert np.isinf(profile.relative_bias()).all()
    assert profile.recommended(0.5) is None


def test_errors_that_are_cut_by_resets_count_as_zero() -> None:
    h = np.zeros((1, 4, 20))
    h[..., :3] = 1.0
    profile = DecayProfile(h, np.zeros_like(h))
    assert profile.rate == 0.0
    assert profile.recommended(0.1) == 3


def test_resets_cut() -> None:
    problem = Problem(ModelConfig("rnn", hidden=5, layers=1, dropout=0.0), TruncationConfig())
    profiler = GradientDecay(problem.parameters(), LAGS, 2)
    every_step = Resets(ResetConfig("every", every=1), 1)
    profile = profiler.measure(problem.text(), every_step, 4, np.random.default_rng(1))
    assert profile.h[:, :, 0].all()
    assert not profile.h[:, :, 1:].any()
