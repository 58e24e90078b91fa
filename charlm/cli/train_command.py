"""charlm train"""

import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import (
    CELLS,
    OPTIMIZERS,
    SCHEDULES,
    TRUNCATIONS,
    ModelConfig,
    OptimizerConfig,
    ResetConfig,
    RunConfig,
    SavingConfig,
    ScheduleConfig,
    TruncationConfig,
)
from ..errors import CheckpointError, ConfigurationError
from .options import (
    announce_compilation,
    is_terminal,
    json_option,
    note,
    print_json,
    quiet_option,
    stop_on_signals,
    thread_count,
    threads_option,
    usage_errors,
)

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..corpus import Corpus
    from ..parameters import Parameters
    from ..trainer import Adaptation, Progress, Trainer, Validation
    from ..watch import Alarm

_MODEL, _CUT, _OPTIMIZER, _SCHEDULE = ModelConfig(), TruncationConfig(), OptimizerConfig(), ScheduleConfig(minutes=3.0)
_ADAMW_DECAY = 0.1  # on tinyshakespeare 0.02 nats better than 0.01 and than no decay: see the README
_PLAIN_SECONDS = 10.0  # between progress lines where there is no bar
_ENDS = ("epochs", "updates", "minutes")


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
@click.option("--cell", type=click.Choice(CELLS), default=_MODEL.cell, show_default=True, help="Kind of cell.")
@click.option(
    "--activation", type=click.Choice(("tanh", "relu")), default="tanh", show_default=True, help="Of the rnn cell."
)
@click.option("--hidden", type=int, default=_MODEL.hidden, show_default=True, help="Hidden units of a layer.")
@click.option("--layers", type=int, default=_MODEL.layers, show_default=True, help="Layers.")
@click.option(
    "--dropout",
    type=float,
    default=_MODEL.dropout,
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
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default=_OPTIMIZER.rule, show_default=True, help="Rule.")
@click.option("--lr", type=float, default=_OPTIMIZER.learning_rate, show_default=True, help="Learning rate.")
@click.option("--momentum", type=float, default=0.0, show_default=True, help="Of sgd and rmsprop.")
@click.option("--nesterov", is_flag=True, help="Nesterov's momentum for sgd.")
@click.option("--weight-decay", type=float, default=None, help="On matrices only (default: 0.1 for adamw, else 0).")
@click.option(
    "--clip",
    type=float,
    default=_OPTIMIZER.clip,
    show_default=True,
    help="Largest global norm of the gradient (0: off).",
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    default=_SCHEDULE.kind,
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
        saving = _saving(options["save_every"])
        config = _config(options)
        if options["resume"] and options["force"]:
            raise ConfigurationError("--resume continues a run and --force starts it over: give one of them")
    quiet = options["quiet"]
    run = Path(options["run"] or _default_run(options["corpus"][0]))
    saved = _saved_run(run, options["resume"], options["force"])
    if saved is not None:
        with usage_errors():
            config = _resumed_config(saved, options, given)
    announce_compilation(quiet)
    corpus, config = _read_corpus(config, given, saved, quiet)
    trainer = _trainer(config, corpus, run, options, saving, saved)
    if saved is None:
        _clear(run)
    _describe(trainer, quiet)
    _train(trainer, options, quiet)


def _default_run(corpus: str) -> str:
    return "runs/" + ("stdin" if corpus == "-" else Path(corpus).stem or "run")


def _saving(text: str) -> SavingConfig:
    try:
        return SavingConfig(0, float(text[:-1])) if text.endswith("s") else SavingConfig(int(text), 0.0)
    except ValueError:
        raise ConfigurationError(f"save-every {text!r}: give updates (500) or seconds (60s)") from None


def _config(o: dict[str, Any]) -> RunConfig:
    """The configuration that the options say; every default that depends on another is resolved here."""
    cut = _truncation(o)
    policy = "every" if o["reset_every"] is not None else "after" if o["reset_after"] is not None else o["reset"]
    if o["reset_every"] is not None and o["reset_after"] is not None:
        raise ConfigurationError("--reset-every and --reset-after: give one of them")
    decay = o["weight_decay"]
    if decay is None:
        decay = _ADAMW_DECAY if o["optimizer"] == "adamw" else 0.0
    ends = {name: o[name] for name in _ENDS}
    if all(value is None for value in ends.values()):
        ends["minutes"] = _SCHEDULE.minutes
    return RunConfig(
        model=ModelConfig(
            o["cell"],
            o["activation"],
            o["hidden"],
            o["layers"],
            o["dropout"],
            o["residual"],
            o["layer_norm"],
            o["forget_bias"],
        ),
        truncation=cut,
        reset=ResetConfig(policy, o["reset_every"] or 0, o["reset_after"] or ""),
        optimizer=OptimizerConfig(o["optimizer"], o["lr"], o["momentum"], o["nesterov"], weight_decay=decay, clip=o["clip"]),
        schedule=ScheduleConfig(o["schedule"], o["warmup"], **ends, patience=o["patience"], eval_every=o["eval_every"]),
        streams=o["streams"],
        seed=o["seed"],
        use_bytes=o["use_bytes"],
        corpus=tuple(o["corpus"]),
        val_file=o["val_file"],
        val_fraction=o["val_fraction"],
    )


# Options of one method of truncation only, with their defaults; max_k2's is in multiples of k1.
_OF_METHOD: dict[str, dict[str, Any]] = {
    "artbp": {"mean_length": 64.0, "tail": 6.0, "max_length": 0},
    "adaptive": {"bias_tolerance": 0.1, "max_k2": 8},
}


def _truncation(o: dict[str, Any]) -> TruncationConfig:
    kind, k1, k2 = o["truncation"], o["k1"], o["k2"]
    for method, defaults in _OF_METHOD.items():
        for name in defaults:
            if o[name] is not None and method != kind:
                raise ConfigurationError(f"--{name.replace('_', '-')} belongs to --truncation {method}, not {kind}")
    more = {name: default if o[name] is None else o[name] for name, default in _OF_METHOD.get(kind, {}).items()}
    if kind == "artbp":
        if k1 is not None or k2 is not None:
            raise ConfigurationError("--truncation artbp draws the lengths of its blocks: give --mean-length, not k1 or k2")
        k1 = max(1, math.ceil(more["mean_length"])) if math.isfinite(more["mean_length"]) else 1
    k1 = _CUT.k1 if k1 is None else k1
    if kind == "adaptive" and o["max_k2"] is None:
        more["max_k2"] *= k1
    return TruncationConfig(k1, k1 if k2 is None else k2, kind, **more, memory=o["memory"])


def _options(config: RunConfig) -> dict[str, Any]:
    """The options that _config turns into this configuration."""
    model, cut, reset, rule, schedule = (
        config.model, config.truncation, config.reset, config.optimizer, config.schedule
    )  # fmt: skip
    return {
        **vars(model), "truncation": cut.kind, "memory": cut.memory,
        "k1": cut.k1 if cut.kind != "artbp" else None, "k2": cut.k2 if cut.kind != "artbp" else None,
        **{name: getattr(cut, name) if kind == cut.kind else None for kind, names in _OF_METHOD.items() for name in names},
        "reset": reset.policy if reset.policy not in ("every", "after") else "epoch",
        "reset_every": reset.every if reset.policy == "every" else None,
        "reset_after": reset.after if reset.policy == "after" else None,
        "optimizer": rule.rule, "lr": rule.learning_rate, "momentum": rule.momentum, "nesterov": rule.nesterov,
        "weight_decay": rule.weight_decay, "clip": rule.clip, "schedule": schedule.kind, "warmup": schedule.warmup,
        "epochs": schedule.epochs, "updates": schedule.updates, "minutes": schedule.minutes,
        "patience": schedule.patience, "eval_every": schedule.eval_every, "streams": config.streams,
        "seed": config.seed, "use_bytes": config.use_bytes, "corpus": config.corpus, "val_file": config.val_file,
        "val_fraction": config.val_fraction,
    }  # fmt: skip


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


def _resumed_config(saved: "Checkpoint", options: dict[str, Any], given: set[str]) -> RunConfig:
    """The saved configuration with a new end of training, if one is given; any other change is refused."""
    stored = _options(saved.config)
    changed = {name: options[name] for name in given if name in stored and name not in ("corpus", "val_file", "streams")}
    if "k1" in changed and "k2" not in changed:
        changed["k2"] = stored["k2"] if changed["k1"] == stored["k1"] else changed["k1"]
    if given & set(_ENDS):
        stored |= dict.fromkeys(_ENDS)
    free = {*_ENDS, "patience", "eval_every"}
    for name in sorted(set(changed) - free):
        if changed[name] != stored[name]:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} {changed[name]}: the run was made with {stored[name]}, and --resume continues "
                "it exactly; for another setting start another run (--init-from takes over its parameters)"
            )
    return _config({**stored, **changed})


