"""Every setting of a run, as frozen dataclasses that are validated where they are built. Standard library only."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import ConfigurationError
from ..registry import CELLS, OPTIMIZERS
from .checks import (
    LARGEST_SEED,
    MOST_CHARACTERS,
    MOST_STEPS,
    MOST_STREAMS,
    MOST_UPDATES,
    between,
    choice,
    require,
    whole,
)
from .declare import Declared
from .truncation import TruncationConfig
from .versions import VERSION, current

RESETS = ("never", "epoch", "block", "line", "every", "after")
SCHEDULES = ("constant", "cosine", "plateau")


def activations() -> tuple[str, ...]:
    """Return the activations that some cell can have."""
    return tuple(dict.fromkeys(name for cell in CELLS.values() for name in cell.activations))


def _those(registry: Mapping[str, Any], has: Callable[[Any], Any]) -> str:
    """Return the names in a registry whose definition has a property, for a message."""
    return " and ".join(name for name in registry if has(registry[name]))


@dataclass(frozen=True)
class ModelConfig(Declared):
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
        super().__post_init__()
        cell = CELLS[self.cell]
        choice("activation", self.activation, activations())
        require(
            self.activation in cell.activations,
            f"--activation {self.activation} belongs to the "
            f"{_those(CELLS, lambda c: self.activation in c.activations)} cell; {self.cell} has its own",
        )
        whole("hidden", self.hidden, 1, 65_536)
        whole("layers", self.layers, 1, 1_000)
        between("dropout", self.dropout, 0, 1, excluded=(1,))
        if self.forget_bias is not None:
            require(
                cell.keep_gate is not None,
                f"--forget-bias belongs to {_those(CELLS, lambda c: c.keep_gate is not None)}: in the {self.cell} cell no "
                "gate keeps the state",
            )
            between("forget-bias", self.forget_bias, -100, 100)


@dataclass(frozen=True)
class ResetConfig(Declared):
    """When the state is set to zero, which is another matter than truncation."""

    policy: str = "epoch"
    every: int = 0
    after: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("reset", self.policy, RESETS)
        if self.policy == "every":
            whole("reset-every", self.every, 1, MOST_STEPS)
        if self.policy == "after":
            require(self.after != "", "--reset-after: the separator text is empty")

    @property
    def separator(self) -> str:
        """The text that ends a sequence of its own; empty where the policy knows none."""
        return {"line": "\n", "after": self.after}.get(self.policy, "")


@dataclass(frozen=True)
class OptimizerConfig(Declared):
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
        super().__post_init__()
        rule = OPTIMIZERS[self.rule]
        between("lr", self.learning_rate, 0, 1_000)
        between("momentum", self.momentum, 0, 1, excluded=(1,))
        require(
            self.momentum == 0.0 or rule.momentum,
            f"--momentum belongs to {_those(OPTIMIZERS, lambda r: r.momentum)}; {self.rule} has its own running average",
        )
        require(
            not self.nesterov or (rule.nesterov and self.momentum > 0.0),
            f"--nesterov needs --optimizer {_those(OPTIMIZERS, lambda r: r.nesterov)} and --momentum above 0",
        )
        between("beta1", self.beta1, 0, 1, excluded=(1,))
        between("beta2", self.beta2, 0, 1, excluded=(1,))
        between("weight-decay", self.weight_decay, 0, 1_000)
        between("clip", self.clip, 0, 1_000_000_000)


@dataclass(frozen=True)
class ScheduleConfig(Declared):
    """How the learning rate moves, and when training ends: exactly one of epochs, updates, minutes is given."""

    kind: str = "cosine"
    warmup: int = 0
    epochs: float | None = None
    updates: int | None = None
    minutes: float | None = None
    patience: int = 0
    eval_every: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("schedule", self.kind, SCHEDULES)
        whole("warmup", self.warmup, 0, MOST_UPDATES)
        whole("patience", self.patience, 0, MOST_UPDATES)
        whole("eval-every", self.eval_every, 0, MOST_UPDATES)
        ends = {"epochs": 1_000_000, "updates": MOST_UPDATES, "minutes": 100_000_000}
        given = [name for name in ends if getattr(self, name) is not None]
        require(len(given) == 1, f"give one of --epochs, --updates, --minutes, not {' and '.join(given) or 'none'}")
        (whole if given[0] == "updates" else between)(given[0], getattr(self, given[0]), 0, ends[given[0]])


@dataclass(frozen=True)
class RunConfig(Declared):
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
        super().__post_init__()
        whole("streams", self.streams, 1, MOST_STREAMS)
        whole("sync-every", self.sync_every, 1, MOST_UPDATES)
        whole("max-rollbacks", self.max_rollbacks, 0, 1_000)
        whole("seed", self.seed, 0, LARGEST_SEED)
        between("val-fraction", self.val_fraction, 0, 1, excluded=(1,))

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary that from_json turns back into an equal configuration."""
        return {"version": VERSION, **asdict(self), "corpus": list(self.corpus)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunConfig":
        """Read what to_json wrote, of this version or an earlier one.

        Raises ConfigurationError for unknown, missing or impossible settings.
        """
        parts = {
            "model": ModelConfig,
            "truncation": TruncationConfig,
            "reset": ResetConfig,
            "optimizer": OptimizerConfig,
            "schedule": ScheduleConfig,
        }
        try:
            data = current(data)
            known = {f.name for f in fields(cls)}
            require(set(data) <= known, f"unknown settings {sorted(set(data) - known)}")
            built = {name: kind(**data[name]) for name, kind in parts.items()}
            corpus = data["corpus"]
            require(
                isinstance(corpus, list) and all(isinstance(name, str) for name in corpus), "corpus: must be a list of texts"
            )
            return cls(**{**data, **built, "corpus": tuple(corpus)})
        except (TypeError, KeyError, AttributeError):
            raise ConfigurationError("the settings of a run are missing or of another kind") from None


@dataclass(frozen=True)
class SavingConfig(Declared):
    """When a run is saved, besides at its end: every so many updates or seconds (0: not)."""

    updates: int = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        whole("save-every", self.updates, 0, MOST_UPDATES)
        between("save-every", self.seconds, 0, 1_000_000_000)


@dataclass(frozen=True)
class DrawConfig(Declared):
    """How a character is chosen. temperature 0 (or below 1e-6): the most likely; top_k 0 and top_p 1: from all characters.

    top_p is a share of the probability that top_k leaves.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        between("temperature", self.temperature, 0, 1_000)
        whole("top-k", self.top_k, 0, MOST_CHARACTERS)
        between("top-p", self.top_p, 0, 1, excluded=(0,))
        whole("seed", self.seed, 0, LARGEST_SEED)


@dataclass(frozen=True)
class DynamicConfig(Declared):
    """Dynamic evaluation: an update every k1 characters read; `decay` is the pull back to the trained parameters."""

    learning_rate: float = 7e-4
    decay: float = 1e-3
    k1: int = 20
    k2: int = 20

    def __post_init__(self) -> None:
        between("lr", self.learning_rate, 0, 1_000)
        between("decay", self.decay, 0, 1)
        whole("k1", self.k1, 1, MOST_STEPS)
        whole("k2", self.k2, 1, MOST_STEPS)
