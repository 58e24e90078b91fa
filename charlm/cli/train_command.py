"""charlm train"""

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import (
    CELLS,
    OPTIMIZERS,
    SCHEDULES,
    TRUNCATIONS,
    RunConfig,
    SavingConfig,
)
from ..errors import CheckpointError, ConfigurationError
from .options import (
    announce_compilation,
    json_option,
    note,
    print_json,
    quiet_option,
    stop_on_signals,
    thread_count,
    threads_option,
    usage_errors,
)
from .progress import display
from .settings import MODEL, OPTIMIZER, SCHEDULE, configuration, resumed, saving

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..corpus import Corpus
    from ..parameters import Parameters
    from ..trainer import Trainer


@click.command("train", short_help="Train a model on a text.")
@click.argument("corpus", nargs=-1, required=True, metavar="CORPUS...")
@click.option("-o", "--run", type=click.Path(), default=None, help="Run directory (default: runs/<corpus's stem>).")
@click.option("--k1", type=int, default=None, show_default="64", help="Steps per update.")
@click.option("--k2", type=int, default=None, help="Steps that errors go back from an update (default: k1).")
@click.option(
    "--truncation",
    type=click.Choice(TRUNCATIONS),
    default="newest",
    show_default=True,
    help="Losses that an update takes: the newest k1 steps', or the whole window's; artbp: cuts at random, without bias; "
    "adaptive: a k2 chosen by measurement.",
)
@click.option("--mean-length", type=float, default=None, metavar="L0", help="Of artbp's segments (default: 64).")
@click.option("--tail", type=float, default=None, metavar="A", help="Lengths n of artbp have probability n^-A (default: 6).")
@click.option("--max-length", type=int, default=None, help="Longest segment of artbp, which biases it (default: none).")
@click.option("--bias-tolerance", type=float, default=None, metavar="D", help="Relative bias for adaptive (default: 0.1).")
@click.option("--max-k2", type=int, default=None, help="Largest k2 of adaptive (default: 8 times k1).")
@click.option("--memory", type=int, default=0, metavar="MB", help="Of activations; longer blocks are computed twice.")
@click.option(
    "--reset",
    type=click.Choice(("never", "epoch", "block", "line")),
    default="epoch",
    show_default=True,
    help="When the state is set to zero.",
)
@click.option("--reset-every", type=int, default=None, metavar="N", help="Reset every N characters of a stream.")
@click.option("--reset-after", default=None, metavar="TEXT", help="Reset after each occurrence of TEXT.")
@click.option("--streams", type=int, default=32, show_default=True, help="Places of the corpus read side by side.")
@click.option("--cell", type=click.Choice(CELLS), default=MODEL.cell, show_default=True, help="Kind of cell.")
@click.option(
    "--activation", type=click.Choice(("tanh", "relu")), default="tanh", show_default=True, help="Of the rnn cell."
)
@click.option("--hidden", type=int, default=MODEL.hidden, show_default=True, help="Hidden units of a layer.")
@click.option("--layers", type=int, default=MODEL.layers, show_default=True, help="Layers.")
@click.option(
    "--dropout",
    type=float,
    default=MODEL.dropout,
    show_default="0.1; 0.4 below 500,000 characters, 0 above 10 million",
    help="Share of units dropped between layers and before the output.",
)
@click.option("--residual", is_flag=True, help="Add a layer's input to its output, from the second layer on.")
@click.option("--layer-norm", is_flag=True, help="Normalise what passes between layers and to the output.")
@click.option(
    "--forget-bias",
    type=float,
    default=None,
    metavar="B",
    help="First bias of the gate that keeps the state, lstm's f or gru's z: the state fades to a third in about "
    "e^B steps (default: 1, 0).",
)
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default=OPTIMIZER.rule, show_default=True, help="Rule.")
@click.option("--lr", type=float, default=OPTIMIZER.learning_rate, show_default=True, help="Learning rate.")
@click.option("--momentum", type=float, default=0.0, show_default=True, help="Of sgd and rmsprop.")
@click.option("--nesterov", is_flag=True, help="Nesterov's momentum for sgd.")
@click.option("--weight-decay", type=float, default=None, help="On matrices only (default: 0.1 for adamw, else 0).")
@click.option(
    "--clip",
    type=float,
    default=OPTIMIZER.clip,
    show_default=True,
    help="Largest global norm of the gradient (0: off).",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default=SCHEDULE.kind,
    show_default=True,
    help="How the learning rate moves over the run.",
)
@click.option("--warmup", type=int, default=0, show_default=True, help="Updates in which the learning rate rises.")
@click.option("--epochs", type=float, default=None, help="Train for X epochs.")
@click.option("--updates", type=int, default=None, help="Train for N updates; 0 only initialises.")
@click.option(
    "--minutes",
    type=float,
    default=None,
    help="Train for X minutes, not counting compiling, validating and saving (default: 3).",
)
@click.option("--val", "val_file", type=click.Path(), default=None, help="Validation text (default: the corpus's end).")
@click.option("--val-fraction", type=float, default=0.1, show_default=True, help="Share held out at the end; 0: none.")
@click.option("--eval-every", type=int, default=0, metavar="N", help="Validate every N updates (default: 20 times).")
@click.option("--patience", type=int, default=0, metavar="N", help="Stop after N validations without improvement.")
@click.option("--save-every", default="60s", show_default=True, metavar="N|Ns", help="Updates or seconds between saves.")
@click.option("--resume", is_flag=True, help="Continue the run exactly where it was saved.")
@click.option("--force", is_flag=True, help="Start over in a directory that holds a run.")
@click.option("--init-from", type=click.Path(), default=None, metavar="RUN", help="Start from another run's parameters.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of initial values and dropout.")
@click.option("--bytes", "use_bytes", is_flag=True, help="Model bytes, of any file, instead of characters.")
@threads_option
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:  # fmt: skip
    """Train a model on text files, read in order as one sequence ("-": standard input).

    \b
    charlm train corpus.txt
    charlm train corpus.txt --k1 64 --k2 128 --cell gru --minutes 10
    cat *.log | charlm train - --run runs/logs --bytes
    """
    given = {name for name in options if ctx.get_parameter_source(name) not in (None, click.core.ParameterSource.DEFAULT)}
    with usage_errors():
        when = saving(options["save_every"])
        config = configuration(options)
        if options["resume"] and options["force"]:
            raise ConfigurationError("--resume continues a run and --force starts it over: give one of them")
    quiet = options["quiet"]
    run = Path(options["run"] or _default_run(options["corpus"][0]))
    saved = _saved_run(run, options["resume"], options["force"])
    if saved is not None:
        with usage_errors():
            config = resumed(saved, options, given)
    announce_compilation(quiet)
    corpus, config = _read_corpus(config, given, saved, quiet)
    trainer = _trainer(config, corpus, run, options, when, saved)
    if saved is None:
        _clear(run)
    _describe(trainer, quiet)
    _train(trainer, options, quiet)


