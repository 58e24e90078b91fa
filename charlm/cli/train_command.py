"""charlm train: a model trained on a text."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ..config.commands import ThreadsConfig
from ..config.keywords import Settings
from ..config.request import LaunchConfig, Request, SavingConfig
from ..config.run import RunConfig
from ..config.settings import known_settings
from ..distributed.launch import join
from ..storage.run_directory import default_run
from ..units import to_bits
from .command import Command
from .options import duration, json_option, note, print_json, quiet_option, require_package
from .progress import announce_compilation, display, reading
from .signals import stop_on_signals

if TYPE_CHECKING:
    from ..events import Event
    from ..training.records import TrainSummary
    from ..training.trainer import Trainer

_NOT_GIVEN = (None, click.core.ParameterSource.DEFAULT)


@click.command("train", cls=Command, settings=(RunConfig, LaunchConfig, ThreadsConfig), makes_files=True)
@click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...", type=click.Path())
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, corpus: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Train a model on text files, read in order as one sequence ("-": standard input).

    \b
    Examples:
      charlm train corpus.txt
      charlm train corpus.txt --k1 64 --k2 128 --cell gru --minutes 10
      cat *.log | charlm train - --run runs/logs --bytes
    """
    launch = LaunchConfig.from_settings(options)
    asked, ranks = _request(ctx, corpus, launch, options), join()
    quiet = quiet or not ranks.first
    if launch.tensorboard:
        require_package("tensorboard", "tensorboard", "--tensorboard")
    announce_compilation(quiet)
    from ..training.session import begin

    with reading(asked.corpus, quiet) as on_read:
        trainer = begin(asked, lambda message: note(message, quiet), on_read, ranks)
    _describe(trainer, quiet)
    _train(trainer, launch.tensorboard, as_json, quiet)


def _request(ctx: click.Context, corpus: tuple[str, ...], launch: LaunchConfig, options: dict[str, Any]) -> Request:
    """Return the request that the options make. An option with its own default counts as not given."""
    known = known_settings()
    given = {name: value for name, value in options.items() if ctx.get_parameter_source(name) not in _NOT_GIVEN}
    return Request(
        corpus=corpus,
        run=Path(launch.run) if launch.run else default_run(corpus[0]),
        settings=cast(Settings, {name: value for name, value in given.items() if name in known}),
        saving=SavingConfig.parse(launch.save_every),
        threads=options["threads"],
        resume=launch.resume,
        force=launch.force,
        init_from=launch.init_from,
    )


def _describe(trainer: "Trainer", quiet: bool) -> None:
    """Print notes on the model, the truncation and the sequences."""
    run, config, model = trainer.run, trainer.run.config, trainer.run.config.model
    layers = "1 layer" if model.layers == 1 else f"{model.layers} layers"
    note(
        f"model: {model.cell}, {layers} of {model.hidden}, {run.parameters.count:,} parameters; "
        f"{config.streams} streams, {run.updates_per_epoch:,} updates an epoch, {_end(trainer)}; "
        f"{_workers(trainer)}",
        quiet,
    )
    window = f"window {run.window_bytes / 2**20:.1f} MiB"
    cut = run.text.truncation
    note("; ".join(filter(None, (cut.describe(), cut.describe_layers(), window, run.text.resets.describe()))), quiet)
    if config.reset.separator and not quiet:
        note(_sequences(trainer))


def _workers(trainer: "Trainer") -> str:
    """Return the number of threads, and of ranks if there are several."""
    run = trainer.run
    threads = f"{run.network.threads} thread{'s' * (run.network.threads > 1)}"
    if run.ranks.size == 1:
        return threads
    every = run.config.sync_every
    return f"{run.ranks.size} ranks of {threads}" + (f", in step every {every} updates" if every > 1 else "")


def _end(trainer: "Trainer") -> str:
    """Return when training ends."""
    schedule = trainer.run.config.schedule
    if schedule.minutes is not None:
        return f"for {duration(60 * schedule.minutes)}"
    return f"{trainer.run.total_updates:,} in all"


def _sequences(trainer: "Trainer") -> str:
    """Return the number and lengths of the sequences between separators, and how the truncation treats them."""
    from ..tbptt.sequences import measure

    text, reset = trainer.run.text, trainer.run.config.reset
    name = "lines" if reset.policy == "line" else "sequences"
    found = measure(text.streams, text.resets, text.ids, text.truncation)
    if found.count == text.streams.own:
        shown = json.dumps(reset.separator)
        return f"{shown} does not occur in the training text, so the state is never reset after it"
    return f"{name}: {found.count:,}, the longest {found.longest:,} steps; {text.truncation.describe_sequences(found)}"


@contextmanager
def _listeners(trainer: "Trainer", tensorboard: bool, quiet: bool) -> "Iterator[list[Callable[[Event], None]]]":
    """Yield the functions to call with each event."""
    with display(quiet) as shown:
        if not tensorboard or not trainer.run.ranks.first:
            yield [shown.show]
            return
        from ..reports.tensorboard import TensorBoard

        with closing(TensorBoard(trainer.run.directory)) as board:
            yield [shown.show, board]


def _train(trainer: "Trainer", tensorboard: bool, as_json: bool, quiet: bool) -> None:
    """Train to the end or to a signal, show events, and print the summary."""
    with stop_on_signals(trainer.request_stop, quiet) as signals, _listeners(trainer, tensorboard, quiet) as listeners:
        for event in trainer.train():
            for tell in listeners:
                tell(event)
    run = trainer.run
    number = int(run.ranks.largest(max(signals, default=0)))
    if number and trainer.stopped:
        again = " ".join(["charlm train", *run.config.corpus, "--run", str(run.directory), "--resume"])
        note(f"stopped at update {run.state.updates:,}; saved, continue with: {again}", quiet)
        sys.exit(128 + number)
    summary = trainer.summary()
    if not trainer.run.ranks.first:
        return
    if as_json:
        print_json(summary)
        return
    effort = (
        f"{summary.updates:,} updates, {summary.epochs:.2f} epochs, {summary.seconds:.1f} s, "
        f"{summary.chars_per_second:,.0f} characters/s"
    )
    click.echo("; ".join(filter(None, (_quality(summary), effort, summary.realised.describe(), summary.run))))


def _quality(summary: "TrainSummary") -> str:
    """Return the best validation loss, or the size of the coded corpus."""
    if summary.code_bits is not None:
        return (
            f"{summary.code_chars:,} characters coded in {summary.code_bits / 8:,.0f} bytes, "
            f"{summary.code_bits_per_char:.4f} bits/char"
        )
    best = summary.best_val_nats
    if best is None:
        return "no validation"
    return f"best validation {best:.4f} nats/char, {to_bits(best):.4f} bits/char"
