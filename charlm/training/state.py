"""Where a run stands: what is counted and remembered between updates, and kept in checkpoints."""

import math
from dataclasses import dataclass, field
from typing import Any

from ..tbptt.plan import Position

_COUNTS = ("updates", "epoch", "step", "epoch_base", "timed_chars", "rollbacks")


@dataclass
class TrainerState:
    """seconds, timed_chars: of training alone. chars, nats: of all updates, each before its update.

    val_nats: of the last validation; best_val_nats: of the best. validated_at: the update of the last one; validations:
    how many were due by then where time decides; worse: how many in a row were no better. sampled: characters that each
    reads, 0 until that is decided. rollbacks: returns from divergence.
    """

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

    @property
    def chars_per_second(self) -> float:
        """Characters trained a second: training alone, without start-up, compilation, validation and saving."""
        return self.timed_chars / self.seconds if self.seconds > 0 else 0.0

    def trained(self, chars: list[int], nats: list[float], seconds: float | None) -> None:
        """Takes note of updates: the characters and the loss of each, and the time of all where it is to count."""
        for n, loss in zip(chars, nats, strict=True):
            self.chars, self.nats = self.chars + n, self.nats + loss
        if seconds is not None:
            self.seconds += seconds
            self.timed_chars += sum(chars)

    def to_json(self) -> dict[str, Any]:
        """What from_json turns back, but for what a run's results have."""
        return {
            "epoch": self.at.epoch,
            "step": self.at.step,
            "epoch_base": self.at.epoch_base,
            "timed_chars": self.timed_chars,
            "coded": [self.chars, self.nats],
            "rollbacks": self.rollbacks,
            "validations": [self.validations, self.worse, self.validated_at],
            "sampled": self.sampled,
        }

    @classmethod
    def from_json(cls, p: dict[str, Any], steps: int) -> "TrainerState":
        """From to_json's and the results' values together; raises KeyError, TypeError or ValueError for impossible ones.

        steps: of an epoch.
        """
        wrong = [name for name in _COUNTS if not _is_count(p[name])]
        chars, nats = p["coded"]
        counts = chars, p.get("sampled", 0)
        if wrong or p["step"] >= steps or not all(map(_is_count, counts)) or not math.isfinite(nats):
            raise ValueError(", ".join(wrong) or "step or coded")
        validations, worse, validated_at = map(int, p["validations"])
        return cls(
            Position(p["updates"], p["epoch"], p["step"], p["epoch_base"]),
            float(p["seconds"]),
            p["timed_chars"],
            chars,
            nats,
            math.nan if p["val_nats"] is None else float(p["val_nats"]),
            math.inf if p["best_val_nats"] is None else float(p["best_val_nats"]),
            validations,
            worse,
            validated_at,
            p["rollbacks"],
            p.get("sampled", 0),
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 62
