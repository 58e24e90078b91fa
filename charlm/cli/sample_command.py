"""charlm sample"""

import secrets
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..config.run import MOST_STEPS, DrawConfig
from ..corpus.sources import read_small
from ..errors import ConfigurationError, CorpusError
from .options import (
    Command,
    Number,
    json_option,
    print_json,
    quiet_option,
    run_argument,
    section,
    threads_option,
)
from .progress import announce_compilation, bar, reading

if TYPE_CHECKING:
    from ..corpus.corpus import Corpus
    from ..corpus.sequence_set import SequenceSet
    from ..inference.generation import Generator, Text
    from ..storage.checkpoint import Checkpoint

_PIECE = 1 << 22  # characters of the corpus decoded at a time


@click.command("sample", cls=Command, short_help="Print text that a model writes.")
@run_argument
@section(
    "What is written",
    click.option(
        "-n", "--length", type=Number(0, MOST_STEPS), default=500, show_default=True, help="Characters to generate."
    ),
    click.option("--prime", default=None, metavar="TEXT", help="Text to continue; it is printed too."),
    click.option("--prime-file", default=None, metavar="F|-", help="Text to continue, from a file or standard input."),
    click.option(
        "--until", "--stop", "until", default=None, metavar="TEXT", help="End a text where this appears (it is printed)."
    ),
    click.option(
        "--min-length",
        type=Number(0, MOST_STEPS),
        default=0,
        metavar="N",
        help="Only texts of at least N characters before --until.",
    ),
    click.option(
        "--count",
        type=Number(1, 1_000_000_000),
        default=None,
        help="Texts to generate, each ended by its line's "
        "end where the model reads lines as sequences of their own (--reset line).",
    ),
    click.option(
        "--unseen",
        is_flag=True,
        help="Only texts that are no whole line of the training corpus (or no whole sequence, where another text ends one).",
    ),
)
@section(
    "How characters are chosen",
    click.option(
        "--temperature", type=float, default=1.0, show_default=True, help="0 (or below 1e-6): always the most likely."
    ),
    click.option(
        "--top-k",
        type=int,
        default=0,
        help="Draw from the k most likely characters only (0: all), and those as likely as the k-th.",
    ),
    click.option(
        "--top-p",
        type=float,
        default=1.0,
        help="Draw from the smallest set of likeliest characters whose probabilities add up to this share, "
        "with --top-k of what that leaves.",
    ),
    click.option(
        "--beam",
        type=Number(1, 65_536),
        default=None,
        metavar="N",
        help="Draw nothing: search for the most likely text with a beam of N.",
    ),
    click.option("--seed", type=int, default=None, help="Makes the text repeatable (default: another one each time)."),
)
@threads_option
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, run: str | None, **o: Any) -> None:
    """Print text that the model of RUN writes (default: $CHARLM_RUN, else the newest run).

    --json prints for each text its log-probability in nats, whole and character by character (as the model has it at
    temperature 1, whatever it was drawn with).

    \b
    Examples:
      charlm sample -n 200 --prime "The " --temperature 0.7
      charlm sample runs/names --count 20 --unseen
      charlm sample --prime "It was" --until . --beam 16
    """
    how = _how(o)
    if o["prime"] is not None and o["prime_file"] is not None:
        raise ConfigurationError("--prime and --prime-file: give one of them")
    if o["beam"] and o["unseen"]:
        raise ConfigurationError("--beam finds the most likely texts, --unseen draws until they are new: give one of them")
    for name in ("temperature", "top_k", "top_p", "seed") if o["beam"] else ():
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            raise ConfigurationError(f"--beam draws nothing: leave out --{name.replace('_', '-')}")
    announce_compilation(o["quiet"])
    from ..inference.generation import Ending
    from ..inference.model import load

    model = load(run, o["threads"])
    several = o["count"] is not None or o["unseen"]
    until = o["until"] or (model.checkpoint.config.reset.separator if several else "")
    if o["unseen"] and not until:
        raise ConfigurationError(
            "--unseen: this model was not trained with --reset line, so say where a text ends with --until"
        )
    prime = _prime_text(o["prime"], o["prime_file"])
    generator = model.generator(prime, Ending(o["length"], until, o["min_length"]), how)
    if o["min_length"] and not until:
        raise ConfigurationError("--min-length is of texts that end: say where with --until")
    count = o["count"] or 1
    if o["beam"]:
        with bar("searching", o["length"], " characters", o["quiet"]) as on_done:
            found = generator.likeliest(max(o["beam"], count), on_done)
        _print(found[:count], o["as_json"])
    elif several or o["as_json"]:
        seen = _seen(model.checkpoint, until, o["quiet"]) if o["unseen"] else None
        _print(generator.texts(count, None if seen is None else lambda text: text not in seen), o["as_json"])
    else:
        _stream(generator, prime)


def _how(o: dict[str, Any]) -> DrawConfig:
    seed = secrets.randbits(62) if o["seed"] is None else o["seed"]
    return DrawConfig(o["temperature"], o["top_k"], o["top_p"], seed)


def _prime_text(text: str | None, file: str | None) -> str:
    if file is None:
        return text or ""
    try:
        return read_small(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{file}: not UTF-8 at byte {error.start}") from None


def _seen(saved: "Checkpoint", separator: str, quiet: bool) -> "SequenceSet":
    """What the separator divides the training corpus into."""
    from ..corpus.sequence_set import SequenceSet
    from ..inference.texts import training_corpus

    with reading(saved.config.corpus, quiet) as on_read:
        corpus = training_corpus(saved, "--unseen has nothing to compare with", on_read)
    with bar("remembering the corpus", len(corpus.ids), " characters", quiet) as on_done:
        return SequenceSet(_decoded(corpus, on_done), separator)


def _decoded(corpus: "Corpus", on_done: Callable[[int], None]) -> Iterator[str]:
    decode = corpus.vocabulary.decoder()
    for at in range(0, len(corpus.ids), _PIECE):
        piece = corpus.ids[at : at + _PIECE]
        yield decode(piece)
        on_done(len(piece))


def _print(texts: "list[Text] | Any", as_json: bool) -> None:
    for each in texts:
        if as_json:
            log_probabilities = [-nats for nats in each.nats.tolist()]
            print_json(
                {
                    "text": each.text,
                    "prime": each.prime,
                    "ended": each.ended,
                    "log_probability": sum(log_probabilities),
                    "log_probabilities": log_probabilities,
                }
            )
        else:
            click.echo(each.text, nl=not each.text.endswith("\n"))


def _stream(generator: "Generator", prime: str) -> None:
    """Prints one text as it is drawn."""
    click.echo(prime, nl=False)
    last = prime[-1:]
    for piece in generator.stream():
        click.echo(piece, nl=False)
        sys.stdout.flush()
        last = piece[-1:] or last
    if last != "\n":
        click.echo()
