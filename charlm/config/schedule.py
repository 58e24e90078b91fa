"""The settings of the learning rate's schedule and of the length of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .checks import MOST_UPDATES, require
from .declare import Declared, setting
from .groups import LENGTH, OPTIMIZER

SCHEDULES = ("constant", "cosine", "plateau")
ENDS = ("epochs", "updates", "minutes")
_MINUTES = 3.0  # of a run that is given no other length


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
        None, bounds=(0, 1_000_000), once=1, help="Train for X epochs, counted from the start of the run."
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
    direct_epochs: float = setting(
        2.0,
        bounds=(0, 1_000_000),
        help="The tables of --direct-order join the network for the last X epochs of the run, and the schedule begins "
        "anew; in a shorter run they are there from the start.",
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
