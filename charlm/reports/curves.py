"""The curves of a run, from its metrics.jsonl."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..files import parse_json
from ..storage.run_directory import METRICS
from ..units import to_bits

AXES = {"updates": "updates", "chars": "characters", "seconds": "seconds of training"}


@dataclass(frozen=True)
class Curves:
    """The records of metrics.jsonl.

    train: one record for each stretch of updates, with train_nats, learning_rate, gradient_norm and clipped. validation: one
    for each validation, with val_nats and sample. Both have updates, epochs, chars and seconds.
    """

    run: Path
    train: list[dict[str, Any]]
    validation: list[dict[str, Any]]

    def column(self, part: str, name: str) -> list[float]:
        """Return one value of every record. part: "train" or "validation"."""
        return [line[name] for line in getattr(self, part)]

    def bits(self, part: str) -> list[float]:
        """Return the bits per character of every record. part: "train" or "validation"."""
        return [to_bits(nats) for nats in self.column(part, "train_nats" if part == "train" else "val_nats")]


def read_curves(run: Path) -> Curves:
    """Return the curves of a run directory, or of the directory of a checkpoint file. Raise CheckpointError."""
    directory = run if run.is_dir() else run.parent
    path = directory / METRICS
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: not a regular file")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}; is this a run's directory?") from None
    records = [record for line in lines if (record := _record(line))]
    found = Curves(directory, *([r for r in records if key in r] for key in ("train_nats", "val_nats")))
    if not found.train and not found.validation:
        raise CheckpointError(f"{path}: holds nothing to draw yet; train for longer")
    return found


_PLACE = ("updates", "epochs", "chars", "seconds")
_TRAIN = (*_PLACE, "train_nats", "learning_rate", "gradient_norm", "clipped")
_VALIDATION = (*_PLACE, "val_nats")


def _record(line: str) -> dict[str, Any]:
    """Return the record in a line, empty if the line is incomplete or not a record of a curve."""
    try:
        found = parse_json(line)
        numbers = [found[name] for name in (_TRAIN if "train_nats" in found else _VALIDATION)]
        sound = all(math.isfinite(number) for number in numbers) and isinstance(found.get("sample", ""), str)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return {}
    return {"sample": "", **found} if sound else {}
