"""Lines scored one by one: against evaluation of the whole text, whatever the batches are."""

from pathlib import Path

import numpy as np
import pytest

from charlm.cli.by_line import _batches
from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.run import RunConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.encoded_text import EncodedText
from charlm.corpus.vocabulary import Vocabulary
from charlm.inference.evaluation import Evaluator
from charlm.inference.line_scoring import ESCAPE, Escape, LineScorer
from charlm.inference.model import Model
from charlm.nn.parameters import Parameters
from charlm.storage.checkpoint import Checkpoint
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

NEWLINE = 0


def text(lines: int, seed: int = 3) -> list[np.ndarray]:
    """Lines of random ids, empty ones and a long one among them."""
    random = np.random.default_rng(seed)
    lengths = [*random.integers(0, 30, lines - 1), 400]
    return [np.append(random.integers(1, 9, n), NEWLINE) for n in random.permutation(lengths)]


POLICIES = [
    ResetConfig("never"),
    ResetConfig("epoch"),
    ResetConfig("line"),
    ResetConfig("block"),
    ResetConfig("every", every=37),
    ResetConfig("after", after="ab"),
    ResetConfig("after", after="\n\n"),
    ResetConfig("after", after="a\nb"),
    ResetConfig("after", after="z"),
]


def model(policy: ResetConfig) -> Checkpoint:
    """A model that was trained with a policy, or says so."""
    parameters = Parameters(ModelConfig("lstm", hidden=19, layers=2, dropout=0.0), 9)
    parameters.initialise(1)
    parameters.weights.out[...] *= 5
    config = RunConfig(reset=policy, truncation=TruncationConfig(k1=11, k2=11))
    return Checkpoint(Path(), config, Vocabulary("\nabcdefgh"), parameters, {}, {})


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("batch", [1, 7, 200])
def test_against_evaluation(policy: ResetConfig, batch: int) -> None:
    """Rows are those of the whole text, character by character, with resets where the policy has them."""
    saved = model(policy)
    lines = text(120)
    lines[-1] = lines[-1][:-1] if len(lines[-1]) > 1 else np.array([3])  # the last one has no end
    first = 2 if policy.after == "ab" else 2 if policy.after == "a\nb" else NEWLINE  # the separator's last, b
    whole = np.concatenate([[first], *lines])
    expected, _ = Evaluator(saved.parameters).losses(whole, Resets.of_run(saved.config, saved.vocabulary))
    scorer = LineScorer(saved, threads=2)
    texts = [saved.vocabulary.decode(line) for line in lines]
    found = [scored for at in range(0, len(lines), batch) for scored in scorer.score(texts[at : at + batch])]
    assert [scored.line for scored in found] == texts
    assert [scored.chars for scored in found] == [len(line) for line in lines]
    bits = np.concatenate([scored.each for scored in found])
    np.testing.assert_allclose(bits * np.log(2), expected, rtol=1e-5, atol=1e-6)
    assert [scored.bits for scored in found] == [scored.each.sum() for scored in found]
    assert list(scorer.score([])) == []
    scored = Model(saved).score_text(EncodedText(first, whole[1:], np.ones(9, np.int64)))
    assert scored.chars == sum(each.chars for each in found)
    assert sum(each.bits for each in found) == pytest.approx(scored.bits, rel=1e-6)


