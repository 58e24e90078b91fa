"""charlm train"""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from ..config.run import SCHEDULES, activations
from ..config.settings import Request, Settings, defaults, saving
from ..distributed.launch import join
from ..record import to_dict
from ..registry import CELLS, OPTIMIZERS, TRUNCATIONS
from ..storage.run_directory import default_run
from .options import (
    Command,
    Names,
    duration,
    json_option,
    note,
    print_json,
    quiet_option,
    registered_option,
    require,
    section,
    stop_on_signals,
    threads_option,
)
from .progress import announce_compilation, display, reading

if TYPE_CHECKING:
    from ..events import Event
    from ..training.records import TrainSummary
    from ..training.trainer import Trainer

USUAL = defaults()
_NOT_GIVEN = (None, click.core.ParameterSource.DEFAULT)


@click.command("train", cls=Command, makes_files=True, short_help="Train a model on a text.")
@click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...", type=click.Path())
@section(
    "Truncated backpropagation through time",
    click.option("--k1", type=int, default=None, show_default="64", help="Steps per update."),
    click.option("--k2", type=int, default=None, help="Steps that errors go back from an update (default: k1)."),
    registered_option(
        "--truncation",
        TRUNCATIONS,
        default=USUAL["truncation"],
        brings=lambda: [method.Settings for method in TRUNCATIONS.values()],
        help="Losses that an update takes: those of the newest k1 steps (newest) or of the whole window (window). artbp "
        "cuts at random, without bias; adaptive chooses k2 by measurement.",
    ),
    click.option(
        "--memory",
        type=int,
        default=USUAL["memory"],
        metavar="MB",
        help="Memory for activations; longer blocks are computed twice (default 0: no limit).",
    ),
    click.option(
        "--reset",
        type=click.Choice(("never", "epoch", "block", "line")),
        default=USUAL["reset"],
        show_default=True,
        help="When the state is set to zero.",
    ),
    click.option("--reset-every", type=int, default=None, metavar="N", help="Reset every N characters of a stream."),
    click.option("--reset-after", default=None, metavar="TEXT", help="Reset after each occurrence of TEXT."),
    click.option(
        "--streams", type=int, default=USUAL["streams"], show_default=True, help="Places of the corpus read side by side."
    ),
)
@section(
    "The network",
    registered_option("--cell", CELLS, default=USUAL["cell"], help="Kind of cell."),
    click.option(
        "--activation",
        type=Names(activations),
        default=USUAL["activation"],
        show_default=True,
        help="Activation of the rnn cell.",
    ),
    click.option("--hidden", type=int, default=USUAL["hidden"], show_default=True, help="Hidden units of a layer."),
    click.option("--layers", type=int, default=USUAL["layers"], show_default=True, help="Layers."),
    click.option(
        "--dropout",
        type=float,
        default=USUAL["dropout"],
        show_default="0.1; 0.4 below 500,000 characters, 0 above 10 million",
        help="Share of units dropped between layers and before the output.",
    ),
    click.option("--residual", is_flag=True, help="Add a layer's input to its output, from the second layer on."),
    click.option("--layer-norm", is_flag=True, help="Normalise what passes between layers and to the output."),
    click.option(
        "--forget-bias",
        type=float,
        default=None,
        metavar="B",
        help="First bias of the gate that keeps the state, "
        "lstm's f or gru's z: the state fades to a third in about e^B steps (default: 1, 0).",
    ),
    click.option(
        "--init-from",
        type=click.Path(),
        default=None,
        metavar="RUN",
        help="Start from another run's parameters; the model's shape is that one's.",
    ),
    click.option("--seed", type=int, default=USUAL["seed"], show_default=True, help="Seed of initial values and dropout."),
)
@section(
    "The optimizer",
    registered_option("--optimizer", OPTIMIZERS, default=USUAL["optimizer"], help="Optimizer."),
    click.option("--lr", type=float, default=USUAL["lr"], show_default=True, help="Learning rate."),
    click.option(
        "--momentum", type=float, default=USUAL["momentum"], show_default=True, help="Momentum of sgd and rmsprop."
    ),
    click.option("--nesterov", is_flag=True, help="Nesterov's momentum for sgd."),
    click.option("--weight-decay", type=float, default=None, help="On matrices only (default: 0.1 for adamw, else 0)."),
    click.option(
        "--clip",
        type=float,
        default=USUAL["clip"],
        show_default=True,
        help="Largest global norm of the gradient (0: off).",
    ),
    click.option(
        "--schedule",
        type=click.Choice(SCHEDULES),
        default=USUAL["schedule"],
        show_default=True,
        help="How the learning rate moves over the run.",
    ),
    click.option(
        "--warmup", type=int, default=USUAL["warmup"], show_default=True, help="Updates in which the learning rate rises."
    ),
)
@section(
    "How long, and what is held out",
    click.option("--epochs", type=float, default=None, help="Train for X epochs."),
    click.option("--updates", type=int, default=None, help="Train for N updates; 0 only initialises."),
    click.option(
        "--minutes",
        type=float,
        default=None,
        help="Train for X minutes, not counting compiling, validating and saving (default: 3).",
    ),
    click.option(
        "--once",
        is_flag=True,
        help="Read the corpus a single time, all of it, and report what it takes to code "
        "it with a model that learns as it goes (prequential coding).",
    ),
    click.option("--val", "val_file", type=click.Path(), default=None, help="Validation text (default: the corpus's end)."),
    click.option(
        "--val-fraction",
        type=float,
        default=USUAL["val_fraction"],
        show_default=True,
        help="Share held out at the end; 0: none.",
    ),
    click.option(
        "--eval-every",
        type=int,
        default=USUAL["eval_every"],
        metavar="N",
        help="Validate every N updates (default 0: up to 20 times, which take a twentieth of the time).",
    ),
    click.option(
        "--max-rollbacks",
        type=int,
        default=USUAL["max_rollbacks"],
        show_default=True,
        metavar="N",
        help="Times that training which diverged returns to its last good state, with half the learning rate.",
    ),
    click.option(
        "--patience",
        type=int,
        default=USUAL["patience"],
        metavar="N",
        help="Stop after N validations without improvement (default 0: never).",
    ),
)
@section(
    "The run",
    click.option("-o", "--run", type=click.Path(), default=None, help="Run directory (default: runs/<corpus's stem>)."),
    click.option(
        "--save-every",
        default="60s",
        show_default=True,
        metavar="N|Ns",
        help="Updates (500) or seconds (60s) between saves; 0: only at the beginning and the end.",
    ),
    click.option("--resume", is_flag=True, help="Continue the run exactly where it was saved."),
    click.option("--force", is_flag=True, help="Start over in a directory that holds a run."),
    click.option(
        "--sync-every",
        type=int,
        default=USUAL["sync_every"],
        show_default=True,
        metavar="N",
        help="With several ranks (mpiexec), updates that each makes on its own before parameters are averaged.",
    ),
    click.option("--tensorboard", is_flag=True, help="Write event files for TensorBoard to the run directory, too."),
    click.option("--bytes", "use_bytes", is_flag=True, help="Model bytes, of any file, instead of characters."),
)
@threads_option
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train a model on text files, read in order as one sequence ("-": standard input).

    \b
    Examples:
      charlm train corpus.txt
      charlm train corpus.txt --k1 64 --k2 128 --cell gru --minutes 10
      cat *.log | charlm train - --run runs/logs --bytes
    """
    asked, ranks = _request(ctx, options), join()
    options["quiet"] = quiet = options["quiet"] or not ranks.first
    if options["tensorboard"]:
        require("tensorboard", "tensorboard", "--tensorboard")
    announce_compilation(quiet)
    from ..training.session import begin

    with reading(asked.corpus, quiet) as on_read:
        trainer = begin(asked, lambda message: note(message, quiet), on_read, ranks)
    _describe(trainer, quiet)
    _train(trainer, options, quiet)


def _request(ctx: click.Context, options: dict[str, Any]) -> Request:
    """What the options ask for; those count as given that do not have their defaults from here."""
    known = defaults()
    given = {name: value for name, value in options.items() if ctx.get_parameter_source(name) not in _NOT_GIVEN}
    return Request(
        corpus=options["corpus"],
        run=Path(options["run"]) if options["run"] else default_run(options["corpus"][0]),
        settings=cast(Settings, {name: value for name, value in given.items() if name in known}),
        saving=saving(options["save_every"]),
        threads=options["threads"],
        resume=options["resume"],
        force=options["force"],
        init_from=options["init_from"],
    )


def _describe(trainer: "Trainer", quiet: bool) -> None:
    run, config, model = trainer.run, trainer.run.config, trainer.run.config.model
    layers = "1 layer" if model.layers == 1 else f"{model.layers} layers"
    note(
        f"model: {model.cell}, {layers} of {model.hidden}, {run.parameters.count:,} parameters; "
        f"{config.streams} streams, {run.updates_per_epoch:,} updates an epoch, {_end(trainer)}; "
        f"{_workers(trainer)}",
        quiet,
    )
    window = f"window {run.window_bytes / 2**20:.1f} MiB"
    note("; ".join(filter(None, (run.text.truncation.describe(), window, run.text.resets.describe()))), quiet)
    if config.reset.separator and not quiet:
        note(_sequences(trainer))


def _workers(trainer: "Trainer") -> str:
    """Threads, and ranks where there are several."""
    run = trainer.run
    threads = f"{run.network.threads} thread{'s' * (run.network.threads > 1)}"
    if run.ranks.size == 1:
        return threads
    every = run.config.sync_every
    return f"{run.ranks.size} ranks of {threads}" + (f", in step every {every} updates" if every > 1 else "")


def _end(trainer: "Trainer") -> str:
    """When training ends."""
    schedule = trainer.run.config.schedule
    if schedule.minutes is not None:
        return f"for {duration(60 * schedule.minutes)}"
    return f"{trainer.run.total_updates:,} in all"


def _sequences(trainer: "Trainer") -> str:
    """What the truncation makes of the lines, or of what else a separator divides the text into."""
    from ..tbptt.sequences import measure

    text, reset = trainer.run.text, trainer.run.config.reset
    name = "lines" if reset.policy == "line" else "sequences"
    found = measure(text.streams, text.resets, text.ids, text.truncation)
    if found.count == text.streams.own:
        return f"{json.dumps(reset.separator)} does not occur in the training text: nothing is reset after it"
    return f"{name}: {found.count:,}, the longest {found.longest:,} steps; {text.truncation.describe_sequences(found)}"


@contextmanager
def _listeners(trainer: "Trainer", options: dict[str, Any]) -> "Iterator[list[Callable[[Event], None]]]":
    """Who is told what happens."""
    with display(options["quiet"]) as shown:
        if not options["tensorboard"] or not trainer.run.ranks.first:
            yield [shown.show]
            return
        from ..reports.tensorboard import TensorBoard

        with closing(TensorBoard(trainer.run.directory)) as board:
            yield [shown.show, board]


def _train(trainer: "Trainer", options: dict[str, Any], quiet: bool) -> None:
    """Runs to the end or a signal, shows what happens, prints the summary."""
    with stop_on_signals(trainer.request_stop, quiet) as signals, _listeners(trainer, options) as listeners:
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
    if options["as_json"]:
        print_json(summary)
        return
    effort = (
        f"{summary.updates:,} updates, {summary.epochs:.2f} epochs, {summary.seconds:.1f} s, "
        f"{summary.chars_per_second:,.0f} characters/s"
    )
    realised = run.text.truncation.describe_realised(to_dict(summary))
    click.echo("; ".join(filter(None, (_quality(summary), effort, realised, summary.run))))


def _quality(summary: "TrainSummary") -> str:
    """The best validation, or what the corpus was coded in."""
    if summary.code_bits is not None:
        return (
            f"{summary.code_chars:,} characters coded in {summary.code_bits / 8:,.0f} bytes, "
            f"{summary.code_bits_per_char:.4f} bits/char"
        )
    best = summary.best_val_nats
    if best is None:
        return "no validation"
    return f"best validation {best:.4f} nats/char, {best / math.log(2):.4f} bits/char"
