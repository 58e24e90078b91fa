"""Layers that step once in several characters: gradients against the reference with the same clocks, and all that reads."""

from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import ConfigurationError
from charlm.inference.evaluation import Evaluator
from charlm.kernels.block_norm import MOMENTUM
from charlm.kernels.jit import JIT
from charlm.nn.reference import gradient, losses
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position
from charlm.tbptt.streams import Streams

from .problem import Problem, all_gradients, exact, reference_gradient, reference_sequence, relative_error, run_epoch
from .test_gradients import TOLERANCE
from .test_pieces import in_pieces

CUTS = [(1, 2), (4, 4), (4, 5), (5, 2), (7, 3)]
RESETS = [ResetConfig("never"), ResetConfig("line"), ResetConfig("every", every=3)]


def model(cell: str, clocks: str, norm: str = "layer", hidden: int = 5, dropout: float = 0.3) -> ModelConfig:
    activation = "relu" if cell == "indrnn" else "tanh"
    return ModelConfig(cell, activation, hidden, clocks.count(",") + 1, dropout, norm=norm, clocks=clocks)


@pytest.mark.parametrize(("k1", "k2"), CUTS)
@pytest.mark.parametrize("norm", ["none", "layer", "cell"])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru", "mlstm", "indrnn", "mingru"])
def test_against_reference(cell: str, norm: str, k1: int, k2: int) -> None:
    """The reach of each layer is its own: so many times k2 as its clock says."""
    for clocks, kind, reset in (("1,4,2", "newest", RESETS[1]), ("1,3", "window", RESETS[2]), ("1,3", "newest", RESETS[0])):
        problem = Problem(model(cell, clocks, norm), TruncationConfig(k1, k2, kind), reset, 3, length=3 * 17 + 2)
        for u in run_epoch(problem)[0][-2:]:
            assert relative_error(u.gradient, reference_gradient(problem, u.first, u.last)) < TOLERANCE, (u.first, u.last)


@pytest.mark.parametrize(("k1", "k2"), CUTS[1:])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("norm", ["batch", "both"])
def test_with_batch_norm(norm: str, cell: str, k1: int, k2: int) -> None:
    """Statistics are those of the steps that a layer makes."""
    for reset in RESETS:
        problem = Problem(model(cell, "1,3", norm), TruncationConfig(k1, k2), reset, 3, length=3 * 17 + 2)
        for u in run_epoch(problem)[0][-2:]:
            assert relative_error(u.gradient, reference_gradient(problem, u.first, u.last)) < TOLERANCE, (u.first, u.last)


def test_batch_norm_of_a_layer_that_makes_no_step() -> None:
    """Its averages stay as they were."""
    problem = Problem(model("gru", "1,9", "batch"), TruncationConfig(4, 4), RESETS[0], 3, length=3 * 20 + 2)
    first, second, third, *_ = (u.gradient for u in run_epoch(problem)[0])
    before = problem.parameters().state_dict()
    for name in ("norm.running_mean_l1", "norm.running_var_l1"):
        after_first = before[name] + MOMENTUM * (first[name] - before[name])
        np.testing.assert_allclose(second[name], after_first, rtol=1e-6)
        after_third = second[name] + MOMENTUM * (third[name] - second[name])
        assert np.abs(after_third - second[name]).max() > 1e-3, "the layer steps again"