def _default_run(corpus: str) -> str:
    return "runs/" + ("stdin" if corpus == "-" else Path(corpus).stem or "run")


def _saved_run(run: Path, resume: bool, force: bool) -> "Checkpoint | None":
    """The checkpoint to continue from; refuses a directory that holds a run unless told what to do with it."""
    from ..checkpoint import BEST, CONFIG, LAST, METRICS, load

    if resume:
        if not (run / LAST).exists():
            raise CheckpointError(f"{run}: holds no {LAST} to resume; leave out --resume to start a run there")
        return load(run / LAST)
    if not force and any((run / name).exists() for name in (LAST, BEST, METRICS, CONFIG)):
        raise CheckpointError(f"{run} already holds a run: continue it with --resume, start over with --force, "
                              "or name another directory with --run")  # fmt: skip
    return None


def _clear(run: Path) -> None:
    """Makes room for a new run, once nothing can be wrong with what it was asked to do."""
    from ..checkpoint import BEST, CONFIG, LAST, METRICS

    run.mkdir(parents=True, exist_ok=True)
    for name in (LAST, BEST, METRICS, CONFIG):
        (run / name).unlink(missing_ok=True)


def _read_corpus(config: RunConfig, given: set[str], saved: "Checkpoint | None", quiet: bool) -> "tuple[Corpus, RunConfig]":
    """The corpus, and the configuration with what its size decides where nothing was asked for."""
    from dataclasses import replace

    from ..corpus import read_corpus
    from ..fitting import fit_dropout, fit_streams

    begun = time.monotonic()
    corpus = read_corpus(config.corpus, config.use_bytes, config.val_file, config.val_fraction)
    kind = "bytes" if config.use_bytes else "characters"
    n, v, train = len(corpus.ids), len(corpus.validation), len(corpus.train)
    if config.val_file is not None:
        split = f"validation on {config.val_file} ({v:,})"
    else:
        split = f"validation on {train:,} to {n:,}" if v else "no validation"
    note(f"corpus: {n:,} {kind}, {len(corpus.vocabulary):,} distinct; training on 0 to {train:,}, {split}"
         f" ({time.monotonic() - begun:.1f} s)", quiet)  # fmt: skip
    if saved is None:
        streams = fit_streams(config.streams, "streams" in given, train - 1, config.truncation.k1)
        if streams < config.streams:
            note(f"streams: {streams} instead of {config.streams}, since the corpus is small", quiet)
        dropout = fit_dropout(config.model.dropout, "dropout" in given, train)
        if dropout != config.model.dropout:
            size = "large" if dropout < config.model.dropout else "small"
            note(f"dropout: {dropout:g} instead of {config.model.dropout:g}, since the corpus is {size}", quiet)
        config = replace(config, streams=streams, model=replace(config.model, dropout=dropout))
    return corpus, config


