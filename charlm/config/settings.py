"""The settings of `charlm train` and charlm.train: a configuration from them, and them from a configuration."""

import difflib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict, cast

from ..errors import ConfigurationError
from ..registry import OPTIMIZERS, TRUNCATIONS
from .run import ModelConfig, OptimizerConfig, ResetConfig, RunConfig, SavingConfig, ScheduleConfig
from .truncation import TruncationConfig, methods_by_setting

ENDS = ("epochs", "updates", "minutes")
# Defaults of a run that reads its corpus a single time: it must learn fast, and cannot overfit. Few streams and short blocks
# were best on tinyshakespeare: see the README.
_ONCE = {"epochs": 1, "streams": 4, "dropout": 0.0, "weight_decay": 0.0, "val_fraction": 0.0}
_ONCE_K1 = 20


class Settings(TypedDict, total=False):
    """What can be asked of a run, by the names of `charlm train`'s options; `charlm train --help` says what each is.

    A setting that is left out has its value in `defaults()`, or one that follows from others or from the corpus's size.
    """

    k1: int | None
    k2: int | None
    truncation: str
    mean_length: float | None
    tail: float | None
    max_length: int | None
    bias_tolerance: float | None
    max_k2: int | None
    memory: int
    reset: str | None
    reset_every: int | None
    reset_after: str | None
    streams: int
    cell: str
    activation: str
    hidden: int
    layers: int
    dropout: float
    residual: bool
    layer_norm: bool
    forget_bias: float | None
    optimizer: str
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float | None
    clip: float
    schedule: str
    warmup: int
    epochs: float | None
    updates: int | None
    minutes: float | None
    eval_every: int
    patience: int
    sync_every: int
    once: bool
    max_rollbacks: int
    val_file: str | None
    val_fraction: float
    use_bytes: bool
    seed: int


_OPTIONS = {"use_bytes": "--bytes", "val_file": "--val"}  # whose names are not their settings'


def option(name: str) -> str:
    """Returns the option of `charlm train` that gives a setting."""
    return _OPTIONS.get(name) or "--" + name.replace("_", "-")


def with_value(name: str, value: Any) -> str:
    """Returns how a setting is given on the command line, or that it is not.

    >>> with_value("use_bytes", True), with_value("use_bytes", False), with_value("k1", 64), with_value("val_file", None)
    ('--bytes', 'no --bytes', '--k1 64', 'no --val')
    """
    if value is None or value is False:
        return f"no {option(name)}"
    return option(name) if value is True else f"{option(name)} {value}"


def saving(text: str) -> SavingConfig:
    """When to save, from the text of --save-every."""
    try:
        return SavingConfig(0, float(text[:-1])) if text.endswith("s") else SavingConfig(int(text), 0.0)
    except ValueError:
        raise ConfigurationError(f"--save-every {text}: give updates (500) or seconds (60s)") from None


def configuration(settings: Settings, corpus: tuple[str, ...]) -> RunConfig:
    """The configuration that the settings say; every default that depends on another is resolved here.

    Raises ConfigurationError.
    """
    _refuse_unknown(settings)
    o = _complete(settings)
    resets = [name for name in ("reset", "reset_every", "reset_after") if settings.get(name) is not None]
    if len(resets) > 1:
        raise ConfigurationError(f"{' and '.join(map(option, resets))}: give one of them")
    policy = {"reset_every": "every", "reset_after": "after"}.get("".join(resets), o["reset"])
    decay = o["weight_decay"]
    if decay is None:
        decay = OPTIMIZERS[o["optimizer"]].weight_decay
    ends = {name: o[name] for name in ENDS}
    if o["once"] and ends != {**dict.fromkeys(ENDS), "epochs": 1}:
        raise ConfigurationError("--once reads the corpus a single time: leave out --epochs, --updates and --minutes")
    if all(value is None for value in ends.values()):
        ends["minutes"] = RunConfig().schedule.minutes
    return RunConfig(
        model=ModelConfig(**{field.name: o[field.name] for field in fields(ModelConfig)}),
        truncation=_truncation(o),
        reset=ResetConfig(policy, o["reset_every"] or 0, o["reset_after"] or ""),
        optimizer=OptimizerConfig(o["optimizer"], o["lr"], o["momentum"], o["nesterov"], weight_decay=decay, clip=o["clip"]),
        schedule=ScheduleConfig(o["schedule"], o["warmup"], **ends, patience=o["patience"], eval_every=o["eval_every"]),
        streams=o["streams"],
        seed=o["seed"],
        sync_every=o["sync_every"],
        once=o["once"],
        max_rollbacks=o["max_rollbacks"],
        use_bytes=o["use_bytes"],
        corpus=corpus,
        val_file=o["val_file"],
        val_fraction=o["val_fraction"],
    )


