"""The settings of the optimizer, of the learning rate's schedule and of the length of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..registry import OPTIMIZERS
from .checks import MOST_UPDATES, require
from .declare import Declared, setting
from .groups import LENGTH, OPTIMIZER
from .model import names_with

SCHEDULES = ("constant", "cosine", "plateau")
ENDS = ("epochs", "updates", "minutes")
_MINUTES = 3.0  # of a run that is given no other length


def _momentum_help() -> str:
    return f"Momentum of {names_with(OPTIMIZERS, lambda rule: rule.momentum)}."


def _nesterov_help() -> str:
    return f"Use Nesterov's momentum with {names_with(OPTIMIZERS, lambda rule: rule.nesterov)}."


def _weight_decay_default() -> str:
    own = "".join(f"{rule.weight_decay:g} for {name}, " for name, rule in OPTIMIZERS.items() if rule.weight_decay)
    return f"{own}0 for others or with --once"


@dataclass(frozen=True)
class OptimizerConfig(Declared, group=OPTIMIZER):
    """The rule that turns gradients into updates."""

    rule: str = setting("adamw", name="optimizer", choices=OPTIMIZERS, help="Optimizer.")
    learning_rate: float = setting(6e-3, name="lr", bounds=(0, 1_000), help="Learning rate.")
    momentum: float = setting(0.0, bounds=(0, 1), excluded=(1,), help=_momentum_help)
    nesterov: bool = setting(False, help=_nesterov_help)
    beta1: float = setting(0.9, bounds=(0, 1), excluded=(1,), internal=True, help="Decay of the mean of gradients.")
    beta2: float = setting(0.999, bounds=(0, 1), excluded=(1,), internal=True, help="Decay of the mean of their squares.")
    weight_decay: float = setting(
        0.0,
        bounds=(0, 1_000),
        derived=True,
        default_text=_weight_decay_default,
        help="Weight decay of matrices. Biases do not decay.",
    )
    clip: float = setting(1.0, bounds=(0, 1_000_000_000), help="Largest global norm of the gradient; 0 turns clipping off.")

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = OPTIMIZERS[self.rule]
        require(
            self.momentum == 0.0 or rule.momentum,
            f"--momentum belongs to {names_with(OPTIMIZERS, lambda r: r.momentum)}; {self.rule} has its own running average",
        )
        require(
            not self.nesterov or (rule.nesterov and self.momentum > 0.0),
            f"--nesterov needs --optimizer {names_with(OPTIMIZERS, lambda r: r.nesterov)} and --momentum above 0",
        )

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return the optimizer that the settings ask for, by default with its own weight decay."""
        decay = OPTIMIZERS[given.get("optimizer", cls.rule)].weight_decay
        asked = {name: value for name, value in given.items() if (name, value) != ("weight_decay", None)}
        return super().from_settings({"weight_decay": decay, **asked}, **more)


@dataclass(frozen=True)
class ScheduleConfig(Declared, group=LENGTH):
    """How the learning rate changes, and when training ends: exactly one of epochs, updates, minutes is given."""

    kind: str = setting(
        "cosine",
        name="schedule",
        choices=SCHEDULES,
        group=OPTIMIZER,
        help="How the learning rate changes: not at all (constant), along half a cosine down to 2 % of it at the end of the "
        "run (cosine), or by halving after 2 validations in a row without improvement (plateau).",
    )
    warmup: int = setting(
        0, bounds=(0, MOST_UPDATES), group=OPTIMIZER, help="Updates over which the learning rate rises from 0."
    )
    epochs: float | None = setting(
        None, bounds=(0, 1_000_000), help="Train for X epochs, counted from the start of the run."
    )
    updates: int | None = setting(
        None, bounds=(0, MOST_UPDATES), help="Train for N updates, counted from the start of the run; 0 only initialises."
    )
    minutes: float | None = setting(
        None,
        bounds=(0, 100_000_000),
        default_text=f"{_MINUTES:g}",
        help="Train for X minutes, counted from the start of the run. Compiling, validating and saving do not count.",
    )
    patience: int = setting(
        0,
        bounds=(0, MOST_UPDATES),
        default_text="0, never",
        help="Stop after N validations without improvement.",
    )
    eval_every: int = setting(
        0,
        bounds=(0, MOST_UPDATES),
        default_text="0, which validates up to 20 times and takes about a twentieth of the time",
        help="Validate every N updates.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [name for name in ENDS if getattr(self, name) is not None]
        require(len(given) == 1, f"give one of --epochs, --updates, --minutes, not {' and '.join(given) or 'none'}")

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return the schedule that the settings ask for, by default of 3 minutes."""
        is_open = all(given.get(name) is None for name in ENDS)
        return super().from_settings({**given, "minutes": _MINUTES} if is_open else given, **more)
