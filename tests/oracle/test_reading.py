"""Evaluation against the reference, and drawing against the distribution it should have."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.sampling import DrawConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.sequence_set import SequenceSet
from charlm.errors import CharlmError
from charlm.inference.beam_search import search
from charlm.inference.evaluation import Evaluator
from charlm.inference.sampling import Context, sample
from charlm.nn.parameters import Parameters
from charlm.nn.reference import Sequence, losses
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

from .problem import LINE_END, Problem, exact

MODELS = [
    ModelConfig("rnn", hidden=7, layers=1, dropout=0.0),
    ModelConfig("lstm", hidden=19, layers=2, layer_norm=True, residual=True, dropout=0.5),
    ModelConfig("gru", hidden=7, layers=3, dropout=0.5),
    ModelConfig("lstm", hidden=7, layers=2, norm="cell"),
    ModelConfig("gru", hidden=19, layers=2, norm="cell"),
    ModelConfig("gru", hidden=7, layers=2, norm="batch"),
    ModelConfig("mlstm", hidden=19, layers=2, norm="batch"),
    ModelConfig("lstm", hidden=19, layers=2, norm="both"),
    ModelConfig("indrnn", hidden=19, layers=2),
    ModelConfig("mingru", hidden=7, layers=3, norm="layer"),
]


NEVER = Resets(ResetConfig("never"), 4)


def draw(
    parameters: Parameters, resets: Resets, prime: np.ndarray, *arguments: Any, threads: int = 1, **more: Any
) -> np.ndarray:
    """(length, count) ids."""
    context = Context(parameters, resets, prime, threads)
    return np.concatenate([piece.ids for piece in sample(context, *arguments, **more)])


def reference_losses(problem: Problem) -> np.ndarray:
    """Nats (N-1,) of each character but the first, read in order, without dropout."""
    text, n = problem.text(), problem.length
    reset = np.zeros(n - 1, bool)
    reset[0] = True
    if problem.reset.policy == "line":
        reset[1:] = text[1 : n - 1] == LINE_END
    sequence = Sequence(text[:-1, None], text[1:, None], reset[:, None])
    return np.array(losses(replace(problem.model, dropout=0.0), exact(problem.parameters()), sequence))[:, 0]


@pytest.mark.parametrize("reset", ["epoch", "line"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: f"{m.cell} {m.norm}")
def test_evaluation_against_reference(model: ModelConfig, reset: str) -> None:
    problem = Problem(model, TruncationConfig(4, 4), ResetConfig(reset), length=2000, vocabulary=9)
    expected = reference_losses(problem)
    resets = Resets(problem.reset, 4, np.array([LINE_END]) if reset == "line" else None)
    for streams, threads in ((1, 1), (3, 1), (8, 2)):
        found = Evaluator(problem.parameters(), streams, threads)
        nats, _ = found.losses(problem.text(), resets)
        # Several streams start from a warm-up on 512 characters, after which these small networks have forgotten more.
        np.testing.assert_allclose(nats, expected, rtol=2e-4, atol=2e-5)
        assert found.evaluate(problem.text(), resets).nats_per_char == pytest.approx(expected.mean(), rel=1e-6)


def test_accuracy_counts_the_most_likely() -> None:
    parameters = fixed_distribution(np.array([0.2, 0.5, 0.3]))
    text = np.array([0, 1, 1, 2, 0, 1])
    result = Evaluator(parameters).evaluate(text, Resets(ResetConfig(), 4))
    assert (result.chars, result.correct) == (5, 3)
    assert result.loss == pytest.approx(-(3 * np.log(0.5) + np.log(0.3) + np.log(0.2)), rel=1e-6)


def fixed_distribution(p: np.ndarray) -> Parameters:
    """A network that gives the characters these probabilities, whatever it has read."""
    parameters = Parameters(ModelConfig("lstm", hidden=5, layers=1, dropout=0.0), len(p))
    parameters.initialise(1)
    parameters.weights.out[...] = 0
    parameters.weights.out_b[0, : len(p)] = np.log(p)
    return parameters


def allowed(p: np.ndarray, how: DrawConfig) -> np.ndarray:
    """The distribution that temperature, top-k and top-p make of p."""
    p = p ** (1 / how.temperature)
    p = p / p.sum()
    order = np.argsort(-p)
    keep = len(p)
    if how.top_k:
        keep = min(keep, how.top_k)
    if how.top_p < 1:  # of what top-k leaves
        kept = np.cumsum(p[order[:keep]])
        keep = int(np.searchsorted(kept, how.top_p * kept[-1])) + 1
    out = np.zeros_like(p)
    out[order[:keep]] = p[order[:keep]]
    return out / out.sum()


HOW = [
    DrawConfig(seed=1),
    DrawConfig(0.5, seed=2),
    DrawConfig(2.0, seed=3),
    DrawConfig(top_k=4, seed=4),
    DrawConfig(top_p=0.6, seed=5),
    DrawConfig(1.5, 7, 0.9, seed=6),
    DrawConfig(2.0, 5, 0.6, seed=7),
]


@pytest.mark.parametrize("how", HOW, ids=str)
def test_drawn_characters_follow_the_distribution(how: DrawConfig) -> None:
    p = np.random.default_rng(0).dirichlet(np.full(21, 0.8))
    drawn = draw(fixed_distribution(p), NEVER, np.zeros(1, np.int32), 50, 2000, how)
    assert drawn.shape == (2000, 50)
    expected, n = allowed(p, how), drawn.size
    counts = np.bincount(drawn.ravel(), minlength=len(p))
    assert (counts[expected == 0] == 0).all()
    some = expected > 0
    z = (counts[some] - n * expected[some]) / np.sqrt(n * expected[some] * (1 - expected[some]) + 1e-9)
    assert np.abs(z).max() < 4.5
    pairs = np.corrcoef(drawn[:-1].ravel(), drawn[1:].ravel())[0, 1]
    assert abs(pairs) < 4.5 / np.sqrt(n)


def test_temperature_zero_takes_the_most_likely() -> None:
    p = np.array([0.3, 0.1, 0.35, 0.25])
    drawn = draw(fixed_distribution(p), NEVER, np.zeros(1, np.int32), 3, 40, DrawConfig(0.0))
    assert (drawn == 2).all()


@pytest.mark.parametrize("temperature", [1e-300, 1e-50, 1e-46, 1e-38, 1e-30, 1e-9, 0.99e-6])
def test_temperatures_near_zero_take_the_most_likely(temperature: float) -> None:
    """Also where one is hardly likelier than another, and where a division by the temperature would overflow."""
    p = np.array([0.3, 0.1, 0.300001, 0.299999])
    drawn = draw(fixed_distribution(p), NEVER, np.zeros(1, np.int32), 3, 40, DrawConfig(temperature, seed=1))
    assert (drawn == 2).all()


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 0.02])
def test_low_temperatures_follow_the_distribution(temperature: float) -> None:
    """Differences of logits, not logits, are divided by the temperature, so that no digits are lost."""
    logits = np.array([20.0, 20.0, 20.0 - 2 * temperature, 0.0], np.float32)
    parameters = fixed_distribution(np.ones(4))
    parameters.weights.out_b[0, :4] = logits
    drawn = draw(parameters, NEVER, np.zeros(1, np.int32), 50, 400, DrawConfig(temperature, seed=2))
    exact = (logits.astype(np.float64) - 20) / temperature
    p = np.exp(exact) / np.exp(exact).sum()
    counts = np.bincount(drawn.ravel(), minlength=4)
    assert counts[3] == 0
    z = (counts[:3] - drawn.size * p[:3]) / np.sqrt(drawn.size * p[:3] * (1 - p[:3]))
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_probabilities_that_are_not_finite_are_an_error(bad: float, temperature: float) -> None:
    """Finite parameters can be so large that what they make is not: nothing is drawn from that, or found by a beam."""
    parameters = fixed_distribution(np.array([0.2, 0.5, 0.3]))
    parameters.weights.out_b[0, 1] = bad
    with pytest.raises(CharlmError, match="not finite"):
        draw(parameters, NEVER, np.zeros(1, np.int32), 2, 5, DrawConfig(temperature))
    if bad == -np.inf:
        return  # a beam leaves out what has no probability
    with pytest.raises(CharlmError, match="not finite"):
        search(Context(parameters, NEVER, np.zeros(1, np.int32)), 2, 3, np.zeros(0, np.int64))


def test_a_text_does_not_depend_on_its_neighbours_or_threads() -> None:
    problem = Problem(MODELS[1], TruncationConfig(4, 4), vocabulary=9)
    prime = problem.text()[:150]
    one = draw(problem.parameters(), NEVER, prime, 1, 300, DrawConfig(seed=5))
    many = draw(problem.parameters(), NEVER, prime, 12, 300, DrawConfig(seed=5), threads=3)
    assert np.array_equal(one[:, 0], many[:, 0])
    assert len({tuple(text) for text in many.T.tolist()}) == 12


RESETS = [ResetConfig("line"), ResetConfig("after", after="x"), ResetConfig("every", every=7), ResetConfig("block")]


@pytest.mark.parametrize("config", RESETS, ids=lambda r: r.policy)
def test_drawn_texts_are_reset_as_evaluation_is(config: ResetConfig) -> None:
    """Each character of a text drawn at temperature 0 is the one that evaluation finds the most likely there."""
    tested = 0
    for seed, last in itertools.product(range(20), range(9)):
        problem = Problem(MODELS[1], TruncationConfig(4, 4), vocabulary=9, seed=seed)
        parameters, prime = problem.parameters(), problem.text()[:20]
        parameters.weights.embed[...] *= 5  # so that what was read decides, not the biases
        parameters.weights.out[...] *= 30
        separator = {"line": np.array([last]), "after": np.array([(last + seed) % 9, last])}.get(config.policy)
        resets = Resets(config, 5, separator)
        drawn = draw(parameters, resets, prime, 1, 300, DrawConfig(0.0))[:, 0]
        text = np.concatenate([prime, drawn])
        net = Evaluator(parameters)
        correct, others = (net.losses(text, which)[1][len(prime) - 1 :] for which in (resets, NEVER))
        assert correct.all(), (seed, last)
        # A text counts that has resets in it and would be another one without them.
        reset = resets.read(Streams(len(text), 1), text, len(prime), len(text) - 1)
        tested += int(reset.any() and not others.all())
        if tested == 5:
            return
    raise AssertionError("too few texts to test this on")


@pytest.mark.parametrize("how", [DrawConfig(), DrawConfig(0.3, seed=1), DrawConfig(1.7, top_k=3, seed=2), DrawConfig(0.0)])
def test_losses_of_drawn_characters_are_those_of_evaluation(how: DrawConfig) -> None:
    """Whatever they are drawn with."""
    problem = Problem(MODELS[1], TruncationConfig(4, 4), vocabulary=9)
    prime, resets = problem.text()[:5], Resets(ResetConfig("line"), 4, np.array([2]))
    pieces = list(sample(Context(problem.parameters(), resets, prime, threads=2), 3, 40, how, scored=True))
    ids, nats = (np.concatenate(arrays) for arrays in zip(*pieces, strict=True))
    for s in range(3):
        expected, _ = Evaluator(problem.parameters()).losses(np.concatenate([prime, ids[:, s]]), resets)
        np.testing.assert_allclose(nats[:, s], expected[4:], rtol=1e-5)
    assert all(piece.nats.shape == (0, 3) for piece in sample(Context(problem.parameters(), resets, prime), 3, 40, how))


def test_other_first_draws_are_other_texts() -> None:
    parameters = fixed_distribution(np.full(9, 1 / 9))
    one, other = (draw(parameters, NEVER, np.zeros(1, np.int32), 2, 100, DrawConfig(seed=5), first=n) for n in (0, 100))
    assert 0 < (one == other).mean() < 0.3


def test_seen_texts_are_known_wherever_the_text_is_cut() -> None:
    text = "anna\nbea\n\ncleo"
    for size in (1, 3, 100):
        seen = SequenceSet((text[at : at + size] for at in range(0, len(text), size)), "\n")
        assert all(name in seen for name in ("anna", "bea", "", "cleo"))
        assert not any(name in seen for name in ("ann", "anna\n", "be", "leo", "x"))
