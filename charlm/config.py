"""Every setting of a run, as frozen dataclasses that are validated where they are built. Standard library only."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from .errors import ConfigurationError

CELLS = ("rnn", "lstm", "gru")
ACTIVATIONS = ("tanh", "relu")
TRUNCATIONS = ("newest", "window", "artbp", "adaptive")
RESETS = ("never", "epoch", "block", "line", "every", "after")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "adagrad", "sgd")
SCHEDULES = ("constant", "cosine", "plateau")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigurationError(message)


def choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raises ConfigurationError for a value that is not among the allowed ones."""
    _require(value in allowed, f"{name} {value!r}: choose from {', '.join(allowed)}")


def _at_least(name: str, value: float, least: float) -> None:
    _require(math.isfinite(value) and value >= least, f"{name} {value}: must be at least {least}")


def _seed(value: int) -> None:
    _require(0 <= value < 2**63, f"seed {value}: must be in [0, 2**63)")


@dataclass(frozen=True)
class ModelConfig:
    """The network: cell, sizes, what lies between its layers, and the first bias of the gate that keeps the state."""

    cell: str = "lstm"
    activation: str = "tanh"
    hidden: int = 256
    layers: int = 2
    dropout: float = 0.1
    residual: bool = False
    layer_norm: bool = False
    forget_bias: float | None = None  # the cell's own

    def __post_init__(self) -> None:
        choice("cell", self.cell, CELLS)
        choice("activation", self.activation, ACTIVATIONS)
        _require(
            self.activation == "tanh" or self.cell == "rnn",
            f"activation {self.activation} belongs to the rnn cell; {self.cell} has its own",
        )
        _at_least("hidden", self.hidden, 1)
        _at_least("layers", self.layers, 1)
        _require(0.0 <= self.dropout < 1.0, f"dropout {self.dropout}: must be in [0, 1)")
        if self.forget_bias is not None:
            _require(self.cell != "rnn", "forget-bias belongs to lstm and gru: in the rnn cell no gate keeps the state")
            _require(math.isfinite(self.forget_bias), f"forget-bias {self.forget_bias}: must be a number")


@dataclass(frozen=True)
class TruncationConfig:
    """TBPTT(k1, k2): an update every k1 steps, errors go back k2 steps from there; or one of the methods that choose.

    mean_length, tail, max_length (0: none): artbp's segments. bias_tolerance, max_k2: adaptive, whose k2 is the first
    one. memory: MB that a block's activations may take (0: as much as there is); a longer block is made in pieces.
    """

    k1: int = 64
    k2: int = 64
    kind: str = "newest"
    mean_length: float = 0.0
    tail: float = 0.0
    max_length: int = 0
    bias_tolerance: float = 0.0
    max_k2: int = 0
    memory: int = 0

    @property
    def deepest(self) -> int:
        """The largest k2 that there may be."""
        return self.max_k2 if self.kind == "adaptive" else self.k2

    def __post_init__(self) -> None:
        choice("truncation", self.kind, TRUNCATIONS)
        _at_least("k1", self.k1, 1)
        _at_least("k2", self.k2, 1)
        _at_least("memory", self.memory, 0)
        if self.kind == "artbp":
            _at_least("mean-length", self.mean_length, 1)
            _require(
                math.isfinite(self.tail) and self.tail > 2,
                f"tail {self.tail:g}: must be above 2, or the mean length would be infinite",
            )
            _require(
                self.max_length == 0 or self.max_length >= self.mean_length,
                f"max-length {self.max_length}: must be at least the mean length {self.mean_length:g}",
            )
        if self.kind == "adaptive":
            _require(
                0 < self.bias_tolerance < 1,
                f"bias-tolerance {self.bias_tolerance:g}: must be in (0, 1), a share of the gradient",
            )
            _require(self.max_k2 >= self.k2, f"max-k2 {self.max_k2}: must be at least k2 {self.k2}")
        _require(
            self.memory == 0 or (self.kind in ("newest", "artbp") and self.k2 <= self.k1),
            "memory: only a block whose errors stay within it can be made in pieces: newest with k2 up to k1, or artbp",
        )


@dataclass(frozen=True)
class ResetConfig:
    """When the state is set to zero, which is another matter than truncation."""

    policy: str = "epoch"
    every: int = 0
    after: str = ""

    def __post_init__(self) -> None:
        choice("reset", self.policy, RESETS)
        if self.policy == "every":
            _at_least("reset-every", self.every, 1)
        if self.policy == "after":
            _require(self.after != "", "reset-after: the separator text is empty")

    @property
    def separator(self) -> str:
        """The text that ends a sequence of its own; empty where the policy knows none."""
        return {"line": "\n", "after": self.after}.get(self.policy, "")


