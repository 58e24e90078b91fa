"""Losses, norms and clipping, summed up in one line of metrics.jsonl for each stretch of updates."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..events import Alarm
from ..tree import StateDict, load_state, take, take_count, take_number
from .diagnostics import Diagnostics, layer_norms, saturation
from .listener import Listener, Stretch
from .metrics_file import MetricsFile
from .records import TrainingRecord
from .run import Run
from .state import finite_or_none

_LOG_CHARS = 1 << 16  # characters that one line sums up


@dataclass
class _Loss:
    """A sum of losses."""

    nats: float = 0.0
    chars: int = 0

    @property
    def mean(self) -> float:
        """The loss per character; NaN without any."""
        return self.nats / self.chars if self.chars else math.nan

    def add(self, nats: float, chars: int) -> None:
        """Add the loss of some characters."""
        self.nats, self.chars = self.nats + nats, self.chars + chars

    def state_dict(self) -> StateDict:
        """Return the sums."""
        return asdict(self)

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        self.nats, self.chars = take_number(state, "nats"), take_count(state, "chars")


@dataclass
class _Tally(_Loss):
    """Sums since the last line. longest: block, in steps."""

    steps: int = 0
    updates: int = 0
    clipped: int = 0
    longest: int = 0

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        super().load_state_dict(state)
        self.steps, self.updates = take_count(state, "steps"), take_count(state, "updates")
        self.clipped, self.longest = take_count(state, "clipped"), take_count(state, "longest")


class MetricsLog(Listener):
    """Sums up updates, writes a line when enough characters were read, and has the diagnostics look at it.

    longest: block of the run so far, in steps.
    """

    def __init__(self, run: Run, file: MetricsFile, diagnostics: Diagnostics) -> None:
        self._run, self._file, self._diagnostics = run, file, diagnostics
        self._clip = run.config.optimizer.clip
        self._every = max(1, int(_LOG_CHARS / run.text.chars_per_update))  # updates that a line sums up
        self._tally = _Tally()
        self._norms: list[float] = []  # of the gradient in each of these updates
        self._complete_nats: float | None = None
        self._unvalidated = _Loss()  # of the updates since the last validation
        self.longest = 0

    def next_stop(self, updates: int) -> int:
        """Return the update that fills the line, which says what gradients and gates are then."""
        return updates + self._every - self._tally.updates

    @property
    def train_nats(self) -> float:
        """Mean loss per character of the last full line, or of the first one so far."""
        return self._tally.mean if self._complete_nats is None else self._complete_nats

    @property
    def recent_nats(self) -> float:
        """Mean loss per character of the updates since the last validation."""
        return self._unvalidated.mean

    def validated(self) -> None:
        """Start a new sum for `recent_nats`."""
        self._unvalidated = _Loss()

    def account(self, stretch: Stretch) -> Iterable[Alarm]:
        """Sum up updates and write the line that they fill. Return new warnings about it."""
        tally, steps = self._tally, stretch.plan.steps
        for loss, n in zip(stretch.nats.tolist(), stretch.chars.tolist(), strict=True):
            tally.add(loss, n)
            self._unvalidated.add(loss, n)
        norms = stretch.stats.norm
        self._norms += norms.tolist()
        tally.updates += len(norms)
        tally.clipped += int(((norms > self._clip) & (self._clip > 0)).sum())
        tally.steps += int(steps.sum())
        longest = int(steps.max())
        tally.longest, self.longest = max(tally.longest, longest), max(self.longest, longest)
        return self._write(stretch) if tally.updates == self._every else ()

    def _write(self, stretch: Stretch) -> list[Alarm]:
        """Write the line and start the next one. The stretch ends with the line, see next_stop."""
        network, tally, norms = self._run.network, self._tally, self._norms
        self._tally, self._norms = _Tally(), []
        self._complete_nats = tally.mean
        layers, gates = layer_norms(network.gradients), self._saturation()
        record = TrainingRecord(
            **self._run.state.place(),
            train_nats=tally.mean,
            learning_rate=float(stretch.plan.learning_rate[-1]),
            gradient_norm=norms[-1],
            clipped=tally.clipped / tally.updates,
            gradient_norms=layers,
            saturated=gates,
            realised=self._run.text.truncation.realised(tally.steps, tally.updates, tally.longest),
        )
        self._file.append(record)
        return self._diagnostics.look(record.updates, tally.mean, np.array(norms), layers, gates)

    def _saturation(self) -> list[list[float]]:
        """Return the shares over the streams of all ranks."""
        own = saturation(self._run.network.gate_values())
        return self._run.ranks.table(own.reshape(-1)).mean(0).reshape(own.shape).tolist()

    # --- going on where a checkpoint stopped --------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """Return what the next lines depend on."""
        return {
            "tally": self._tally.state_dict(),
            "norms": np.array(self._norms),
            "unvalidated": self._unvalidated.state_dict(),
            "complete_nats": self._complete_nats,
            "longest": self.longest,
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        load_state({"tally": self._tally, "unvalidated": self._unvalidated}, state)
        self._norms = take(state, "norms", "float64 (n,)", _are_numbers).tolist()
        self._complete_nats = finite_or_none(take_number(state, "complete_nats", missing=math.nan))
        self.longest = take_count(state, "longest")

    def restored(self) -> None:
        """Remove the lines that were written after the state that was loaded."""
        self._file.remove_later_lines()


def _are_numbers(found: Any) -> bool:
    return isinstance(found, np.ndarray) and found.dtype == np.float64 and found.ndim == 1 and bool(np.isfinite(found).all())