def _complete(settings: Settings) -> dict[str, Any]:
    """The settings with defaults where none was given."""
    return {**defaults(), **(_ONCE if settings.get("once") else {}), **settings}


def _refuse_vain(settings: Settings) -> None:
    """Refuses settings that another one makes of no effect."""
    o = _complete(settings)
    if o["val_file"] is not None and settings.get("val_fraction"):
        raise ConfigurationError("--val is a text of its own and --val-fraction a share of the corpus: give one of them")
    held_out = o["val_file"] is not None or o["val_fraction"] != 0
    for name in ("eval_every", "patience"):
        if settings.get(name) and not held_out:
            raise ConfigurationError(f"{option(name)} needs a validation text: give --val or a --val-fraction above 0")


def _refuse_unknown(settings: Settings) -> None:
    known = defaults()
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigurationError(f"setting {name}: there is none of that name" + (f"; {near[0]}?" if near else ""))


_SHAPE = ("cell", "activation", "hidden", "layers", "residual", "layer_norm")  # what a model is, besides its numbers


def shaped_as(model: ModelConfig, source: str, settings: Settings) -> Settings:
    """The settings with the shape of another run's model, which they may repeat. Raises ConfigurationError for another.

    source: that run, for the message.
    """
    theirs = {name: getattr(model, name) for name in _SHAPE}
    if settings.get("forget_bias") is not None:
        raise ConfigurationError("--forget-bias sets a first bias, which --init-from takes from the other run: give one")
    for name, value in theirs.items():
        if settings.get(name, value) != value:
            raise ConfigurationError(
                f"{with_value(name, settings[name])}: the model of {source} has {with_value(name, value)}; leave the "  # type: ignore[literal-required]
                "option out to take its shape from there"
            )
    return cast(Settings, {**settings, **theirs})


def _truncation(o: dict[str, Any]) -> TruncationConfig:
    """Return the truncation that the settings ask for. Raises ConfigurationError."""
    kind = o["truncation"]
    method = TRUNCATIONS[kind]
    given: dict[str, Any] = {}
    for name, kinds in methods_by_setting().items():
        if o[name] is not None:
            if kind not in kinds:
                raise ConfigurationError(f"{option(name)} belongs to --truncation {' or '.join(kinds)}, not {kind}")
            given[name] = o[name]
    k1, k2 = method.k1_and_k2(o["k1"], o["k2"], given, _ONCE_K1 if o["once"] else TruncationConfig().k1)
    return TruncationConfig(k1, k2, kind, o["memory"], given)


def _asked_truncation(cut: TruncationConfig) -> dict[str, Any]:
    """Return the settings that `_truncation` turns into this one."""
    takes_k1 = TRUNCATIONS[cut.kind].takes_k1
    return {
        "truncation": cut.kind,
        "memory": cut.memory,
        "k1": cut.k1 if takes_k1 else None,
        "k2": cut.k2 if takes_k1 else None,
        **dict.fromkeys(methods_by_setting()),
        **vars(cut.settings),
    }


