"""Laws that hold for every text: nothing is lost, nothing is counted twice, nothing leaks over an edge."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus import cached_text, encoding
from charlm.corpus.corpus import read_corpus
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)


@given(texts)
def test_vocabulary_round_trip(text: str) -> None:
    vocabulary = Vocabulary(sorted(set(text)))
    assert vocabulary.decode(vocabulary.encode(text)) == text
    assert Vocabulary(vocabulary.characters) == vocabulary


@given(texts)
def test_bytes_round_trip(text: str) -> None:
    vocabulary = Vocabulary(None)
    ids = vocabulary.encode(text)
    assert ids.astype(np.uint8).tobytes() == text.encode()
    assert vocabulary.decode(ids) == text


@given(texts, texts)
def test_unknown_characters_are_named(known: str, text: str) -> None:
    vocabulary = Vocabulary(sorted(set(known)))
    ids, unknown = vocabulary.encode_known(text)
    assert unknown == sum(c not in known for c in text)
    assert vocabulary.decode(ids) == "".join(c for c in text if c in known)
    if unknown:
        first = next(c for c in text if c not in known)
        with pytest.raises(CorpusError, match=f"U\\+{ord(first):04X}"):
            vocabulary.encode(text)


@given(
    st.integers(2, 300), st.integers(1, 40), st.integers(1, 20), st.integers(1, 30), st.sampled_from(["newest", "window"])
)
@settings(max_examples=200)
def test_every_character_but_the_first_is_a_target_once_an_epoch(n: int, s: int, k1: int, k2: int, kind: str) -> None:
    """Over every split into streams and blocks."""
    if s > n - 1:
        with pytest.raises(CorpusError):
            Streams(n, s)
        return
    streams, ids = Streams(n, s), np.arange(n)
    resets = Resets(ResetConfig(), k1)
    cut, at = make_method(TruncationConfig(k1, k2, kind), streams, 0), Position()
    seen: Counter[int] = Counter()
    pairs = set()
    while at.epoch == 0:
        plan, at = make_plan(cut, streams, resets, ids, at, 3, np.zeros(3))
        assert plan.ids.shape == (plan.steps.sum() + 1, s)
        for x, y in zip(plan.ids[:-1].ravel(), plan.ids[1:].ravel(), strict=True):
            if y >= 0:
                seen[int(y)] += 1
                pairs.add((int(x), int(y)))
        end = plan.start + plan.steps
        assert (plan.reach <= np.minimum(k2, end)).all()
        assert (plan.losses - plan.steps == (np.minimum(max(0, k2 - k1), plan.start) if kind == "window" else 0)).all()
    assert seen == dict.fromkeys(range(1, n), 1)
    assert pairs == {(i - 1, i) for i in range(1, n)}
    assert at.epoch_base == streams.steps
    assert streams.targets.sum() == n - 1
    assert streams.targets.max() - streams.targets.min() <= 1


@given(st.text("ab\n|", min_size=3, max_size=120), st.integers(1, 5), st.integers(1, 9))
def test_resets_follow_the_text(text: str, s: int, every: int) -> None:
    if s > len(text) - 1:
        return
    vocabulary = Vocabulary(["\n", "a", "b", "|"])
    ids, streams = vocabulary.encode(text), Streams(len(text), s)
    for config, expected in (
        (ResetConfig("line"), lambda p, t: text[p] == "\n"),
        (ResetConfig("after", after="a|"), lambda p, t: text[: p + 1].endswith("a|")),
        (ResetConfig("every", every=every), lambda p, t: t % every == 0),
        (ResetConfig("block"), lambda p, t: t % 4 == 0),
        (ResetConfig("epoch"), lambda p, t: False),
    ):
        resets = Resets.for_text(config, 4, vocabulary)
        found = np.concatenate([resets.read(streams, ids, t, min(t + 7, streams.steps)) for t in range(0, streams.steps, 7)])
        for j, start in enumerate(streams.starts.tolist()):
            for t in range(int(streams.targets[j])):
                assert bool(found[t, j]) == (t == 0 or bool(expected(start + t, t))), (config.policy, j, t)
    assert not Resets.for_text(ResetConfig("never"), 4, vocabulary).read(streams, ids, 0, streams.steps).any()


@given(st.lists(texts, min_size=1, max_size=3), st.integers(1, 9), st.booleans())
@settings(max_examples=60, deadline=None)
def test_files_are_one_sequence_whatever_the_pieces(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], piece: int, use_bytes: bool
) -> None:
    """Also where a piece ends in the middle of a character."""
    folder = tmp_path_factory.mktemp("corpus")
    names = []
    for i, part in enumerate(parts):
        (folder / f"{i}.txt").write_bytes(part.encode())
        names.append(str(folder / f"{i}.txt"))
    whole = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(folder / "cache"))
        patch.setattr(encoding, "_PIECE", piece)
        patch.setattr(cached_text, "_PIECE", piece)
        size = len(whole.encode()) if use_bytes else len(whole)
        if size < 1:
            with pytest.raises(CorpusError):
                read_corpus(tuple(names), use_bytes, val_fraction=0.0, least_distinct=1)
            return
        corpus = read_corpus(tuple(names), use_bytes, val_fraction=0.0, least_distinct=1)
    assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == whole
    assert corpus.ids.dtype == np.uint8
    assert isinstance(corpus.ids, np.memmap)


@given(st.binary(min_size=1, max_size=40), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_bad_utf8_is_reported_with_its_byte_offset(tmp_path_factory: pytest.TempPathFactory, raw: bytes, piece: int) -> None:
    try:
        raw.decode()
        return
    except UnicodeDecodeError as error:
        offset = error.start
    folder = tmp_path_factory.mktemp("bad")
    (folder / "bad.txt").write_bytes(raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARLM_CACHE", str(folder / "cache"))
        patch.setattr(encoding, "_PIECE", piece)
        patch.setattr(cached_text, "_PIECE", piece)
        with pytest.raises(CorpusError, match=f"not UTF-8 at byte {offset};"):
            read_corpus((str(folder / "bad.txt"),))
    assert list((folder / "cache" / "corpora").iterdir()) == []


def test_wide_vocabularies_take_wider_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    for count, kind in ((256, np.uint8), (257, np.uint16), (65536, np.uint16), (70000, np.uint32)):
        text = "".join(chr(0x20000 + i) if i >= 0x2000 else chr(0x3000 + i) for i in range(count))
        (tmp_path / "wide.txt").write_text(text, encoding="utf-8")
        corpus = read_corpus((str(tmp_path / "wide.txt"),), val_fraction=0.0)
        assert corpus.ids.dtype == kind
        assert corpus.vocabulary.decode(np.asarray(corpus.ids)) == text


def test_standard_input_and_the_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a.txt").write_text("abc" * 10, encoding="utf-8")
    (tmp_path / "v.txt").write_text("xyz", encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"0123456789")))
    corpus = read_corpus((str(tmp_path / "a.txt"), "-"))
    assert corpus.vocabulary.decode(np.asarray(corpus.train)) == "abc" * 10 + "012345"
    assert corpus.vocabulary.decode(np.asarray(corpus.validation)) == "6789"
    corpus = read_corpus((str(tmp_path / "a.txt"),), val_file=str(tmp_path / "v.txt"))
    assert corpus.vocabulary.decode(np.asarray(corpus.train)) == "abc" * 10
    assert corpus.vocabulary.decode(np.asarray(corpus.validation)) == "xyz"
