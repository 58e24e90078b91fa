"""charlm eval"""

import math
from typing import TYPE_CHECKING, Any

import click

from ..errors import CharlmError, CorpusError
from .options import (
    announce_compilation,
    json_option,
    note,
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
@click.option(
    "--by",
    type=click.Choice(("line", "char")),
    default=None,
    help="Print a row for each line (bits, characters, line) or character (bits, character), as they come.",
)
@click.option(
    "--reset",
    type=click.Choice(("line", "never")),
    default=None,
    help="With --by: score each line on its own, or after all before it (default: as the model was trained).",
)
@click.option(
    "--unknown",
    type=click.Choice(("error", "escape")),
    default="error",
    show_default=True,
    help="With --by: what to do with characters that the model does not know; escape codes them at a price.",
)
@click.option(
    "--fail-above",
    type=click.FloatRange(min=0, min_open=True),
    default=None,
    metavar="BITS",
    help="Exit with 1 if the text takes more bits per character.",
)
@threads_option
@json_option
@quiet_option
def command(run: str | None, text: tuple[str, ...], streams: int, **o: Any) -> None:
    """Print nats and bits per character, perplexity and accuracy of the model of RUN on TEXT files.

    Without TEXT: on the run's own validation part. "-" is standard input.

    \b
    charlm eval runs/corpus other.txt
    charlm eval --json | jq .bits_per_char
    tail -f log | charlm eval runs/log - --by line
    """
    if o["by"] is None and (o["reset"] or o["unknown"] != "error"):
        raise click.UsageError("--reset and --unknown belong to --by")
    if o["by"] and not text:
        raise click.UsageError('--by: name the text to score ("-": standard input)')
    announce_compilation(o["quiet"])
    from ..checkpoint import load_run

    saved = load_run(run)
    threads = thread_count(o["threads"])
    if o["by"]:
        bits_per_char = _print_rows(saved, text, threads, o)
    else:
        result = _evaluate(saved, text_ids(saved, text), streams, threads)
        bits_per_char = result["bits_per_char"]
        if o["as_json"]:
            print_json(result)
        else:
            click.echo(
                f"{result['chars']:,} characters, {result['nats_per_char']:.4f} nats/char, {bits_per_char:.4f} bits/char, "
                f"perplexity {result['perplexity']:.3f}, accuracy {100 * result['accuracy']:.1f} %"
            )
    if o["fail_above"] is not None and bits_per_char > o["fail_above"]:
        raise CharlmError(f"{bits_per_char:.4f} bits/char are more than --fail-above {o['fail_above']:g}")


def _print_rows(saved: "Checkpoint", names: tuple[str, ...], threads: int, o: dict[str, Any]) -> float:
    """Rows on stdout, a summary on stderr; returns bits/char."""
    from .rows import Rows, incoming

    alone = (o["reset"] or saved.config.reset.policy) == "line"
    rows = Rows(saved, o["by"], alone, o["unknown"] == "escape", o["as_json"], threads)
    for lines in incoming(names):
        rows.show(lines)
    bits_per_char = rows.bits / max(1, rows.chars)
    unknown = f", {rows.unknown:,} unknown" if rows.unknown else ""
    note(f"{rows.lines:,} lines, {rows.chars:,} characters{unknown}, {bits_per_char:.4f} bits/char", o["quiet"])
    return bits_per_char


def _evaluate(saved: "Checkpoint", ids: "np.ndarray", streams: int, threads: int) -> dict[str, Any]:
    """The contract's keys."""
    from ..blocks import Resets
    from ..evaluate import Evaluator

    resets = Resets.of_run(saved.config, saved.vocabulary)
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