def settings_of(config: RunConfig) -> Settings:
    """The settings that `configuration` turns into this configuration, but for its corpus."""
    reset, rule, schedule = config.reset, config.optimizer, config.schedule
    return cast(
        Settings,
        {
            **vars(config.model),
            **_asked_truncation(config.truncation),
            "reset": reset.policy if reset.policy not in ("every", "after") else None,
            "reset_every": reset.every if reset.policy == "every" else None,
            "reset_after": reset.after if reset.policy == "after" else None,
            "optimizer": rule.rule,
            "lr": rule.learning_rate,
            "momentum": rule.momentum,
            "nesterov": rule.nesterov,
            "weight_decay": rule.weight_decay,
            "clip": rule.clip,
            "schedule": schedule.kind,
            "warmup": schedule.warmup,
            "epochs": schedule.epochs,
            "updates": schedule.updates,
            "minutes": schedule.minutes,
            "patience": schedule.patience,
            "eval_every": schedule.eval_every,
            "streams": config.streams,
            "seed": config.seed,
            "sync_every": config.sync_every,
            "once": config.once,
            "max_rollbacks": config.max_rollbacks,
            "use_bytes": config.use_bytes,
            "val_file": config.val_file,
            "val_fraction": config.val_fraction,
        },
    )


def defaults() -> dict[str, Any]:
    """Return the default of each setting; None for those that follow from others or from the corpus."""
    open_ones = dict.fromkeys(("k1", "k2", "weight_decay", "minutes"))
    return {**settings_of(RunConfig()), **open_ones}


@dataclass(frozen=True)
class Request:
    """What is asked of a run. corpus: files, "-" for standard input. settings: those that were given.

    run: its directory. threads: None for as many as there are processors. resume: go on with the run that is there;
    force: start it over. init_from: another run, to start from its parameters.
    """

    corpus: tuple[str, ...]
    run: Path
    settings: Settings
    saving: SavingConfig = SavingConfig()
    threads: int | None = None
    resume: bool = False
    force: bool = False
    init_from: str | None = None

    def __post_init__(self) -> None:
        """Raises ConfigurationError."""
        if self.resume and self.force:
            raise ConfigurationError("--resume continues a run and --force starts it over: give one of them")
        if self.resume and self.init_from is not None:
            raise ConfigurationError("--resume continues a run and --init-from starts one: give one of them")
        _refuse_vain(self.settings)
        if not self.resume and self.init_from is None:  # where another run decides what is allowed
            configuration(self.settings, self.corpus)


def other_setting(name: str, asked: Any, made: Any) -> ConfigurationError:
    """Returns the error for a setting that a run which goes on was not made with."""
    return ConfigurationError(
        f"{with_value(name, asked)}: the run was made with {with_value(name, made)}, and --resume continues it exactly; for "
        "another setting start another run (--init-from takes its parameters)"
    )


def resumed(config: RunConfig, settings: Settings, corpus: tuple[str, ...]) -> RunConfig:
    """The configuration of a saved run with a new end of training, if one is given; any other change is refused.

    Files may have other names than they had; that they hold the same text is for the trainer to see.
    """
    _refuse_unknown(settings)
    stored: dict[str, Any] = {**settings_of(config)}
    changed: dict[str, Any] = {name: value for name, value in settings.items() if name != "streams"}
    if "k1" in changed and "k2" not in changed:
        changed["k2"] = stored["k2"] if changed["k1"] == stored["k1"] else changed["k1"]
    if set(settings) & set(ENDS):
        stored |= dict.fromkeys(ENDS)
    free = {*ENDS, "patience", "eval_every", "val_file", "max_rollbacks", "sync_every"}
    for name in sorted(set(changed) - free):
        if changed[name] != stored.get(name):
            raise other_setting(name, changed[name], stored.get(name))
    return configuration(cast(Settings, {**stored, **changed}), corpus)
