"""Every setting of a run, as frozen dataclasses that are validated where they are built. Standard library only."""

from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from ..errors import ConfigurationError

GATES = {"rnn": 1, "lstm": 4, "gru": 3}  # of a cell, each with its rows in the weights
CELLS = tuple(GATES)
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
    _require(value in allowed, f"--{name} {value}: choose from {', '.join(allowed)}")


def between(name: str, value: Any, low: int, high: int, excluded: tuple[int, ...] = ()) -> None:
    """Raises ConfigurationError for what is no number in [low, high], or is an end of it that is excluded.

    NaN is outside. There is one form of words for all numbers: name is that of the option, without its dashes.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    but = f", {' and '.join(map(str, excluded))} excluded" if excluded else ""
    inside = number and low <= value <= high and value not in excluded
    _require(inside, f"--{name} {value}: must be between {low:,} and {high:,}{but}")


def whole(name: str, value: Any, low: int, high: int) -> None:
    """Raises ConfigurationError as `between` does, and for a number that is not whole."""
    between(name, value, low, high)
    _require(isinstance(value, Integral), f"--{name} {value}: must be a whole number between {low:,} and {high:,}")


# Bounds that several settings have. They only keep numbers where arithmetic is sound; memory is a matter of its own.
MOST_STEPS = 1_000_000_000  # of a block, a window, a segment, between resets
MOST_UPDATES = 1_000_000_000_000
LARGEST_SEED = 2**63 - 1
MOST_CHARACTERS = 0x110000  # that there are in Unicode
MOST_STREAMS = 1_048_576


@dataclass(frozen=True)
class _Checked:
    """A base that refuses texts and flags of another type, which may come from a file or a caller."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, name = getattr(self, each.name), each.name.replace("_", "-")
            if each.type is str or (each.type == str | None and value is not None):
                _require(isinstance(value, str), f"--{name} {value}: must be a text")
            if each.type is bool:
                _require(isinstance(value, bool), f"--{name} {value}: must be true or false")


@dataclass(frozen=True)
class ModelConfig(_Checked):
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
        choice("cell", self.cell, CELLS)
        choice("activation", self.activation, ACTIVATIONS)
        _require(
            self.activation == "tanh" or self.cell == "rnn",
            f"--activation {self.activation} belongs to the rnn cell; {self.cell} has its own",
        )
        whole("hidden", self.hidden, 1, 65_536)
        whole("layers", self.layers, 1, 1_000)
        between("dropout", self.dropout, 0, 1, excluded=(1,))
        if self.forget_bias is not None:
            _require(self.cell != "rnn", "--forget-bias belongs to lstm and gru: in the rnn cell no gate keeps the state")
            between("forget-bias", self.forget_bias, -100, 100)


@dataclass(frozen=True)
class TruncationConfig(_Checked):
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
        super().__post_init__()
        choice("truncation", self.kind, TRUNCATIONS)
        whole("k1", self.k1, 1, MOST_STEPS)
        whole("k2", self.k2, 1, MOST_STEPS)
        whole("memory", self.memory, 0, 1_000_000_000)
        if self.kind == "artbp":
            between("mean-length", self.mean_length, 1, MOST_STEPS)
            between("tail", self.tail, 2, 1_000_000_000, excluded=(2,))  # at 2 the mean length would be infinite
            whole("max-length", self.max_length, 0, MOST_STEPS)
            _require(
                self.max_length == 0 or self.max_length >= self.mean_length,
                f"--max-length {self.max_length}: must be at least the mean length {self.mean_length:g}",
            )
        if self.kind == "adaptive":
            between("bias-tolerance", self.bias_tolerance, 0, 1, excluded=(0, 1))
            whole("max-k2", self.max_k2, 1, MOST_STEPS)
            _require(self.max_k2 >= self.k2, f"--max-k2 {self.max_k2}: must be at least k2 {self.k2}")
        _require(
            self.memory == 0 or (self.kind in ("newest", "artbp") and self.k2 <= self.k1),
            "--memory: only a block whose errors stay within it can be made in pieces: newest with k2 up to k1, or artbp",
        )


@dataclass(frozen=True)
class ResetConfig(_Checked):
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
            _require(self.after != "", "--reset-after: the separator text is empty")

    @property
    def separator(self) -> str:
        """The text that ends a sequence of its own; empty where the policy knows none."""
        return {"line": "\n", "after": self.after}.get(self.policy, "")


@dataclass(frozen=True)
class OptimizerConfig(_Checked):
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
        choice("optimizer", self.rule, OPTIMIZERS)
        between("lr", self.learning_rate, 0, 1_000)
        between("momentum", self.momentum, 0, 1, excluded=(1,))
        _require(
            self.momentum == 0.0 or self.rule in ("sgd", "rmsprop"),
            f"--momentum belongs to sgd and rmsprop; {self.rule} has its own running average",
        )
        _require(
            not self.nesterov or (self.rule == "sgd" and self.momentum > 0.0),
            "--nesterov needs --optimizer sgd and --momentum above 0",
        )
        between("beta1", self.beta1, 0, 1, excluded=(1,))
        between("beta2", self.beta2, 0, 1, excluded=(1,))
        between("weight-decay", self.weight_decay, 0, 1_000)
        between("clip", self.clip, 0, 1_000_000_000)


@dataclass(frozen=True)
class ScheduleConfig(_Checked):
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
        _require(len(given) == 1, f"give one of --epochs, --updates, --minutes, not {' and '.join(given) or 'none'}")
        (whole if given[0] == "updates" else between)(given[0], getattr(self, given[0]), 0, ends[given[0]])


@dataclass(frozen=True)
class RunConfig(_Checked):
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
            corpus = data["corpus"]
            _require(
                isinstance(corpus, list) and all(isinstance(name, str) for name in corpus), "corpus: must be a list of texts"
            )
            return cls(**{**data, **built, "corpus": tuple(corpus)})
        except (TypeError, KeyError, AttributeError):
            raise ConfigurationError("the settings of a run are missing or of another kind") from None


@dataclass(frozen=True)
class SavingConfig(_Checked):
    """When a run is saved, besides at its end: every so many updates or seconds (0: not)."""

    updates: int = 0
    seconds: float = 60.0

    def __post_init__(self) -> None:
        whole("save-every", self.updates, 0, MOST_UPDATES)
        between("save-every", self.seconds, 0, 1_000_000_000)


@dataclass(frozen=True)
class DrawConfig(_Checked):
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
class DynamicConfig(_Checked):
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
