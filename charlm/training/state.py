"""The place that a run has reached: what is counted and remembered between updates."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ..tbptt.plan import Position
from ..tree import StateDict, take_count, take_number


@dataclass
class TrainerState:
    """Counters and losses of a run.

    epoch_steps: steps of an epoch. seconds, timed_chars: of training alone. chars, nats: of all updates, each loss measured
    before its update. val_nats: loss of the last validation; best_val_nats: of the best. validated_at: the update of the
    last one; validations: how many were due by then if time decides; worse: how many in a row were no better. sampled:
    characters that each reads, 0 until that is decided. rollbacks: returns from divergence. joined: the update before
    which the tables joined; -1: they have not. seconds_per_update: of the
    newest updates of this process, 0 until they are timed; not saved.
    """

    epoch_steps: int
    at: Position = field(default_factory=Position)
    seconds: float = 0.0
    timed_chars: int = 0
    chars: int = 0
    nats: float = 0.0
    val_nats: float = math.nan
    best_val_nats: float = math.inf
    validations: int = 0
    worse: int = 0
    validated_at: int = -1
    rollbacks: int = 0
    sampled: int = 0
    joined: int = -1
    seconds_per_update: float = 0.0

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self.at.updates

    @property
    def epochs(self) -> float:
        """Epochs made so far."""
        return self.at.epoch + self.at.step / self.epoch_steps

    @property
    def chars_per_second(self) -> float:
        """Characters trained per second, without start-up, compilation, validation and saving."""
        return self.timed_chars / self.seconds if self.seconds > 0 else 0.0

    def trained(self, chars: list[int], nats: list[float], seconds: float | None, after: Position) -> None:
        """Count updates: the characters and the loss of each, the seconds of all (None: not timed), the place after them."""
        for n, loss in zip(chars, nats, strict=True):
            self.chars, self.nats = self.chars + n, self.nats + loss
        if seconds is not None:
            self.seconds += seconds
            self.timed_chars += sum(chars)
            self.seconds_per_update = seconds / len(chars)
        self.at = after

    def place(self) -> dict[str, Any]:
        """Return how far the run is, as records and events have it."""
        return {"updates": self.updates, "epochs": self.epochs, "chars": self.chars, "seconds": self.seconds}

    def state_dict(self) -> StateDict:
        """Return every number by its name; None for one that is not known yet."""
        return {
            **asdict(self.at),
            "seconds": self.seconds,
            "timed_chars": self.timed_chars,
            "chars": self.chars,
            "nats": self.nats,
            "val_nats": finite_or_none(self.val_nats),
            "best_val_nats": finite_or_none(self.best_val_nats),
            "validations": self.validations,
            "worse": self.worse,
            "validated_at": self.validated_at,
            "rollbacks": self.rollbacks,
            "sampled": self.sampled,
            "joined": self.joined,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.at = Position(
            updates=take_count(state, "updates"),
            epoch=take_count(state, "epoch"),
            step=take_count(state, "step", most=self.epoch_steps - 1),
            epoch_base=take_count(state, "epoch_base"),
        )
        self.seconds, self.timed_chars = take_number(state, "seconds"), take_count(state, "timed_chars")
        self.chars, self.nats = take_count(state, "chars"), take_number(state, "nats")
        self.val_nats = take_number(state, "val_nats", missing=math.nan)
        self.best_val_nats = take_number(state, "best_val_nats", missing=math.inf)
        self.validations, self.worse = take_count(state, "validations"), take_count(state, "worse")
        self.validated_at = take_count(state, "validated_at", least=-1)
        self.rollbacks, self.sampled = take_count(state, "rollbacks"), take_count(state, "sampled")
        self.joined = take_count({"joined": -1, **state}, "joined", least=-1)  # runs without tables may lack it


def finite_or_none(number: float) -> float | None:
    """Return a number as JSON can hold it."""
    return number if math.isfinite(number) else None
