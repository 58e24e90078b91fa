"""The settings of the optimizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..registry import OPTIMIZERS
from .checks import require
from .declare import Declared, setting
from .groups import OPTIMIZER


def _momentum_help() -> str:
    return f"Momentum of {OPTIMIZERS.names_with(lambda rule: rule.momentum)}."


def _nesterov_help() -> str:
    return f"Use Nesterov's momentum with {OPTIMIZERS.names_with(lambda rule: rule.nesterov)}."


def _weight_decay_default() -> str:
    own = "".join(f"{rule.weight_decay:g} for {name}, " for name, rule in OPTIMIZERS.items() if rule.weight_decay)
    return f"{own}0 for others"


@dataclass(frozen=True)
class OptimizerConfig(Declared, group=OPTIMIZER):
    """The rule that turns gradients into updates."""

    rule: str = setting("adamw", name="optimizer", choices=OPTIMIZERS, help="Optimizer.")
    learning_rate: float = setting(6e-3, name="lr", bounds=(0, 1_000), once=4e-3, help="Learning rate.")
    momentum: float = setting(0.0, bounds=(0, 1), excluded=(1,), help=_momentum_help)
    nesterov: bool = setting(False, help=_nesterov_help)
    beta1: float = setting(0.9, bounds=(0, 1), excluded=(1,), internal=True, help="Decay of the mean of gradients.")
    beta2: float = setting(0.999, bounds=(0, 1), excluded=(1,), internal=True, help="Decay of the mean of their squares.")
    weight_decay: float = setting(
        0.0,
        bounds=(0, 1_000),
        derived=True,
        default_text=_weight_decay_default,
        once=0.0,
        help="Weight decay of matrices. Biases do not decay.",
    )
    clip: float = setting(1.0, bounds=(0, 1_000_000_000), help="Largest global norm of the gradient; 0 turns clipping off.")

    def __post_init__(self) -> None:
        super().__post_init__()
        rule = OPTIMIZERS[self.rule]
        require(
            self.momentum == 0.0 or rule.momentum,
            f"--momentum belongs to {OPTIMIZERS.names_with(lambda r: r.momentum)}; {self.rule} has its own running average",
        )
        require(
            not self.nesterov or (rule.nesterov and self.momentum > 0.0),
            f"--nesterov needs --optimizer {OPTIMIZERS.names_with(lambda r: r.nesterov)} and --momentum above 0",
        )

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return the optimizer that the settings ask for, by default with its own weight decay."""
        decay = OPTIMIZERS[given.get("optimizer", cls.rule)].weight_decay
        asked = {name: value for name, value in given.items() if (name, value) != ("weight_decay", None)}
        return super().from_settings({"weight_decay": decay, **asked}, **more)
