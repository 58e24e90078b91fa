"""What the options of `charlm train` mean: a configuration from them, and them from a configuration."""

import math
from typing import TYPE_CHECKING, Any

from ..config import (
    ModelConfig,
    OptimizerConfig,
    ResetConfig,
    RunConfig,
    SavingConfig,
    ScheduleConfig,
    TruncationConfig,
)
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint

MODEL, CUT, OPTIMIZER, SCHEDULE = ModelConfig(), TruncationConfig(), OptimizerConfig(), ScheduleConfig(minutes=3.0)
ENDS = ("epochs", "updates", "minutes")
_ADAMW_DECAY = 0.1  # on tinyshakespeare 0.02 nats better than 0.01 and than no decay: see the README


def saving(text: str) -> SavingConfig:
    """When to save, from the text of --save-every."""
    try:
        return SavingConfig(0, float(text[:-1])) if text.endswith("s") else SavingConfig(int(text), 0.0)
    except ValueError:
        raise ConfigurationError(f"save-every {text!r}: give updates (500) or seconds (60s)") from None


def configuration(o: dict[str, Any]) -> RunConfig:
    """The configuration that the options say; every default that depends on another is resolved here."""
    cut = _truncation(o)
    policy = "every" if o["reset_every"] is not None else "after" if o["reset_after"] is not None else o["reset"]
    if o["reset_every"] is not None and o["reset_after"] is not None:
        raise ConfigurationError("--reset-every and --reset-after: give one of them")
    decay = o["weight_decay"]
    if decay is None:
        decay = _ADAMW_DECAY if o["optimizer"] == "adamw" else 0.0
    ends = {name: o[name] for name in ENDS}
    if all(value is None for value in ends.values()):
        ends["minutes"] = SCHEDULE.minutes
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
    k1 = CUT.k1 if k1 is None else k1
    if kind == "adaptive" and o["max_k2"] is None:
        more["max_k2"] *= k1
    return TruncationConfig(k1, k1 if k2 is None else k2, kind, **more, memory=o["memory"])


def _options(config: RunConfig) -> dict[str, Any]:
    """The options that `configuration` turns into this configuration."""
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


def resumed(saved: "Checkpoint", options: dict[str, Any], given: set[str]) -> RunConfig:
    """The saved configuration with a new end of training, if one is given; any other change is refused."""
    stored = _options(saved.config)
    changed = {name: options[name] for name in given if name in stored and name not in ("corpus", "val_file", "streams")}
    if "k1" in changed and "k2" not in changed:
        changed["k2"] = stored["k2"] if changed["k1"] == stored["k1"] else changed["k1"]
    if given & set(ENDS):
        stored |= dict.fromkeys(ENDS)
    free = {*ENDS, "patience", "eval_every"}
    for name in sorted(set(changed) - free):
        if changed[name] != stored[name]:
            raise ConfigurationError(
                f"--{name.replace('_', '-')} {changed[name]}: the run was made with {stored[name]}, and --resume continues "
                "it exactly; for another setting start another run (--init-from takes over its parameters)"
            )
    return configuration({**stored, **changed})
