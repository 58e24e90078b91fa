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
from .texts import text_ids

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
    ids = text_ids(saved, text)
    result = _evaluate(saved, ids, streams, thread_count(o["threads"]))
    if o["as_json"]:
        print_json(result)
        return
    click.echo(
        f"{result['chars']:,} characters, {result['nats_per_char']:.4f} nats/char, {result['bits_per_char']:.4f} bits/char, "
        f"perplexity {result['perplexity']:.3f}, accuracy {100 * result['accuracy']:.1f} %"
    )


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
