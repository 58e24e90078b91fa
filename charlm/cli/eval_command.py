"""charlm eval: the loss of a model on a text, as a whole or line by line."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..config.checks import choice
from ..config.commands import PrecisionConfig, ThreadsConfig, require_float32
from ..config.evaluation import DynamicConfig, EvalConfig
from ..distributed.launch import join
from ..errors import ConfigurationError, GateError
from ..units import to_bits
from .command import Command
from .options import json_option, note, output_file, print_json, quiet_option, run_and_texts, run_argument
from .progress import announce_compilation, bar, reading
from .results import DynamicResult, EvalResult

if TYPE_CHECKING:
    from ..corpus.encoded_text import EncodedText
    from ..distributed.ranks import Ranks
    from ..inference.model import Model
    from ..inference.texts import EvaluationText


@click.command("eval", cls=Command, settings=(EvalConfig, PrecisionConfig, ThreadsConfig))
@run_argument
@click.argument("text", nargs=-1, metavar="[TEXT...]", type=click.Path())
@json_option
@quiet_option
@click.pass_context
def command(
    ctx: click.Context, /, run: str | None, text: tuple[str, ...], as_json: bool, quiet: bool, **options: Any
) -> None:
    """Print nats and bits per character, perplexity and accuracy of the model of RUN on TEXT files.

    TEXT defaults to the run's own validation text, except with --by and --html; "-" is standard input. You may leave out
    RUN: a first argument that is a text file or "-" is a TEXT.

    Every character is scored. The first one is predicted from a line end, or from the separator that the model was trained
    with (--reset-after), as at the start of every line.

    \b
    Examples:
      charlm eval runs/corpus other.txt
      charlm eval --json | jq .bits_per_char
      charlm eval runs/corpus other.txt --dynamic --compare xz,bzip2,gzip
      tail -f log | charlm eval runs/log - --by line
    """
    run, text = run_and_texts(run, text)
    how = _checked(ctx, text, EvalConfig.from_settings(options))
    ranks = join()
    quiet = quiet or not ranks.first
    announce_compilation(quiet)
    from ..inference.model import Model
    from ..storage.checkpoint import load_run
    from .by_line import by_line

    if ranks.size > 1:
        _require_divisible(text, how, ranks, quiet)
    model = Model(ranks.from_first(lambda: load_run(run)), options["threads"], ranks, options["precision"])
    evaluate = by_line if how.by_line else _whole
    bits_per_char = evaluate(model, text, how, ranks, as_json, quiet)
    if how.fail_above is not None and not bits_per_char <= how.fail_above:
        raise ranks.joint(GateError(f"{bits_per_char:.4f} bits/char exceed --fail-above {how.fail_above:g}"))


def _checked(ctx: click.Context, text: tuple[str, ...], how: EvalConfig) -> EvalConfig:
    """Return the settings with the page's final path. Raise ConfigurationError for options that contradict each other."""
    from ..inference.compressors import COMPRESSORS

    given = {name for name in ctx.params if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT}
    for names, belong, what in (
        ({"reset"}, how.by_line, "--by or --html"),
        ({"lr", "decay", "k1", "k2"}, how.dynamic, "--dynamic"),
        ({"streams", "compare", "dynamic"}, not how.by_line, "whole texts, not to --by or --html"),
    ):
        wrong = sorted(names & given)
        if wrong and not belong:
            raise ConfigurationError(f"--{wrong[0]} belongs to {what}")
    if how.dynamic:
        require_float32(ctx.params["precision"], "--dynamic")
    if how.html:
        how = replace(how, html=str(output_file(how.html, "--html", text)))
    if how.by_line and not text:
        raise ConfigurationError(f'--{"by" if how.by else "html"}: name the text to score, or "-" for standard input')
    if how.dynamic and how.unknown == "escape":
        raise ConfigurationError(
            "--dynamic cannot learn characters that the model does not know: leave out --unknown escape"
        )
    for name in how.compare.split(",") if how.compare is not None else ():
        choice("compare", name, tuple(COMPRESSORS))
    return how


def _whole(model: "Model", names: tuple[str, ...], how: EvalConfig, ranks: "Ranks", as_json: bool, quiet: bool) -> float:
    """Print the loss on the whole text. Return bits per character: with --dynamic those of dynamic evaluation."""
    from ..inference.texts import read_text

    with reading(names or model.checkpoint.config.corpus, quiet) as on_read:
        read = ranks.everywhere(
            lambda: read_text(
                model.checkpoint, names, how.unknown == "escape", on_read, ranks.first_on_node, can_escape=not how.dynamic
            ),
            node_first=True,
        )
    text = read.text
    ranks.require_same("the text differs: its characters are", text.chars)
    with bar("evaluating", text.chars // ranks.size, " characters", quiet) as on_done:
        found = model.score_text(text, how.streams, on_done)
    result = EvalResult(
        chars=found.chars,
        nats_per_char=found.nats_per_char,
        bits_per_char=found.bits_per_char,
        bits_per_byte=found.bits_per_byte,
        perplexity=found.perplexity,
        accuracy=found.accuracy,
        unknown=found.unknown,
        dynamic=_dynamic(model, text, how.learning, quiet) if how.dynamic else None,
        compare=_compared(read, how.compare.split(",")) if how.compare is not None and ranks.first else None,
    )
    if ranks.first and as_json:
        print_json(result)
    elif ranks.first:
        click.echo("\n".join(_lines(result)))
    return (result.dynamic or result).bits_per_char


def _lines(result: EvalResult) -> Iterator[str]:
    """Yield a result as lines of text."""
    unknown = f", {result.unknown:,} unknown" if result.unknown else ""
    yield (
        f"{result.chars:,} characters{unknown}, {result.nats_per_char:.4f} nats/char, {result.bits_per_char:.4f} bits/char, "
        f"perplexity {result.perplexity:.3f}, accuracy {100 * result.accuracy:.1f} %"
    )
    if result.dynamic:
        yield f"dynamic: {result.dynamic.bits_per_char:.4f} bits/char"
    for name, bits in (result.compare or {}).items():
        yield f"{name}: {bits:.4f} bits/char"


def _require_divisible(text: tuple[str, ...], how: EvalConfig, ranks: "Ranks", quiet: bool) -> None:
    """Raise ConfigurationError for a text that ranks cannot share. Print a note if ranks add starting points."""
    from ..corpus.sources import require_shareable

    if how.dynamic:
        raise ranks.joint(
            ConfigurationError("--dynamic learns from all that comes before each character: run it without mpiexec")
        )
    if "-" in text:  # and Open MPI's mpiexec does not tell that rank when standard input has ended
        raise ranks.joint(ConfigurationError("standard input reaches one rank only: name a file"))
    if how.by_line:
        return
    ranks.everywhere(lambda: require_shareable(text))
    if how.streams < ranks.size:
        note(f"the text is read from {ranks.size} places, one per rank, each after a warm-up (--streams)", quiet)


def _dynamic(model: "Model", text: "EncodedText", learning: DynamicConfig, quiet: bool) -> DynamicResult:
    with bar("learning", text.chars, " characters", quiet) as on_done:
        nats = model.dynamic_nats(text, learning, on_done) / text.chars
    return DynamicResult(nats, to_bits(nats))


def _compared(read: "EvaluationText", compressors: list[str]) -> dict[str, float]:
    """Return the compressed size of a text in bits per character, by compressor."""
    from ..inference.compressors import code_lengths

    return {name: 8 * size / len(read.ids) for name, size in code_lengths(read.utf8(), compressors).items()}
