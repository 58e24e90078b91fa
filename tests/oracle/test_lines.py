"""Lines scored one by one: against evaluation of the whole text, whatever the batches are."""

from pathlib import Path

import numpy as np
import pytest

from charlm.blocks import Resets
from charlm.checkpoint import Checkpoint
from charlm.config import ModelConfig, ResetConfig, RunConfig
from charlm.evaluate import Evaluator
from charlm.lines import ESCAPE, Escape, LineScorer
from charlm.parameters import Parameters
from charlm.vocabulary import Vocabulary

NEWLINE = 0


def text(lines: int, seed: int = 3) -> list[np.ndarray]:
    """Lines of random ids, empty ones and a long one among them."""
    random = np.random.default_rng(seed)
    lengths = [*random.integers(0, 30, lines - 1), 400]
    return [np.append(random.integers(1, 9, n), NEWLINE) for n in random.permutation(lengths)]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("batch", [1, 7, 200])
def test_against_evaluation(alone: bool, batch: int) -> None:
    parameters = Parameters(ModelConfig("lstm", hidden=19, layers=2, dropout=0.0), 9)
    parameters.initialise(1)
    parameters.weights.out[...] *= 5
    lines = text(120)
    lines[-1] = lines[-1][:-1] if len(lines[-1]) > 1 else np.array([3])  # the last one has no end
    whole = np.concatenate([[NEWLINE], *lines])
    resets = Resets(ResetConfig("line" if alone else "never"), 1, np.array([NEWLINE]))
    expected, _ = Evaluator(parameters).losses(whole, resets)
    vocabulary = Vocabulary("\nabcdefgh")
    scorer = LineScorer(Checkpoint(Path(), RunConfig(), vocabulary, parameters, {}, {}), alone, threads=2)
    texts = [vocabulary.decode(line) for line in lines]
    found = [scored for at in range(0, len(lines), batch) for scored in scorer.score(texts[at : at + batch])]
    assert [scored.line for scored in found] == texts
    assert [scored.chars for scored in found] == [len(line) for line in lines]
    bits = np.concatenate([scored.each for scored in found])
    np.testing.assert_allclose(bits * np.log(2), expected, rtol=1e-5, atol=1e-6)
    assert [scored.bits for scored in found] == [scored.each.sum() for scored in found]
    assert list(scorer.score([])) == []


def test_escape_is_a_code() -> None:
    """Probabilities of the known characters and of all others sum to one."""
    escape = Escape(100)
    assert np.exp(-escape.known) + (0x110000 - 100) * np.exp(-escape.unknown) == pytest.approx(1, abs=1e-12)
    assert np.exp(-escape.known) == pytest.approx(1 - ESCAPE)
