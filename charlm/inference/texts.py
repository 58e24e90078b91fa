"""The texts that a model reads: files, what its run held out, what it was trained on. Memory does not grow with them."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..corpus.corpus import Corpus, forget, read_corpus
from ..corpus.sources import STANDARD_INPUT, is_regular
from ..corpus.vocabulary import Vocabulary
from ..errors import CorpusError, OtherTextError
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import opening_id

_PIECE = 1 << 18  # characters looked at at a time
_STRETCH = 1 << 12  # characters whose known ones are counted together
_MAPPED = 1 << 22  # characters read of a mapped file before its memory is given back


class EncodedText:
    """A text as a model reads it, made a slice at a time: an opening character, then the text's, in the model's ids.

    What the model does not know is left out. Indexing and slicing give ids, int32; the length counts the opening.

    chars, unknown: characters of the text, and how many of them are left out.
    """

    def __init__(self, opening: int, ids: np.ndarray, sizes: np.ndarray, table: np.ndarray | None = None) -> None:
        """ids: (N,) integers, perhaps memory-mapped. table: the model's id for each of them, -1 for unknown ones.

        Without a table ids are the model's. sizes: bytes that each id stands for.
        """
        self._opening, self._ids, self._table, self._sizes = opening, ids, table, sizes
        self.chars, self.unknown, self._mapped = len(ids), 0, 0
        if table is not None:
            # Known characters before each stretch, so that any of them is found without reading all before it.
            self._before = np.cumsum([0, *(n for piece in self._pieces() for n in _sums(table[piece] >= 0, _STRETCH))])
            self.unknown = self.chars - int(self._before[-1])

    def _pieces(self) -> Iterator[np.ndarray]:
        return (self._raw(at, at + _PIECE) for at in range(0, self.chars, _PIECE))

    @functools.cached_property
    def bytes(self) -> int:
        """Bytes of the text's UTF-8 form."""
        return sum(int(self._sizes[piece].sum()) for piece in self._pieces())

    def __len__(self) -> int:
        return 1 + self.chars - self.unknown

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self[index : index + 1][0]
        first, last, _ = index.indices(len(self))
        body = self._known(max(0, first - 1), max(0, last - 1))
        return np.concatenate([np.full(1, self._opening, np.int32), body]) if first == 0 < last else body

    def _known(self, first: int, last: int) -> np.ndarray:
        """Characters [first, last) of those that the model knows."""
        if self._table is None:
            return self._raw(first, last).astype(np.int32)
        if self.unknown == 0:
            return self._table[self._raw(first, last)].astype(np.int32)
        if first >= last:
            return np.zeros(0, np.int32)
        begin = int(np.searchsorted(self._before, first, side="right")) - 1
        end = int(np.searchsorted(self._before, last, side="left"))
        found = []
        for at in range(begin * _STRETCH, end * _STRETCH, _PIECE):
            ids = self._table[self._raw(at, min(at + _PIECE, end * _STRETCH))]
            found.append(ids[ids >= 0].astype(np.int32))
        return np.concatenate(found)[first - self._before[begin] : last - self._before[begin]]

    def _raw(self, first: int, last: int) -> np.ndarray:
        piece = np.array(self._ids[first:last])
        self._mapped += len(piece)
        if self._mapped > _MAPPED:
            forget(self._ids)
            self._mapped = 0
        return piece


def _sums(marks: np.ndarray, stretch: int) -> list[int]:
    """The sums of each `stretch` of them."""
    return np.add.reduceat(marks.astype(np.int64), np.arange(0, len(marks), stretch)).tolist()


@dataclass(frozen=True)
class Reading:
    """A text as the model reads it, and as it is: ids (N,) in a vocabulary that knows all of its characters."""

    text: EncodedText
    ids: np.ndarray
    vocabulary: Vocabulary

    def encoded(self) -> Iterator[bytes]:
        """Yields the text itself in pieces: UTF-8, or bytes as they are."""
        for at in range(0, len(self.ids), _PIECE):
            piece = self.ids[at : at + _PIECE]
            yield bytes(piece) if self.vocabulary.uses_bytes else self.vocabulary.decode(piece).encode()
            forget(self.ids)