@pytest.mark.parametrize(("slices", "threads"), [(1, 2), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize(
    ("cell", "norm"), [("lstm", "cell"), ("gru", "layer"), ("mlstm", "none"), ("gru", "batch"), ("lstm", "both")]
)
def test_any_division(cell: str, norm: str, slices: int, threads: int) -> None:
    for reset, kind in ((RESETS[0], "newest"), (RESETS[1], "window")):
        one = Problem(model(cell, "1,3,2", norm, 20), TruncationConfig(4, 6, kind), reset, 7, 7 * 15 + 2, 23)
        expected, _ = run_epoch(one)
        found, _ = run_epoch(replace(one, slices=slices, threads=threads))
        assert [u.nats for u in found] == [u.nats for u in expected]
        for a, b in zip(all_gradients(found), all_gradients(expected), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("k2", [31, 5])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_in_pieces(cell: str, k2: int) -> None:
    """Errors of slow layers go from piece to piece too, up to the beginning of the block."""
    whole = Problem(model(cell, "1,4", "cell", 20), TruncationConfig(31, k2, memory=1), RESETS[1], 3, 3 * 52 + 2)
    expected, _ = run_epoch(whole)
    found, _ = run_epoch(in_pieces(whole, 0.45))
    for u, same in zip(found, expected, strict=True):
        assert relative_error(u.gradient, same.gradient) < 1e-6
    small = replace(whole, model=model(cell, "1,4", "cell", 5), streams=1, length=42)
    for u in run_epoch(small)[0]:
        assert relative_error(u.gradient, reference_gradient(small, u.first, u.last)) < TOLERANCE


def test_a_k2_that_was_chosen_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """adaptive: what was measured counts for each layer, times its clock."""
    settings = {"max_k2": 9}
    asked = Problem(model("gru", "1,3"), TruncationConfig(4, 4, "adaptive", settings=settings), RESETS[1], 3, 3 * 40 + 2)
    cut = asked.cut()
    assert cut.window == 27
    cut.load_state_dict({"k2": 7})
    with monkeypatch.context() as patch:
        patch.setattr(Problem, "cut", lambda problem: cut)
        updates, _ = run_epoch(asked)
    fixed = replace(asked, truncation=TruncationConfig(4, 7))
    for u in updates[-2:]:
        assert relative_error(u.gradient, reference_gradient(fixed, u.first, u.last)) < TOLERANCE, (u.first, u.last)


def test_random_cuts() -> None:
    """A cut cuts held states too, and what passes is weighed at every character."""
    cut = TruncationConfig(kind="artbp", settings={"mean_length": 4.0, "tail": 4.0})
    problem = Problem(model("lstm", "1,3"), cut, RESETS[0], 2, length=2 * 20)
    updates, _ = run_epoch(problem)
    (u,) = updates[1:2]
    scale = np.ones(u.last)
    scale[u.first : u.last] = u.plan.gradient_scale
    scale[u.first] = 0.0
    sequence, weight = reference_sequence(problem, u.last), 1 / (2 * 4.0)

    def loss(p: dict[str, np.ndarray]) -> np.ndarray:
        each = losses(problem.model, p, sequence, lambda t, layer: t < u.first, lambda t: scale[t])
        return weight * sum(one.sum(-1) for one in each[u.first :])

    assert relative_error(u.gradient, gradient(exact(problem.parameters()), loss)) < TOLERANCE


@pytest.mark.skipif(not JIT, reason="too slow without the compiler")
@pytest.mark.parametrize("reset", ["never", "line"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "mlstm"])
def test_evaluation_against_reference(cell: str, reset: str) -> None:
    problem = Problem(
        model(cell, "1,4,2", dropout=0.0), TruncationConfig(4, 4), ResetConfig(reset), length=300, vocabulary=9
    )
    sequence = reference_sequence(problem, 299)
    sequence.resets[0] = True
    expected = np.concatenate(losses(problem.model, exact(problem.parameters()), sequence))
    found, _ = Evaluator(problem.parameters()).losses(problem.text(), problem.resets())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_window_holds_what_the_slowest_layer_needs() -> None:
    """And a run is resumed with it."""
    config, streams = TruncationConfig(8, 8), Streams(1000, 2)
    slow = make_method(config, streams, 0, (1, 4))
    assert (slow.window, slow.reaches_back(Position(step=8))) == (32, True)
    assert (
        slow.describe_layers()
        == "characters that errors go back at most: 8 in layer 1; 32 in layer 2, which steps once in 4"
    )
    pieces = make_method(TruncationConfig(8, 8, memory=1), streams, 0, (1, 4))
    assert (pieces.window, pieces.reach_of(4)) == (8, 8)
    plain = make_method(config, streams, 0, (1, 1))
    assert (plain.window, plain.reaches_back(Position(step=8)), plain.describe_layers()) == (8, False, "")


@pytest.mark.parametrize("clocks", ["1", "2,1", "1,0", "1,x", "1,-4", "1,4,", "1,99999", "1,1.5"])
def test_impossible_clocks(clocks: str) -> None:
    with pytest.raises(ConfigurationError, match=r"--clocks .*: must be 2 whole numbers from 1 to 10,000, .* must be 1"):
        ModelConfig(layers=2, clocks=clocks)


def test_clocks_of_one_are_none() -> None:
    assert ModelConfig(layers=2, clocks="1,1") == ModelConfig(layers=2)
    assert ModelConfig(layers=2, clocks="1, 4") == ModelConfig(layers=2, clocks="1,4", residual=True)
