"""Read text files as one sequence of ids, split into a training and a validation part.

Encoded texts are kept in the user's cache directory (cache.py) under a name derived from the files' names, sizes and
times. A damaged entry is encoded again. Entries that have not been used for a long time are removed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from ..errors import CorpusError
from . import cache, cached_text
from .cached_text import CachedText
from .encoding import SourceFiles, encode, entry_name
from .sources import STANDARD_INPUT, display_name, is_regular, open_source, read_piece
from .vocabulary import Vocabulary

_PIECE = 1 << 20  # bytes copied at a time


@dataclass(frozen=True)
class Corpus:
    """One long sequence and its split.

    ids: (N,) unsigned integers, memory-mapped. vocabulary: the characters that the ids stand for. digest: identifies the
    text. train, validation: disjoint slices of ids; validation may be empty.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    digest: str
    train: np.ndarray
    validation: np.ndarray

    def release(self) -> None:
        """Release the memory of the pages read so far. Otherwise a long run's memory would grow to the corpus's size."""
        cached_text.release_pages(self.ids)


def read_corpus(
    paths: tuple[str, ...],
    use_bytes: bool = False,
    val_file: str | None = None,
    val_fraction: float = 0.1,
    on_read: Callable[[int], None] = lambda n: None,
    least_distinct: int = 2,
    verify: bool = True,
    expected: str | None = None,
) -> Corpus:
    """Read text files ("-": standard input) in order as one sequence. Raise CorpusError.

    val_file: a separate validation text; without it the last val_fraction of the corpus is held out. on_read: called with
    the number of bytes in each piece read; a text that is not in the cache is read twice. least_distinct: 1 allows a text
    of one character, repeated or not. verify: compare the checksum of a cached text, which reads all of it. expected: the
    digest that the text must have; a text with another one is not cached.
    """
    sources = (*paths, *([val_file] if val_file is not None else []))
    if sources.count(STANDARD_INPUT) > 1:
        raise CorpusError("standard input (-) can be read only once: name it once")
    directory = cache.private_directory("corpora")
    with cache.incoming(directory) as scratch:
        regular = [_regular_file(name, scratch / str(i)) for i, name in enumerate(sources)]
        files = SourceFiles(regular, sources, use_bytes, on_read)
        entry = directory / entry_name(files, scratch)
        text = cached_text.load(entry, verify)
        if text is None:
            encode(files, scratch / "entry", least_distinct, expected)
            cached_text.install(scratch / "entry", entry)
            text = cached_text.load(entry)
            if text is None:
                raise CorpusError(f"{entry}: the cached text was damaged right after it was written: check the disk")
    cache.evict(directory, keep=entry)
    cache.evict_kernels()
    files.require_digest(text.digest, expected)
    return _split(text, paths, val_file, val_fraction, least_distinct)


def _regular_file(name: str, copy: Path) -> Path:
    """Return the file itself, or a copy of a source that can be read only once: standard input or a pipe."""
    with open_source(name) as source:
        return Path(name) if is_regular(name) else _copy(name, source, copy)


def _copy(name: str, source: BufferedReader, target: Path) -> Path:
    """Copy a source to a file. Raise CorpusError if it takes too much of the free disk space."""
    most, size = cache.room(target.parent), 0
    with target.open("wb") as out:
        while piece := read_piece(source, _PIECE):
            size += len(piece)
            cache.require_room(display_name(name), size, most)
            out.write(piece)
    return target


def _split(
    text: CachedText, paths: tuple[str, ...], val_file: str | None, val_fraction: float, least_distinct: int
) -> Corpus:
    """Divide a text into training and validation part. Raise CorpusError if either is too short or all one character."""
    names, ids, vocabulary = " ".join(paths), text.ids, text.vocabulary
    corpus_length = sum(text.lengths[: len(paths)])
    if corpus_length == 0:
        raise CorpusError(f"{names}: is empty: it has no characters")
    if corpus_length == 1 < least_distinct:
        raise CorpusError(f"{names}: the corpus is one character long; two are the least, one to read and one to predict")
    held_out = 0 if val_file is not None else corpus_length - int(corpus_length * (1.0 - val_fraction))
    if held_out == 1:
        held_out = 0  # a single character has nothing to predict
    train = ids[: corpus_length - held_out]
    validation = ids[corpus_length - held_out :]
    if val_file is not None and len(validation) < 2:
        raise CorpusError(f"{val_file}: validation text needs at least two characters")
    if len(train) < min(2, least_distinct):
        raise CorpusError(f"{names}: holding out {val_fraction:g} leaves fewer than two characters; use --val-fraction 0")
    if vocabulary.characters is not None and len(vocabulary) < least_distinct:
        raise CorpusError(f"{names}: all characters are {vocabulary.characters[0]!r}; there is nothing to learn")
    return Corpus(ids, vocabulary, text.digest, train, validation)
