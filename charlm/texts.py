"""The text that a model is to read: files, what its run held out, what it was trained on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .checkpoint import Checkpoint
from .corpus import STANDARD_INPUT, Corpus, read_corpus
from .errors import CorpusError
from .vocabulary import Vocabulary

_PIECE = 1 << 20  # characters encoded at a time


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it. ids: (N,) integers, -1 for characters that the model does not know.

    source: the same characters (N,) in a vocabulary that knows them all.
    """

    ids: np.ndarray
    source: np.ndarray
    vocabulary: Vocabulary

    def encoded(self) -> Iterator[bytes]:
        """The text itself in pieces: UTF-8, or bytes as they are."""
        for at in range(0, len(self.source), _PIECE):
            piece = self.source[at : at + _PIECE]
            yield bytes(piece) if self.vocabulary.uses_bytes else self.vocabulary.decode(piece).encode()


def read_text(
    saved: Checkpoint,
    names: tuple[str, ...],
    escape: bool = False,
    on_read: Callable[[int], None] = lambda n: None,
    verify: bool = True,
) -> Reading:
    """The named files' text; what the run held out where none is named.

    escape: whether characters that the model does not know are allowed; without it they are a CorpusError that names the
    first. on_read, verify: as for read_corpus.
    """
    if not names:
        held_out = _validation_ids(saved, on_read, verify)
        return Reading(held_out, held_out, saved.vocabulary)
    corpus = read_corpus(names, saved.vocabulary.uses_bytes, None, 0.0, on_read, least_distinct=1, verify=verify)
    if corpus.vocabulary == saved.vocabulary:
        return Reading(corpus.ids, corpus.ids, corpus.vocabulary)
    table = saved.vocabulary.encode_each(corpus.vocabulary)
    unknown = np.flatnonzero(table < 0)
    if len(unknown) and not escape:
        assert corpus.vocabulary.characters is not None
        at = int(np.flatnonzero(np.isin(corpus.ids, unknown))[0])
        character = corpus.vocabulary.characters[int(corpus.ids[at])]
        raise CorpusError(
            f"{' '.join(names)}: {len(unknown)} distinct characters are not in the model's vocabulary, the first one "
            f"{character!r} (U+{ord(character):04X}) at position {at}; leave them out, price them with --unknown escape, "
            "or train with --bytes"
        )
    return Reading(table[corpus.ids], corpus.ids, corpus.vocabulary)


def _validation_ids(saved: Checkpoint, on_read: Callable[[int], None], verify: bool) -> np.ndarray:
    """The held-out part that the run was validated on."""
    corpus = training_corpus(saved, "name a text to evaluate", on_read, verify)
    if len(corpus.validation) < 2:
        raise CorpusError("the run held no text out for validation: name a text to evaluate")
    return corpus.validation


def training_corpus(
    saved: Checkpoint, advice: str, on_read: Callable[[int], None] = lambda n: None, verify: bool = True
) -> Corpus:
    """The text that the run was trained on, as long as its files still hold it; else an error that ends in the advice.

    on_read, verify: as for read_corpus.
    """
    config = saved.config
    if not config.corpus:
        raise CorpusError(f"the model was imported, so it has no text of its own: {advice}")
    if STANDARD_INPUT in (*config.corpus, config.val_file):
        raise CorpusError(f"the run was trained on standard input, which is gone: {advice}")
    sources = config.corpus, config.use_bytes, config.val_file, config.val_fraction
    corpus = read_corpus(*sources, on_read, verify=verify)
    if corpus.digest != saved.progress.get("corpus_digest"):
        raise CorpusError(f"{' '.join(config.corpus)}: not the text that the run was trained on: {advice}")
    return corpus