@pytest.mark.parametrize("policy", [ResetConfig("every", every=37), ResetConfig("after", after="ab"), ResetConfig("line")])
def test_unknown_characters_are_passed_over(policy: ResetConfig) -> None:
    """What is not known is not read, so that resets count and find what is; the sums agree with the whole text's."""
    saved, odd = model(policy), "\u03a9"
    lines = [saved.vocabulary.decode(line).replace("c", odd) for line in text(60)]
    found = list(LineScorer(saved, escape=True).score(lines))
    known = "".join(sorted({*saved.vocabulary.characters, odd}))  # type: ignore[misc]
    source = Vocabulary(known)
    whole = Model(saved)
    encoded = EncodedText(
        whole.opening, source.encode("".join(lines)), source.id_bytes(), saved.vocabulary.encode_each(source)
    )
    scored = whole.score_text(encoded)
    assert (scored.unknown, scored.chars) == (sum(each.unknown for each in found), sum(map(len, lines)))
    assert scored.unknown > 20
    assert sum(each.bits for each in found) == pytest.approx(scored.bits, rel=1e-6)
    assert whole.bits("".join(lines), unknown="escape") == pytest.approx(scored.bits, rel=1e-6)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_jumping_into_the_middle(policy: ResetConfig) -> None:
    """A rank that begins elsewhere has the state that reading all before has, where that is no more than the warm-up."""
    saved = model(policy)
    lines = [saved.vocabulary.decode(line) for line in text(12) if len(line) < 40]
    expected = list(LineScorer(saved).score(lines))
    scorer = LineScorer(saved)
    before = scorer.known_ids(lines[:5])
    scorer.jump(5, len(before), before)
    for one, other in zip(scorer.score(lines[5:]), expected[5:], strict=True):
        np.testing.assert_allclose(one.each, other.each, rtol=1e-5, atol=1e-6)


def test_lines_of_their_own_owe_nothing_to_batches() -> None:
    """Also where a line has no end: what another batch begins with is predicted from a line's end."""
    saved = model(ResetConfig("line"))
    scorer = LineScorer(saved)
    first, *_ = [next(scorer.score([line])).each for line in ("abc", "hgf")]
    again = next(scorer.score(["abc"])).each
    assert np.array_equal(first, again)
    assert np.array_equal(next(LineScorer(saved).score(["abc"])).each, first)


def test_jumping_over_characters_that_are_not_known() -> None:
    """What a batch begins with are known characters, however far back they are."""
    saved = model(ResetConfig("every", every=37))
    lines = ["abc\n", "\u03a9" * 900 + "\n", "cab\n"]
    expected = list(LineScorer(saved, escape=True).score(lines))
    first, second = _batches(iter([lines[:2], lines[2:]]), LineScorer(saved, escape=True))
    assert (first.known, second.number, second.known, second.before.tolist()) == (0, 2, 5, [1, 2, 3, 0, 0])
    scorer = LineScorer(saved, escape=True)
    scorer.jump(second.number, second.known, second.before)
    np.testing.assert_allclose(next(scorer.score(lines[2:])).each, expected[2].each, rtol=1e-5)
    scorer.jump(0, 0, first.before)
    np.testing.assert_allclose(next(scorer.score(lines[:1])).each, expected[0].each, rtol=1e-5)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_resets_are_found_in_pieces(policy: ResetConfig) -> None:
    """Wherever a text is cut, the same characters are read after a reset."""
    saved = model(policy)
    resets = Resets.of_run(saved.config, saved.vocabulary)
    ids = np.concatenate([[NEWLINE], *text(40)])
    whole = resets.read(Streams(len(ids), 1), ids, 0, len(ids) - 1)[:, 0]
    assert np.array_equal(resets.following(ids[:0], ids[:-1], 0), whole)
    for cut in range(1, 120):
        assert np.array_equal(resets.following(ids[max(0, cut - 3) : cut], ids[cut:-1], cut), whole[cut:])
    assert whole.any() == (policy.policy != "never")
    assert policy.after not in ("ab", "\n\n", "a\nb") or whole[1:].any(), "the separator occurs"


def test_escape_is_a_code() -> None:
    """Probabilities of the known characters and of all others sum to one."""
    escape = Escape(100)
    assert np.exp(-escape.known) + (0x110000 - 100) * np.exp(-escape.unknown) == pytest.approx(1, abs=1e-12)
    assert np.exp(-escape.known) == pytest.approx(1 - ESCAPE)
