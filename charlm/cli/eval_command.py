"""charlm eval"""

import math
from typing import TYPE_CHECKING, Any

import click

from ..errors import CorpusError
from .options import (
    announce_compilation,
    json_option,
    print_json,
    quiet_option,
    run_argument,
    thread_count,
    threads_option,
)

if TYPE_CHECKING:
    import numpy as np

    from ..checkpoint import Checkpoint


@click.command("eval", short_help="Measure how well a model predicts a text.")
@run_argument
@click.argument("text", nargs=-1, metavar="[TEXT...]")
@click.option(
    "--streams",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Places read side by side, each after a warm-up; 1 reads in order.",
)
@threads_option
@json_option
@quiet_option
def command(run: str | None, text: tuple[str, ...], streams: int, **o: Any) -> None:  # fmt: skip
    """Print nats and bits per character, perplexity and accuracy of the model of RUN on TEXT files.

    Without TEXT: on the run's own validation part. "-" is standard input.

    \b
    charlm eval runs/corpus other.txt
    charlm eval --json | jq .bits_per_char
    """
    announce_compilation(o["quiet"])
    from ..checkpoint import checkpoint_file, find_run, load

    saved = load(checkpoint_file(find_run(run)))
    ids = _text_ids(saved, text) if text else _validation_ids(saved)
    result = _evaluate(saved, ids, streams, thread_count(o["threads"]))
    if o["as_json"]:
        print_json(result)
        return
    click.echo(
        f"{result['chars']:,} characters, {result['nats_per_char']:.4f} nats/char, {result['bits_per_char']:.4f} bits/char, "
        f"perplexity {result['perplexity']:.3f}, accuracy {100 * result['accuracy']:.1f} %"
    )


def _text_ids(saved: "Checkpoint", names: tuple[str, ...]) -> "np.ndarray":
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
    from ..corpus import STANDARD_INPUT, read_corpus

    config = saved.config
    if STANDARD_INPUT in (*config.corpus, config.val_file):
        raise CorpusError("the run was trained on standard input, which is gone: name a text to evaluate")
    corpus = read_corpus(config.corpus, config.use_bytes, config.val_file, config.val_fraction)
    if corpus.digest != saved.progress.get("corpus_digest"):
        raise CorpusError(f"{' '.join(config.corpus)}: not the text that the run was trained on: name a text to evaluate")
    if len(corpus.validation) < 2:
        raise CorpusError("the run held no text out for validation: name a text to evaluate")
    return corpus.validation


def _evaluate(saved: "Checkpoint", ids: "np.ndarray", streams: int, threads: int) -> dict[str, Any]:
    """The contract's keys."""
    from ..blocks import Resets
    from ..evaluate import Evaluator

    resets = Resets.for_text(saved.config.reset, saved.config.truncation.k1, saved.vocabulary)
    if len(ids) < 2:
        raise CorpusError("a text of one character has none to predict")
    result = Evaluator(saved.parameters, min(streams, len(ids) - 1), threads).evaluate(ids, resets)
    encoded = int(saved.vocabulary.id_bytes()[ids[1:]].sum())
    nats = result.nats_per_char
    return {
        "chars": result.chars,
        "nats_per_char": nats,
        "bits_per_char": nats / math.log(2),
        "bits_per_byte": result.nats / math.log(2) / encoded,
        "perplexity": math.exp(min(nats, 700.0)),
        "accuracy": result.hits / result.chars,
        "unknown": 0,
    }
