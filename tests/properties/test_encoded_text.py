"""A text as a model reads it: any slice is that of the whole, and memory does not grow with it."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.corpus import encoded_text
from charlm.corpus.corpus import Corpus
from charlm.corpus.encoded_text import EncodedText
from charlm.corpus.vocabulary import Vocabulary
from charlm.errors import CorpusError
from charlm.inference import texts
from charlm.inference.texts import EvaluationText

SIZES = np.array([1, 2, 3, 1])


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.lists(st.integers(-1, 5), min_size=4, max_size=4),
    st.integers(1, 20),
    st.data(),
)
@settings(max_examples=300, deadline=None)
def test_slices(ids: list[int], table: list[int], piece: int, data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoded_text, "_PIECE", 3 * piece)
        patch.setattr(encoded_text, "_STRETCH", piece)
        patch.setattr(encoded_text, "_MAPPED", 2 * piece)
        for mapped in (table, None):
            text = EncodedText(9, np.array(ids, np.uint8), SIZES, None if mapped is None else np.array(mapped))
            whole = [9, *(i if mapped is None else mapped[i] for i in ids if mapped is None or mapped[i] >= 0)]
            assert (len(text), text.chars, text.unknown) == (len(whole), len(ids), len(ids) + 1 - len(whole))
            assert text.bytes == sum(SIZES[i] for i in ids)
            first, last = (data.draw(st.integers(0, len(whole) + 3)) for _ in range(2))
            found = text[first:last]
            assert (found.tolist(), found.dtype) == (whole[first:last], np.int32)
            assert [text[i] for i in range(len(whole))] == whole


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A hundred million characters of three kinds on the disk, almost all of them the first."""
    path = tmp_path / "ids"
    with path.open("wb") as file:
        file.truncate(100_000_000)
        file.seek(-2, 2)
        file.write(b"\1\2")
    ids = np.memmap(path, np.uint8, "r")
    return Corpus(ids, Vocabulary("ab\u03a9"), "", ids, ids[:0])


def test_memory_does_not_grow(corpus: Corpus) -> None:
    known = Vocabulary("ab")
    table = known.encode_each(corpus.vocabulary)
    tracemalloc.start()
    text = EncodedText(0, corpus.ids, corpus.vocabulary.id_bytes(), table)
    assert (text.chars, text.unknown, text.bytes) == (10**8, 1, 10**8 + 1)
    assert text[len(text) - 2 :].tolist() == [0, 1]
    assert text[50_000_000:50_000_004].tolist() == [0, 0, 0, 0]
    with pytest.raises(CorpusError, match=r"1 distinct characters .* '\u03a9' \(U\+03A9\) at position 99999999"):
        raise texts._unknown_characters(corpus, table < 0, "text")
    assert sum(map(len, EvaluationText(text, corpus.ids, corpus.vocabulary).utf8())) == 10**8 + 1
    rare = EncodedText(0, corpus.ids, corpus.vocabulary.id_bytes(), np.array([-1, 0, 1]))
    assert (len(rare), rare.unknown) == (3, 10**8 - 2)
    assert rare[0:3].tolist() == [0, 0, 1], "all of the text is looked through for them"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000