@dataclass(frozen=True)
class OptimizerConfig:
    """The rule that turns gradients into steps."""

    rule: str = "adamw"
    learning_rate: float = 6e-3
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        choice("optimizer", self.rule, OPTIMIZERS)
        _require(math.isfinite(self.learning_rate) and self.learning_rate >= 0, f"lr {self.learning_rate}: must be >= 0")
        _require(0.0 <= self.momentum < 1.0, f"momentum {self.momentum}: must be in [0, 1)")
        _require(
            self.momentum == 0.0 or self.rule in ("sgd", "rmsprop"),
            f"momentum belongs to sgd and rmsprop; {self.rule} has its own running average",
        )
        _require(
            not self.nesterov or (self.rule == "sgd" and self.momentum > 0.0),
            "nesterov needs --optimizer sgd and --momentum above 0",
        )
        _require(0.0 <= self.beta1 < 1.0 and 0.0 <= self.beta2 < 1.0, "beta1, beta2: must be in [0, 1)")
        _at_least("weight-decay", self.weight_decay, 0)
        _at_least("clip", self.clip, 0)


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves, and when training ends: exactly one of epochs, updates, minutes is given."""

    kind: str = "cosine"
    warmup: int = 0
    epochs: float | None = None
    updates: int | None = None
    minutes: float | None = None
    patience: int = 0
    eval_every: int = 0

    def __post_init__(self) -> None:
        choice("schedule", self.kind, SCHEDULES)
        _at_least("warmup", self.warmup, 0)
        _at_least("patience", self.patience, 0)
        _at_least("eval-every", self.eval_every, 0)
        given = [name for name in ("epochs", "updates", "minutes") if getattr(self, name) is not None]
        _require(len(given) == 1, f"give one of epochs, updates, minutes, not {' and '.join(given) or 'none'}")
        _at_least(given[0], getattr(self, given[0]), 0)


@dataclass(frozen=True)
class RunConfig:
    """All that decides what a run computes (the number of threads and where it is kept do not).

    once: the corpus is read a single time, and the sum of its losses is a code length. max_rollbacks: how often training
    that diverged returns to its last good state with half the learning rate. sync_every: 1, or how many updates the ranks
    that train together make on their own before their parameters are averaged.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    truncation: TruncationConfig = field(default_factory=TruncationConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig(minutes=3.0))
    streams: int = 32
    seed: int = 0
    sync_every: int = 1
    once: bool = False
    max_rollbacks: int = 5
    use_bytes: bool = False
    corpus: tuple[str, ...] = ()
    val_file: str | None = None
    val_fraction: float = 0.1

    def __post_init__(self) -> None:
        _at_least("streams", self.streams, 1)
        _at_least("sync-every", self.sync_every, 1)
        _at_least("max-rollbacks", self.max_rollbacks, 0)
        _seed(self.seed)
        _require(0.0 <= self.val_fraction < 1.0, f"val-fraction {self.val_fraction}: must be in [0, 1)")

    def to_json(self) -> dict[str, Any]:
        """A plain dictionary that from_json turns back into an equal configuration."""
        return {**asdict(self), "corpus": list(self.corpus)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RunConfig":
        """Reads what to_json wrote; raises ConfigurationError for unknown, missing or impossible settings."""
        parts = {
            "model": ModelConfig,
            "truncation": TruncationConfig,
            "reset": ResetConfig,
            "optimizer": OptimizerConfig,
            "schedule": ScheduleConfig,
        }
        try:
            known = {f.name for f in fields(cls)}
            _require(set(data) <= known, f"unknown settings {sorted(set(data) - known)}")
            built = {name: kind(**data[name]) for name, kind in parts.items()}
            return cls(**{**data, **built, "corpus": tuple(data["corpus"])})
        except (TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"configuration not understood: {error}") from None


@dataclass(frozen=True)
class SavingConfig:
    """When a run is saved, besides at its end: every so many updates or seconds (0: not)."""

    updates: int = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        _at_least("save-every", self.updates, 0)
        _at_least("save-every", self.seconds, 0)


@dataclass(frozen=True)
class DrawConfig:
    """How a character is chosen. temperature 0: the most likely; top_k 0 and top_p 1: from all characters."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        _at_least("temperature", self.temperature, 0)
        _at_least("top-k", self.top_k, 0)
        _require(0.0 < self.top_p <= 1.0, f"top-p {self.top_p}: must be in (0, 1]")
        _seed(self.seed)


@dataclass(frozen=True)
class DynamicConfig:
    """Dynamic evaluation: an update every k1 characters read; `decay` is the pull back to the trained parameters."""

    learning_rate: float = 7e-4
    decay: float = 1e-3
    k1: int = 20
    k2: int = 20

    def __post_init__(self) -> None:
        _require(math.isfinite(self.learning_rate) and self.learning_rate >= 0, f"lr {self.learning_rate}: must be >= 0")
        _require(0.0 <= self.decay <= 1.0, f"decay {self.decay}: must be in [0, 1]")
        _at_least("k1", self.k1, 1)
        _at_least("k2", self.k2, 1)