def read_text(
    saved: Checkpoint,
    names: tuple[str, ...],
    escape: bool = False,
    on_read: Callable[[int], None] = lambda n: None,
    verify: bool = True,
    can_escape: bool = True,
) -> Reading:
    """Returns the named files' text, or what the run held out where none is named.

    escape: whether characters that the model does not know are allowed; without it they are a CorpusError that names the
    first. on_read, verify: as for read_corpus. can_escape: whether that could have been allowed.
    """
    opening = opening_id(saved.config.reset, saved.vocabulary)
    if not names:
        corpus = training_corpus(saved, "name a text to evaluate", on_read, verify)
        if len(corpus.validation) == 0:
            raise CorpusError("the run held no text out for validation: name a text to evaluate")
        text = EncodedText(opening, corpus.validation, corpus.vocabulary.id_bytes())
        return Reading(text, corpus.validation, corpus.vocabulary)
    corpus = read_corpus(names, saved.vocabulary.uses_bytes, None, 0.0, on_read, least_distinct=1, verify=verify)
    table = None if corpus.vocabulary == saved.vocabulary else saved.vocabulary.encode_each(corpus.vocabulary)
    if table is not None and not escape and (table < 0).any():
        raise _unknown(corpus, table < 0, " ".join(names), can_escape)
    text = EncodedText(opening, corpus.ids, corpus.vocabulary.id_bytes(), table)
    return Reading(text, corpus.ids, corpus.vocabulary)


def _unknown(corpus: Corpus, unknown: np.ndarray, what: str, can_escape: bool = True) -> CorpusError:
    """The error that names the first character of those that are marked as unknown, (V,) bool."""
    assert corpus.vocabulary.characters is not None
    for at in range(0, len(corpus.ids), _PIECE):
        marks = unknown[corpus.ids[at : at + _PIECE]]
        corpus.release()
        if marks.any():
            at += int(marks.argmax())
            break
    character = corpus.vocabulary.characters[int(corpus.ids[at])]
    return CorpusError(
        f"{what}: {int(unknown.sum())} distinct characters are not in the model's vocabulary, the first one "
        f"{character!r} (U+{ord(character):04X}) at position {at}; leave them out, "
        f"{'price them with --unknown escape, ' if can_escape else ''}or train with --bytes"
    )


def training_corpus(
    saved: Checkpoint, advice: str, on_read: Callable[[int], None] = lambda n: None, verify: bool = True
) -> Corpus:
    """Returns the text that the run was trained on, as long as its files still hold it; else an error with the advice.

    A checkpoint may come from anybody, so the files that it names are read only if they are regular ones, and used only
    if they have the digest that it names. on_read, verify: as for read_corpus.
    """
    config = saved.config
    if not config.corpus:
        raise CorpusError(f"the model was imported, so it has no text of its own: {advice}")
    names = (*config.corpus, *([config.val_file] if config.val_file is not None else []))
    if STANDARD_INPUT in names:
        raise CorpusError(f"the run was trained on standard input, which is gone: {advice}")
    for name in names:
        if not is_regular(name):
            raise CorpusError(f"{name}: the run was trained on it, and no regular file of that name is there now: {advice}")
    sources = config.corpus, config.use_bytes, config.val_file, config.val_fraction
    try:
        corpus = read_corpus(*sources, on_read, verify=verify, expected=saved.corpus_digest)
    except OtherTextError as error:
        raise CorpusError(f"{error}: {advice}") from None
    if corpus.vocabulary != saved.vocabulary:
        raise CorpusError(f"{saved.path}: its characters are not those of {' '.join(names)}: {advice}")
    return corpus
