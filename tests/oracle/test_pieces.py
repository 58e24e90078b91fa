"""A block made in pieces, in less memory: the same gradient and the same training as of the whole block."""

from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import ResourceError

from .problem import Problem, reference_gradient, relative_error, run_epoch
from .test_gradients import CELLS, TOLERANCE

RESETS = [ResetConfig("epoch"), ResetConfig("line")]


def in_pieces(problem: Problem, share: float) -> Problem:
    """The same problem with a share of the memory that it takes."""
    net = problem.network(problem.parameters())
    whole = net._layout.allocator.activation_bytes(net.sizes, net.sizes.capacity)
    found = replace(problem, memory=int(share * whole))
    smaller = found.network(problem.parameters())
    assert smaller.window_bytes() < net.window_bytes()
    assert smaller.sizes.capacity < net.sizes.capacity / 2
    return found


@pytest.mark.parametrize("reset", RESETS, ids=lambda r: r.policy)
@pytest.mark.parametrize(("threads", "slices"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_same_gradient(cell: str, activation: str, threads: int, slices: int, reset: ResetConfig) -> None:
    """Two blocks, the second one shorter; errors over all of it, over a part of it, over less than a piece."""
    norm = "layer" if reset.policy == "line" else "cell"
    model = ModelConfig(cell, activation, 20, layers=2, dropout=0.4, residual=True, norm=norm)
    for k2 in (31, 17, 2):
        whole = Problem(model, TruncationConfig(31, k2, memory=1), reset, 3, 3 * 52 + 2, threads=threads, slices=slices)
        expected, _ = run_epoch(whole)
        found, _ = run_epoch(in_pieces(whole, 0.45))
        assert len(found) == len(expected) == 2
        for u, same in zip(found, expected, strict=True):
            assert u.nats == pytest.approx(same.nats, rel=1e-12)
            assert relative_error(u.gradient, same.gradient) < 1e-6


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_against_reference(cell: str, activation: str) -> None:
    problem = Problem(
        ModelConfig(cell, activation, 3, 2, dropout=0.3), TruncationConfig(24, 24, memory=1), streams=2, length=50
    )
    for u in run_epoch(in_pieces(problem, 0.45))[0]:
        assert relative_error(u.gradient, reference_gradient(problem, u.first, u.last)) < TOLERANCE


def test_random_cuts_too() -> None:
    """A segment that the window would have to grow for is made in pieces instead where memory is bounded."""
    model = ModelConfig("lstm", hidden=20, layers=2, dropout=0.0)
    cut = TruncationConfig(kind="artbp", settings={"mean_length": 6.0, "tail": 4.0}, memory=1)
    whole = Problem(model, cut, streams=2, length=2 * 150)
    expected, _ = run_epoch(whole)
    found, _ = run_epoch(in_pieces(whole, 0.45))
    assert max(u.last - u.first for u in found) > 12, "no segment was longer than the window"
    for u, same in zip(found, expected, strict=True):
        assert relative_error(u.gradient, same.gradient) < 1e-6


def test_training_goes_on_from_the_end_of_the_block() -> None:
    problem = Problem(
        ModelConfig("lstm", hidden=20, layers=2, dropout=0.0), TruncationConfig(24, 24, memory=1), streams=2, length=202
    )
    config = OptimizerConfig("adam", learning_rate=0.01)
    whole, expected = run_epoch(problem, config)
    pieces, found = run_epoch(in_pieces(problem, 0.45), config)
    assert [u.nats for u in pieces] == pytest.approx([u.nats for u in whole], rel=1e-5)
    assert np.abs(found.flat - expected.flat).max() < 1e-4


def test_too_little_memory() -> None:
    problem = Problem(
        ModelConfig("lstm", hidden=20, layers=2), TruncationConfig(24, 24, memory=1), streams=2, length=50, memory=1000
    )
    with pytest.raises(ResourceError, match="a block of 24 steps takes at least"):
        problem.network(problem.parameters())