def _read_corpus(config: RunConfig, given: set[str], saved: "Checkpoint | None", quiet: bool) -> "tuple[Corpus, RunConfig]":
    """The corpus, and the configuration with what its size decides where nothing was asked for."""
    from dataclasses import replace

    from ..corpus import read_corpus
    from ..trainer import fit_dropout, fit_streams

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
    from ..checkpoint import checkpoint_file, find_run, load
    from ..trainer import adopt

    return adopt(load(checkpoint_file(find_run(source))), config, corpus)


def _describe(trainer: "Trainer", quiet: bool) -> None:
    from ..truncation import contract

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
    with stop_on_signals(trainer.request_stop) as signals, _display(quiet) as display:
        for event in trainer.train():
            display.show(event)
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


class _Display:
    """Progress on stderr: a bar on a terminal, else a line now and then; validations always as lines."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._shown = time.monotonic()
        if not quiet and is_terminal():
            from tqdm import tqdm

            self._bar = tqdm(
                total=1.0, file=sys.stderr, leave=False, dynamic_ncols=True, smoothing=0.05,
                bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
            )  # fmt: skip

    def show(self, event: "Progress | Validation | Adaptation | Alarm") -> None:
        """Takes one event of the trainer."""
        from ..trainer import Adaptation, Validation
        from ..watch import Alarm

        if isinstance(event, Alarm):
            self._line(f"update {event.updates:,}: {event.message}")
            return
        if isinstance(event, Adaptation):
            if event.k2 != event.k2_before:
                self._line(f"update {event.updates:,}: k2 {event.k2} instead of {event.k2_before}, {_reason(event)}")
            return
        if isinstance(event, Validation):
            best = "best" if event.improved else f"best {event.best_val_nats:.4f}"
            bits = event.val_nats / math.log(2)
            self._line(f"update {event.updates:,}, epoch {event.epochs:.2f}: validation {event.val_nats:.4f} nats, "
                       f"{bits:.4f} bits/char ({best}), training {event.train_nats:.4f}")  # fmt: skip
            return
        if event.seconds == 0:
            return  # the first update, which is not timed
        text = (f"{event.nats:.3f} nats, {event.nats / math.log(2):.3f} bits/char, "
                f"{event.chars_per_second / 1000:.0f}k char/s, epoch {event.epochs:.2f}")  # fmt: skip
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(min(1.0, event.share) - self._bar.n)
        elif time.monotonic() - self._shown > _PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._line(f"{100 * min(1.0, event.share):.0f} %: update {event.updates:,}, {text}")

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            note(text, self._quiet)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()


def _reason(event: "Adaptation") -> str:
    """What was measured when k2 was chosen."""
    if event.rate >= 1:
        return f"the largest one: errors do not decay with distance (times {event.rate:.4f} a step)"
    decay = f"errors decay by {event.rate:.4f} a step"
    if math.isinf(event.relative_bias):
        return f"the largest one: even so more may be left out than kept; {decay}"
    bias = f"a relative bias of {event.relative_bias:.2g}"
    return f"{f'with {bias}' if event.within else f'the largest one, although it has {bias}'}; {decay}"


def _display(quiet: bool) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def shown() -> Iterator[_Display]:
        display = _Display(quiet)
        try:
            yield display
        finally:
            display.close()

    return shown()
