"""metrics.jsonl: one line for each stretch of updates, for each validation and for each choice of k2."""

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..distributed.ranks import Ranks
from ..events import Alarm
from ..files import write_atomically
from ..kernels.buffers import Plan, UpdateStats
from ..nn.network import Network
from ..storage.run_directory import METRICS
from ..tbptt.method import TruncationMethod
from ..tree import StateDict, load_state, take, take_count, take_list, take_number
from .diagnostics import Diagnostics, layer_norms, saturation
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


class MetricsLog:
    """Writes the lines of one run, and keeps what the next one will sum up."""

    def __init__(self, run: Path, chars_per_update: float, clip: float, diagnostics: Diagnostics, ranks: Ranks) -> None:
        """diagnostics: looks at every line. ranks: of which the first writes."""
        self._path, self._clip, self._diagnostics, self._ranks = run / METRICS, clip, diagnostics, ranks
        self._every = max(1, int(_LOG_CHARS / chars_per_update))
        self._tally = _Tally()
        self._norms: list[float] = []  # of the gradient in each of these updates
        self._complete_nats: float | None = None
        self._unvalidated = _Loss()  # of the updates since the last validation
        self.longest = 0  # block of the run so far, in steps
        self._lines = 0  # in the file
        self._waiting: list[str] = []  # lines that could not be written

    @property
    def updates_left(self) -> int:
        """Updates until the line is full. A plan is to end there, since the line says what gradients and gates then are."""
        return self._every - self._tally.updates

    @property
    def train_nats(self) -> float:
        """Mean loss of the last full line, or of what there is of the first, per character."""
        if self._complete_nats is not None:
            return self._complete_nats
        return self._tally.mean

    @property
    def recent_nats(self) -> float:
        """Mean loss per character of the updates since the last validation."""
        return self._unvalidated.mean

    def validated(self) -> None:
        """Begins anew with what `recent_nats` sums up."""
        self._unvalidated = _Loss()

    def append(self, record: dict[str, Any]) -> None:
        """Writes a line, and those that could not be written before; what cannot be written now waits for the next."""
        if self._ranks.first:
            self._waiting.append(json.dumps(record) + "\n")
            self.flush()

    def flush(self, to_disk: bool = False) -> None:
        """Tries to write the lines that wait: all of them or, with the file as it was, none. to_disk: forces them there."""
        if not self._ranks.first or (not self._waiting and not to_disk):
            return
        try:
            with self._path.open("ab") as file:
                size = file.tell()
                try:
                    file.write("".join(self._waiting).encode())
                    file.flush()
                except OSError:
                    file.truncate(size)
                    raise
                if to_disk:
                    os.fsync(file.fileno())
        except OSError:
            return
        self._lines, self._waiting = self._lines + len(self._waiting), []

    def add(
        self,
        plan: Plan,
        stats: UpdateStats,
        chars: list[int],
        nats: list[float],
        network: Network,
        truncation: TruncationMethod,
        place: dict[str, Any],
    ) -> list[Alarm]:
        """Takes a plan's updates into account, the characters and loss of each given; a line that is full is written.

        place: where the run is after the plan. Returns what is wrong by it.
        """
        tally, alarms = self._tally, []
        for u, (loss, n) in enumerate(zip(nats, chars, strict=True)):
            tally.add(loss, n)
            self._unvalidated.add(loss, n)
            tally.updates += 1
            tally.clipped += int(0 < self._clip < stats.norm[u])
            self._norms.append(float(stats.norm[u]))
            tally.steps += int(plan.steps[u])
            tally.longest = max(tally.longest, int(plan.steps[u]))
            if tally.updates == self._every:
                alarms = self._write(tally, plan, stats, u, network, truncation, place)
                tally, self._norms = _Tally(), []
        self._tally, self.longest = tally, max(self.longest, int(plan.steps.max()))
        return alarms

    def _write(
        self,
        tally: _Tally,
        plan: Plan,
        stats: UpdateStats,
        u: int,
        network: Network,
        truncation: TruncationMethod,
        place: dict[str, Any],
    ) -> list[Alarm]:
        nats, number = tally.mean, int(plan.number[u])
        layers, gates = layer_norms(network.gradients), self._saturation(network)
        self._complete_nats = nats
        self.append(
            {
                **place,
                "train_nats": nats,
                "learning_rate": float(plan.learning_rate[u]),
                "gradient_norm": float(stats.norm[u]),
                "clipped": tally.clipped / tally.updates,
                "gradient_norms": layers,
                "saturated": gates,
                **truncation.realised(tally.steps, tally.updates, tally.longest),
            }
        )
        return self._diagnostics.look(number, nats, np.array(self._norms), layers, gates)

    def _saturation(self, network: Network) -> list[list[float]]:
        """Of all streams, wherever they are."""
        own = saturation(network.gate_values())
        return self._ranks.table(own.reshape(-1)).mean(0).reshape(own.shape).tolist()

    # --- going on where a checkpoint stopped --------------------------------------------------------------------------

    def state_dict(self) -> StateDict:
        """Return what the next lines depend on, and how many lines the file has."""
        return {
            "tally": self._tally.state_dict(),
            "norms": np.array(self._norms),
            "unvalidated": self._unvalidated.state_dict(),
            "complete_nats": self._complete_nats,
            "longest": self.longest,
            "lines": self._lines,
            "waiting": list(self._waiting),
        }

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        load_state({"tally": self._tally, "unvalidated": self._unvalidated}, state)
        self._norms = take(state, "norms", "float64 (n,)", _are_numbers).tolist()
        self._complete_nats = finite_or_none(take_number(state, "complete_nats", missing=math.nan))
        self.longest, self._lines = take_count(state, "longest"), take_count(state, "lines")
        self._waiting = take_list(state, "waiting", str, "lines")

    def remove_later_lines(self) -> None:
        """Remove the lines that were written after the state that was loaded: they will be written again."""
        self._ranks.on_first(self._remove_later_lines)

    def _remove_later_lines(self) -> None:
        if self._path.exists():
            kept = self._path.read_bytes().split(b"\n")[:-1][: self._lines]
            self._lines = len(kept)
            write_atomically(self._path, lambda file: file.write(b"".join(line + b"\n" for line in kept)))
        else:
            self._lines = 0


def _are_numbers(found: Any) -> bool:
    return isinstance(found, np.ndarray) and found.dtype == np.float64 and found.ndim == 1 and bool(np.isfinite(found).all())
