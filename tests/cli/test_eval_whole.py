"""charlm eval of whole texts: escapes, dynamic evaluation, compressors; and coding a corpus once."""

import bz2
import json
import lzma
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.config.reset import ResetConfig
from charlm.corpus.vocabulary import Vocabulary
from charlm.inference.evaluation import Evaluator
from charlm.storage.checkpoint import load
from charlm.tbptt.resets import Resets

from .conftest import TEXT, Result

Run = Callable[..., Result]


def test_escaped_characters_have_a_price(run: Run, trained: Path) -> None:
    """Known ones cost hardly more than without; all add up as line by line."""
    plain = json.loads(run("eval", "corpus.txt", "--json").out)
    Path("odd.txt").write_text(TEXT + "Ω\n", encoding="utf-8")
    assert run("eval", "odd.txt").code == 1
    assert "price them with --unknown escape" in run("eval", "odd.txt").err
    odd = json.loads(run("eval", "odd.txt", "--unknown", "escape", "--json", "--compare", "xz").out)
    assert (odd["chars"], odd["unknown"]) == (plain["chars"] + 2, 1)
    more = odd["bits_per_char"] * odd["chars"] - plain["bits_per_char"] * plain["chars"]
    assert 36 < more < 60
    assert odd["bits_per_byte"] * (odd["chars"] + 1) == pytest.approx(odd["bits_per_char"] * odd["chars"]), "Ω: 2"
    assert odd["compare"]["xz"] == 8 * len(lzma.compress((TEXT + "Ω\n").encode(), preset=9 | lzma.PRESET_EXTREME)) / len(
        TEXT + "Ω\n"
    )
    assert "1 unknown" in run("eval", "odd.txt", "--unknown", "escape").out
    Path("odd.txt").write_text("Ω" + TEXT, encoding="utf-8")  # what comes after it is predicted from a line's end
    first = json.loads(run("eval", "odd.txt", "--unknown", "escape", "--json").out)
    assert (first["chars"], first["unknown"]) == (len(TEXT) + 1, 1)


def test_compressors_are_the_ones_of_their_names(run: Run, trained: Path) -> None:
    found = json.loads(run("eval", "corpus.txt", "--compare", "xz,bzip2,gzip", "--json").out)["compare"]
    data = TEXT.encode()
    assert found["bzip2"] == 8 * len(bz2.compress(data)) / len(TEXT)
    gzip = zlib.compressobj(9, wbits=31)
    assert found["gzip"] == 8 * len(gzip.compress(data) + gzip.flush()) / len(TEXT)
    shown = run("eval", "corpus.txt", "--compare", "gzip").out.splitlines()
    assert shown[1] == f"gzip: {found['gzip']:.4f} bits/char"


def test_dynamic_evaluation_stands_beside_static(run: Run, trained: Path) -> None:
    """On a text unlike the corpus that repeats itself it costs less; the run is not changed by it."""
    before = Path("runs/corpus/best.npz").read_bytes()
    Path("own.txt").write_text("zzz lazy dogs: xz, fox\n" * 60)
    found = json.loads(run("eval", "own.txt", "--dynamic", "--lr", 0.02, "--decay", 0, "--json").out)
    assert found["dynamic"]["bits_per_char"] < 0.8 * found["bits_per_char"]
    assert found["dynamic"]["nats_per_char"] == pytest.approx(found["dynamic"]["bits_per_char"] * math.log(2))
    still = json.loads(run("eval", "own.txt", "--dynamic", "--lr", 0, "--json").out)
    assert still["dynamic"]["bits_per_char"] == pytest.approx(still["bits_per_char"], rel=1e-6)
    assert re.search(r"^dynamic: [\d.]+ bits/char$", run("eval", "own.txt", "--dynamic").out, re.MULTILINE)
    gate = found["bits_per_char"] * 0.9
    assert run("eval", "own.txt", "--fail-above", gate).code == 3
    assert run("eval", "own.txt", "--fail-above", gate, "--dynamic", "--lr", 0.02, "--decay", 0).code == 0
    assert Path("runs/corpus/best.npz").read_bytes() == before
    other = json.loads(run("eval", "own.txt", "--dynamic", "--k1", 5, "--k2", 30, "--json").out)["dynamic"]
    assert other != json.loads(run("eval", "own.txt", "--dynamic", "--json").out)["dynamic"]


def test_a_corpus_is_coded_by_reading_it_once(run: Run, corpus: Path) -> None:
    """The code's length is the sum of what every update paid before it learnt, plus the first character and the alphabet."""
    options = ("--hidden", 24, "--direct-order", 0, "--once", "--json", "--force")
    result = run("train", "corpus.txt", *options)
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert (found["epochs"], found["val_nats"]) == (1.0, None)
    assert found["code_chars"] == len(TEXT)
    assert found["code_bits_per_char"] == pytest.approx(found["code_bits"] / len(TEXT))
    known = len(set(TEXT))
    train = json.loads(run("train", "corpus.txt", *options, "--lr", 0).out)
    assert run("train", "corpus.txt", *options, "--lr", 0, "--streams", 1, "--reset", "never").code == 0
    one = json.loads(run("info", "--json").out)["progress"]
    static, _ = Evaluator(load(Path("runs/corpus/last.npz")).parameters).losses(
        Vocabulary(sorted(set(TEXT))).encode(TEXT), Resets(ResetConfig("never"), 1)
    )
    expected = static.sum() / math.log(2) + math.log2(known) + 8 * known
    assert one["code_bits"] == pytest.approx(expected, rel=1e-5), "without learning it is what evaluation finds"
    assert train["code_bits"] == pytest.approx(expected, rel=0.01)
    assert found["code_bits"] < 0.9 * expected
    assert re.match(
        r"9,344 characters coded in [\d,]+ bytes, \d\.\d{4} bits/char; ",
        run("train", "corpus.txt", *options[:-2], "--force").out,
    )
    assert "its corpus coded in" in run("info").out
    assert run("train", "corpus.txt", *options, "--updates", 3).code == 2
    assert "leave out --epochs" in run("train", "corpus.txt", *options, "--epochs", 2).err