def _trainer(
    config: RunConfig,
    corpus: "Corpus",
    run: Path,
    options: dict[str, Any],
    saving: SavingConfig,
    saved: "Checkpoint | None",
) -> "Trainer":
    from ..trainer import Trainer

    threads = thread_count(options["threads"])
    parameters = _initial_parameters(options["init_from"], config, corpus) if saved is None else None
    trainer = Trainer(config, corpus, run, threads, saving, parameters)
    if saved is not None:
        trainer.restore(saved)
    return trainer


def _initial_parameters(source: str | None, config: RunConfig, corpus: "Corpus") -> "Parameters | None":
    if source is None:
        return None
    from ..checkpoint import load_run
    from ..fitting import adopt

    return adopt(load_run(source), config, corpus)


def _describe(trainer: "Trainer", quiet: bool) -> None:
    from ..contract import contract

    config, model = trainer.config, trainer.config.model
    layers = "1 layer" if model.layers == 1 else f"{model.layers} layers"
    note(f"model: {model.cell}, {layers} of {model.hidden}, {trainer.parameters.count:,} parameters; "
         f"{config.streams} streams, {trainer.updates_per_epoch:,} updates an epoch, {trainer.network.threads} threads",
         quiet)  # fmt: skip
    note(contract(config.truncation, config.reset.policy, trainer.network.window_bytes()), quiet)
    if config.reset.separator and not quiet:
        note(_sequences(trainer))


def _sequences(trainer: "Trainer") -> str:
    """What the truncation makes of the lines, or of what else a separator divides the text into."""
    from ..sequences import measure

    cut = trainer.config.truncation
    name = "lines" if trainer.config.reset.policy == "line" else "sequences"
    found = measure(trainer.streams, trainer.resets, trainer.corpus.train, trainer.truncation)
    text = f"{name}: {found.count:,}, the longest {found.longest:,} steps; "
    if found.cut == 0:
        return text + ("cut at random, which takes nothing away on average" if cut.kind == "artbp" else "none is cut")
    share = f"{100 * found.cut / found.count:.2g} % of them ({found.cut:,})"
    if cut.kind == "adaptive":
        return f"{text}truncation cuts {share} while k2 is {trainer.truncation.k2}"
    way = "a longer --k1 cuts fewer" if cut.memory else f"--k2 {cut.k1 + found.longest - 1} cuts none"
    return f"{text}truncation cuts {share}; {way}"


def _train(trainer: "Trainer", options: dict[str, Any], quiet: bool) -> None:
    """Runs to the end or a signal, shows what happens, prints the summary."""
    with stop_on_signals(trainer.request_stop, quiet) as signals, display(quiet) as shown:
        for event in trainer.train():
            shown.show(event)
    if signals:
        again = " ".join(["charlm train", *trainer.config.corpus, "--run", str(trainer.run), "--resume"])
        note(f"stopped at update {trainer.updates:,}; saved, continue with: {again}", quiet)
        sys.exit(128 + signals[0])
    summary = trainer.summary()
    if options["as_json"]:
        print_json(summary)
        return
    best = summary["best_val_nats"]
    quality = (
        "no validation" if best is None else f"best validation {best:.4f} nats/char, {best / math.log(2):.4f} bits/char"
    )
    click.echo(
        f"{quality}; {summary['updates']:,} updates, {summary['epochs']:.2f} epochs, {summary['seconds']:.1f} s, "
        f"{summary['chars_per_second']:,.0f} characters/s{_realised(summary)}; {summary['run']}"
    )


def _realised(summary: dict[str, Any]) -> str:
    """What came of random or measured truncation."""
    if "largest_weight" in summary:
        return (
            f"; segments of {summary['mean_length']:.1f} steps on average, the longest {summary['longest']:,}, "
            f"largest weight {summary['largest_weight']:.3g}"
        )
    return f"; k2 {summary['k2']} at last" if "k2" in summary else ""
