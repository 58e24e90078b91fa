"""The text that a command is to read with a model."""

from typing import TYPE_CHECKING

from ..errors import CorpusError

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint
    from ..corpus import Corpus


def text_ids(saved: "Checkpoint", names: tuple[str, ...]) -> "np.ndarray":
    """Ids of the named files' text; of what the run held out where none is named."""
    return _ids_of_files(saved, names) if names else _validation_ids(saved)


def _ids_of_files(saved: "Checkpoint", names: tuple[str, ...]) -> "np.ndarray":
    """Ids of the files' text; an unknown character is an error that names it."""
    import numpy as np

    from ..corpus import read_corpus

    corpus = read_corpus(names, saved.vocabulary.uses_bytes, val_fraction=0.0, least_distinct=1)
    if corpus.vocabulary == saved.vocabulary:
        return corpus.ids
    table = saved.vocabulary.encode_each(corpus.vocabulary)
    unknown = np.flatnonzero(table < 0)
    if len(unknown):
        assert corpus.vocabulary.characters is not None
        at = int(np.flatnonzero(np.isin(corpus.ids, unknown))[0])
        character = corpus.vocabulary.characters[int(corpus.ids[at])]
        raise CorpusError(
            f"{' '.join(names)}: {len(unknown)} distinct characters are not in the model's vocabulary, the first one "
            f"{character!r} (U+{ord(character):04X}) at position {at}; leave them out, or train with --bytes"
        )
    return table[corpus.ids]


def _validation_ids(saved: "Checkpoint") -> "np.ndarray":
    """The held-out part that the run was validated on."""
    corpus = training_corpus(saved, "name a text to evaluate")
    if len(corpus.validation) < 2:
        raise CorpusError("the run held no text out for validation: name a text to evaluate")
    return corpus.validation


def training_corpus(saved: "Checkpoint", advice: str) -> "Corpus":
    """The text that the run was trained on, as long as its files still hold it; else an error that ends in the advice."""
    from ..corpus import STANDARD_INPUT, read_corpus

    config = saved.config
    if STANDARD_INPUT in (*config.corpus, config.val_file):
        raise CorpusError(f"the run was trained on standard input, which is gone: {advice}")
    corpus = read_corpus(config.corpus, config.use_bytes, config.val_file, config.val_fraction)
    if corpus.digest != saved.progress.get("corpus_digest"):
        raise CorpusError(f"{' '.join(config.corpus)}: not the text that the run was trained on: {advice}")
    return corpus
