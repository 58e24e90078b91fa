"""ARTBP: kernels against the reference for every pattern of cuts; over all patterns the mean is the full gradient."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import ConfigurationError
from charlm.nn.reference import Arrays, gradient, losses
from charlm.tbptt.artbp import Artbp, cut_probabilities
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position
from charlm.tbptt.streams import Streams

from .problem import Problem, exact, reference_sequence, relative_error, run_epoch
from .test_gradients import CELLS, TOLERANCE

LENGTH, TAIL = 2.5, 4.0
SEGMENTS = {"mean_length": LENGTH, "tail": TAIL}
CUT = TruncationConfig(kind="artbp", settings=SEGMENTS)


def problem_of(cell: str, activation: str, steps: int, streams: int = 2, hidden: int = 3) -> Problem:
    """An epoch of `steps` steps, with a stream that ends one step early."""
    model = ModelConfig(cell, activation, hidden, layers=2, dropout=0.3, layer_norm=True)
    return Problem(model, CUT, ResetConfig("never"), streams, length=streams * steps)


def patterns(steps: int) -> list[tuple[float, list[int]]]:
    """(probability, lengths of the segments) of all 2^(T - 1) ways to cut a sequence; its end is no cut but an end."""
    c = cut_probabilities(steps, LENGTH, TAIL)
    found = []
    for cuts in itertools.product((False, True), repeat=steps - 1):
        probability, lengths = 1.0, [1]
        for cut in cuts:
            probability *= c[lengths[-1] - 1] if cut else 1 - c[lengths[-1] - 1]
            lengths = [*lengths, 1] if cut else [*lengths[:-1], lengths[-1] + 1]
        found.append((probability, lengths))
    return found


def links(lengths: list[int]) -> list[float]:
    """The factor on what passes back over each link: 0 where it is cut, else 1 / (1 - c)."""
    c = cut_probabilities(max(lengths), LENGTH, TAIL)
    return [0.0 if d == 0 else 1 / (1 - c[d - 1]) for n in lengths for d in range(n)]


def reference(problem: Problem, factors: list[float] | None) -> Arrays:
    """The gradient of all losses with these factors; of no truncation where there are none."""
    steps = Streams(problem.length, problem.streams).steps
    sequence, weight = reference_sequence(problem, steps), 1 / (problem.streams * LENGTH)
    gradient_scale = (lambda t: factors[t]) if factors else (lambda t: 1.0)
    return gradient(
        exact(problem.parameters()),
        lambda p: weight * sum(loss.sum(-1) for loss in losses(problem.model, p, sequence, gradient_scale=gradient_scale)),
    )


def made(problem: Problem, lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """The sum over an epoch of the kernels' gradients where the cuts are these."""
    monkeypatch.setattr(Artbp, "lengths", lambda self, first, n: np.array(lengths[first : first + n]))
    updates, _ = run_epoch(problem)
    assert [u.last - u.first for u in updates] == lengths
    return {name: np.sum([u.gradient[name].astype(np.float64) for u in updates], axis=0) for name in updates[0].gradient}


def mean(gradients: list[tuple[float, Arrays]]) -> Arrays:
    """The expectation, from (probability, gradient)."""
    return {name: np.sum([p * g[name] for p, g in gradients], axis=0) for name in gradients[0][1]}


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_expectation_is_full_backpropagation(cell: str, activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problem_of(cell, activation, steps=6)
    full = reference(problem, None)
    every = patterns(6)
    assert sum(p for p, _ in every) == pytest.approx(1)
    assert relative_error(mean([(p, reference(problem, links(n))) for p, n in every]), full) < 1e-12
    assert relative_error(mean([(p, made(problem, n, monkeypatch)) for p, n in every]), full) < TOLERANCE
    uncompensated = [(p, reference(problem, [float(f > 0) for f in links(n)])) for p, n in every]
    assert relative_error(mean(uncompensated), full) > 0.01, "without the factors it is another gradient"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_each_pattern_against_reference(cell: str, activation: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also segments that the window has to grow for, and resets inside them."""
    problem = replace(problem_of(cell, activation, 21, streams=3), reset=ResetConfig("line"), threads=threads)
    for lengths in ([21], [1] * 21, [3, 14, 1, 3], [9, 12]):
        found = made(problem, lengths, monkeypatch)
        assert relative_error(found, reference(problem, links(lengths))) < TOLERANCE, lengths


def cuts_of(steps: int, seed: int = 0, config: TruncationConfig = CUT) -> Artbp:
    """Cuts of one stream."""
    found = make_method(config, Streams(steps + 1, 1), seed)
    assert isinstance(found, Artbp)
    return found


@pytest.mark.parametrize(("mean_length", "tail"), [(1.0, 3.0), (2.5, 4.0), (50.0, 6.0), (50.0, 1e6)])
def test_lengths_have_the_distribution(mean_length: float, tail: float) -> None:
    cut = cuts_of(1 << 22, 3, TruncationConfig(kind="artbp", settings={"mean_length": mean_length, "tail": tail}))
    assert cut.survival.sum() == pytest.approx(mean_length, rel=0.01), "the mean of a length is the sum of P(length > n)"
    n = 200_000
    drawn = cut.lengths(0, n)
    for k in (1, 2, int(mean_length), int(3 * mean_length)):
        p = cut.survival[k]
        assert abs((drawn > k).mean() - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-12, k
    assert drawn.min() >= 1


def test_cuts_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    cut = cuts_of(1000)
    whole = cut.cuts(Position(), 60)
    at, pieces = Position(), []
    while at.updates < 60:
        part = cut.cuts(at, 7)
        pieces.append(part)
        at = Position(at.updates + len(part.start), 0, at.step + len(part.gradient_scale))
    for field in range(len(whole)):
        joined = np.concatenate([piece[field] for piece in pieces])
        assert np.array_equal(joined[: len(whole[field])], whole[field])
    assert not np.array_equal(cuts_of(1000, seed=1).lengths(0, 60), cut.lengths(0, 60))


def test_an_epoch_is_covered_and_a_cap_holds() -> None:
    cut = cuts_of(300, config=replace(CUT, settings={**SEGMENTS, "max_length": 4}))
    at, seen = Position(), 0
    while seen < 300:
        part = cut.cuts(at, 5)
        assert (part.start == at.step + np.concatenate([[0], np.cumsum(part.steps)[:-1]])).all()
        assert part.steps.max() <= 4
        seen += int(part.steps.sum())
        at = Position(at.updates + len(part.start), 0, seen)
    assert seen == 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean_length": 0.5}, "between 1 and"),
        ({"tail": 2.0}, "2 excluded"),
        ({"max_length": 2}, "at least the mean length"),
    ],
)
def test_impossible_settings(changes: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        replace(CUT, settings={**SEGMENTS, **changes})
