"""Texts for a model to read: named files, the run's validation text, and its training corpus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..corpus.cached_text import release_pages
from ..corpus.corpus import Corpus, read_corpus
from ..corpus.encoded_text import EncodedText
from ..corpus.sources import STANDARD_INPUT, is_regular
from ..corpus.vocabulary import Vocabulary
from ..errors import CorpusError, OtherTextError
from ..storage.checkpoint import Checkpoint
from ..tbptt.resets import opening_id

_PIECE = 1 << 18  # characters of a corpus that are looked at together


@dataclass(frozen=True)
class EvaluationText:
    """A text to evaluate, both in the model's ids and complete.

    text: in the model's ids, without unknown characters. ids: (N,), in a vocabulary that has all of its characters.
    """

    text: EncodedText
    ids: np.ndarray
    vocabulary: Vocabulary

    def utf8(self) -> Iterator[bytes]:
        """Yield the complete text in pieces, in UTF-8 or, for a vocabulary of bytes, unchanged."""
        for at in range(0, len(self.ids), _PIECE):
            piece = self.ids[at : at + _PIECE]
            yield bytes(piece) if self.vocabulary.uses_bytes else self.vocabulary.decode(piece).encode()
            release_pages(self.ids)


def read_text(
    saved: Checkpoint,
    names: tuple[str, ...],
    escape: bool = False,
    on_read: Callable[[int], None] = lambda n: None,
    verify: bool = True,
    can_escape: bool = True,
) -> EvaluationText:
    """Return the text of the named files, or the run's validation text if no file is named.

    escape: allow characters that the model does not know; otherwise raise CorpusError that names the first of them.
    on_read, verify: see read_corpus. can_escape: whether the error may suggest --unknown escape.
    """
    opening = opening_id(saved.config.reset, saved.vocabulary)
    if not names:
        corpus = training_corpus(saved, "name a text to evaluate", on_read, verify)
        if len(corpus.validation) == 0:
            raise CorpusError("the run held no text out for validation: name a text to evaluate")
        text = EncodedText(opening, corpus.validation, corpus.vocabulary.id_bytes())
        return EvaluationText(text, corpus.validation, corpus.vocabulary)
    corpus = read_corpus(names, saved.vocabulary.uses_bytes, None, 0.0, on_read, least_distinct=1, verify=verify)
    table = None if corpus.vocabulary == saved.vocabulary else saved.vocabulary.encode_each(corpus.vocabulary)
    if table is not None and not escape and (table < 0).any():
        raise _unknown_characters(corpus, table < 0, " ".join(names), can_escape)
    text = EncodedText(opening, corpus.ids, corpus.vocabulary.id_bytes(), table)
    return EvaluationText(text, corpus.ids, corpus.vocabulary)


def _unknown_characters(corpus: Corpus, unknown: np.ndarray, names: str, can_escape: bool = True) -> CorpusError:
    """Return the error for a text with unknown characters. unknown: (V,) bool, by id."""
    assert corpus.vocabulary.characters is not None
    for at in range(0, len(corpus.ids), _PIECE):
        marks = unknown[corpus.ids[at : at + _PIECE]]
        corpus.release()
        if marks.any():
            at += int(marks.argmax())
            break
    character = corpus.vocabulary.characters[int(corpus.ids[at])]
    return CorpusError(
        f"{names}: {int(unknown.sum())} distinct characters are not in the model's vocabulary, the first one "
        f"{character!r} (U+{ord(character):04X}) at position {at}; leave them out, "
        f"{'price them with --unknown escape, ' if can_escape else ''}or train with --bytes"
    )


def training_corpus(
    saved: Checkpoint, advice: str, on_read: Callable[[int], None] = lambda n: None, verify: bool = True
) -> Corpus:
    """Return the corpus that the run was trained on. Raise CorpusError if its files are missing or have changed.

    A checkpoint may come from anybody. The files it names are read only if they are regular files, and used only if they
    have the digest it names. advice: the end of the error message. on_read, verify: see read_corpus.
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
