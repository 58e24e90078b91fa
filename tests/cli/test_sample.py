"""charlm sample beyond drawing: ends, lengths, log-probabilities, beams, and what a prime may hold."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.config.evaluation import DynamicConfig
from charlm.corpus.encoded_text import EncodedText
from charlm.errors import ConfigurationError
from charlm.inference.model import load
from charlm.storage.checkpoint import load as load_checkpoint
from charlm.storage.checkpoint import save

from .conftest import SMALL, Result

Run = Callable[..., Result]


@pytest.fixture
def trained(run: Run, corpus: Path) -> Path:
    """A run that knows a little of the corpus."""
    result = run("train", "corpus.txt", *SMALL, "--updates", 200, "--lr", 1e-2, "--quiet")
    assert result.code == 0, result.err
    return corpus


def objects(result: Result) -> list[dict]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_log_probabilities_are_those_of_the_model(run: Run, trained: Path) -> None:
    """Whatever the text was drawn with: eval --by char finds the same."""
    for how in ((), ("--temperature", 0.4), ("--top-k", 2), ("--top-p", 0.5), ("--beam", 3)):
        seed = () if "--beam" in how else ("--seed", 1)
        found = objects(run("sample", "-n", 40, "--prime", "\nline ", "--json", *seed, *how))
        assert len(found) == 1
        text, values = found[0]["text"], found[0]["log_probabilities"]
        assert text.startswith("\nline ")
        assert len(values) == 40
        assert found[0]["log_probability"] == pytest.approx(sum(values))
        Path("t.txt").write_text(text)
        bits = [row["bits"] for row in objects(run("eval", "runs/corpus", "t.txt", "--by", "char", "--json", "-q"))]
        # By char the text's first character is predicted from a line's end; what follows has read the same as here.
        Path("rest.txt").write_text(text[1:])
        bits = [row["bits"] for row in objects(run("eval", "runs/corpus", "rest.txt", "--by", "char", "--json", "-q"))]
        np.testing.assert_allclose(np.array(bits[-40:]) * np.log(2), -np.array(values), rtol=1e-3, atol=1e-4)


def test_ends_and_lengths(run: Run, trained: Path) -> None:
    found = objects(run("sample", "--until", "x", "-n", 200, "--count", 20, "--seed", 3, "--json"))
    ended = [each for each in found if each["ended"]]
    assert len(ended) > 10
    assert all(each["text"].index("x") == len(each["text"]) - 1 for each in ended)
    assert all(len(each["text"]) == 200 and "x" not in each["text"] for each in found if not each["ended"])
    long = objects(run("sample", "--until", "x", "--min-length", 30, "-n", 200, "--count", 20, "--seed", 3, "--json"))
    assert min(len(each["text"]) for each in found) < 31 <= min(len(each["text"]) for each in long)
    kept = [each["text"] for each in found if len(each["text"]) > 30]
    assert [each["text"] for each in long][: len(kept)] == kept, "the short ones are left out, no other is changed"
    streamed = run("sample", "--until", "x", "--min-length", 30, "-n", 200, "--seed", 3).out
    assert 31 <= len(streamed.removesuffix("\n")) <= 201
    assert run("sample", "--stop", "quick", "--seed", 1).out == run("sample", "--until", "quick", "--seed", 1).out
    impossible = run("sample", "--until", "e", "--min-length", 300, "-n", 301, "--count", 2)
    assert impossible.code == 1
    assert "with at least 300 characters" in impossible.err


def test_a_beam_finds_a_likelier_text_than_drawing_does(run: Run, trained: Path) -> None:
    common = ("sample", "-n", 25, "--prime", "line 1", "--json")
    best = objects(run(*common, "--beam", 16, "--count", 4))
    assert len(best) == 4
    values = [each["log_probability"] for each in best]
    assert values == sorted(values, reverse=True)
    assert len({each["text"] for each in best}) == 4
    greedy = objects(run(*common, "--temperature", 0))[0]["log_probability"]
    assert values[0] >= greedy - 1e-6
    drawn = [each["log_probability"] for each in objects(run(*common, "--count", 30))]
    assert values[0] >= max(drawn) - 1e-6
    assert best[0]["text"] == run("sample", "-n", 25, "--prime", "line 1", "--beam", 16).out.removesuffix("\n")
    stopped = run("sample", "--prime", "line", "--beam", 8, "--until", "\n", "-n", 100).out
    assert stopped.startswith("line")
    assert stopped.count("\n") == 1


def test_what_does_not_go_together(run: Run, trained: Path) -> None:
    for arguments, message in (
        (("--beam", 2, "--unseen", "--until", "x"), "give one of them"),
        (("--min-length", 501), "min-length 501"),
        (("--prime", "a", "--prime-file", "-"), "give one of them"),
        (("--min-length", -1), "min-length -1"),
        (("--length", -1), "length -1"),
        (("--beam", 0), "--beam 0: must be between 1 and 65,536"),
    ):
        result = run("sample", *arguments)
        assert result.code == 2, arguments
        assert message in result.err


def test_unknown_characters_of_a_prime_are_named_with_a_fix(run: Run, trained: Path) -> None:
    for prime, parts in {
        "the “quick": ["the prime: '“' (U+201C) at position 4", "or train with --bytes"],
        "LINE": ["'L' (U+004C) at position 0", "nor are 'I' (U+0049), 'N' (U+004E), 'E' (U+0045)", "write 'l' for it"],
        "naïve": ["'ï' (U+00EF)", "write 'i' for it"],
        "日本": ["'日' (U+65E5)", "'本' (U+672C)", "leave it out"],
    }.items():
        result = run("sample", "--prime", prime)
        assert (result.code, result.out) == (1, "")
        assert all(part in result.err for part in parts), result.err
        assert len(result.err.splitlines()) == 1
    assert "the text to stop at: '€' (U+20AC)" in run("sample", "--until", "€").err


def test_precision_is_that_of_a_model_rounded_beforehand(run: Run, trained: Path) -> None:
    """Texts and code lengths are those of a copy of the run with rounded matrices; what is saved does not change."""
    saved = load_checkpoint(Path("runs/corpus/best.npz"))
    same = saved.parameters.like()
    same.flat[...] = saved.parameters.rounded().flat
    save(Path("rounded.npz"), saved.config, saved.vocabulary, same, saved.progress)
    before = Path("runs/corpus/best.npz").read_bytes()
    commands = ("sample", "-n", 300, "--seed", 2), ("eval", "corpus.txt", "--json"), ("eval", "corpus.txt", "--by", "line")
    for command in commands:
        name, *rest = command
        original, rounded = (run(name, model, *rest, "-q") for model in ("runs/corpus", "rounded.npz"))
        found = run(name, "runs/corpus", *rest, "-q", "--precision", "bfloat16")
        assert found.code == 0, found.err
        assert found.out == rounded.out
        assert name == "sample" or found.out != original.out
    assert Path("runs/corpus/best.npz").read_bytes() == before


def test_precisions_that_are_refused(run: Run, trained: Path) -> None:
    unknown = run("sample", "--precision", "int8")
    assert unknown.code == 2
    assert "'float32', 'bfloat16'" in unknown.err
    learning = run("eval", "corpus.txt", "--dynamic", "--precision", "bfloat16")
    assert (learning.code, learning.err.count("\n")) == (2, 1)
    assert "--dynamic updates the parameters, which need --precision float32" in learning.err
    with pytest.raises(ConfigurationError, match="dynamic evaluation updates the parameters"):
        load("runs/corpus", precision="bfloat16").dynamic_nats(EncodedText(0, np.zeros(3), np.ones(3)), DynamicConfig())
    with pytest.raises(ConfigurationError, match="choose from float32, bfloat16"):
        load("runs/corpus", precision="half")
