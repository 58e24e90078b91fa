"""What is kept of a run: its checkpoints, written when they are due or as soon as that is possible, and read back."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..config.run import RunConfig, SavingConfig
from ..corpus.corpus import Corpus
from ..distributed.ranks import Ranks
from ..errors import CheckpointError
from ..events import Alarm
from ..files import write_atomically
from ..nn.network import Network
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..nn.schedule import Schedule
from ..storage import checkpoint
from ..storage.checkpoint import Checkpoint, require_finite
from ..storage.run_directory import BEST, CONFIG, LAST
from ..tbptt.method import TruncationMethod
from ..tbptt.streams import Streams
from .metrics_log import MetricsLog
from .state import TrainerState


@dataclass(frozen=True)
class Parts:
    """All that a run consists of and that has a memory of its own."""

    config: RunConfig
    corpus: Corpus
    streams: Streams
    parameters: Parameters
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    truncation: TruncationMethod
    metrics_log: MetricsLog
    ranks: Ranks


class Checkpointer:
    """Writes the checkpoints of one run, and brings its parts to where one of them was written."""

    def __init__(self, run: Path, saving: SavingConfig, parts: Parts) -> None:
        self._run, self._saving, self._parts = run, saving, parts
        self.dirty = True  # whether something happened since last.npz was written
        self.failing = False  # whether the last attempt to write something failed
        self._last = time.monotonic()

    def begin(self) -> None:
        """From here on time is counted to the next save."""
        self._last = time.monotonic()

    def due(self, updates: int) -> bool:
        """Whether last.npz is to be written."""
        if self._saving.updates:
            return updates % self._saving.updates == 0
        return self._saving.seconds > 0 and time.monotonic() - self._last >= self._saving.seconds

    def attempt(self, updates: int, write: Callable[[], None]) -> Iterator[Alarm]:
        """Writes, if that is possible; says when it begins to be impossible, and when it is possible again."""
        try:
            write()
        except CheckpointError as error:
            if not self.failing:
                yield Alarm(updates, "unsaved", f"not saved, training goes on and tries again: {error}")
            self.failing = True
            return
        if self.failing:
            yield Alarm(updates, "saved", "saved again")
        self.failing = False

    def save_config(self) -> None:
        """Writes config.json, as all files on the first rank. Raises CheckpointError."""
        text = json.dumps(self._parts.config.to_json(), indent=2, ensure_ascii=False) + "\n"
        # A file's name may hold lone surrogates; written with a backslash they are JSON's escapes.
        data = text.encode("utf-8", "backslashreplace")
        self._parts.ranks.on_first(lambda: write_atomically(self._run / CONFIG, lambda file: file.write(data)))

    def save_last(self, now: TrainerState, results: dict[str, Any]) -> None:
        """Writes last.npz: everything that exact continuation needs. Raises CheckpointError."""
        self._last = time.monotonic()  # also where it fails: the next attempt is as far away
        self._parts.metrics_log.flush(to_disk=True)
        carried = {name: self._all_streams(own) for name, own in self._carried(now).items()}
        self._save(LAST, now, results, {"optimizer": self._parts.optimizer.slots, **carried})
        self.dirty = False

    def save_best(self, now: TrainerState, results: dict[str, Any]) -> None:
        """Writes best.npz: the model alone. Raises CheckpointError."""
        self._save(BEST, now, results, {})

    def _save(self, name: str, now: TrainerState, results: dict[str, Any], resume: dict[str, np.ndarray]) -> None:
        parts = self._parts
        progress = {
            **results,
            **now.to_json(),
            "corpus_digest": parts.corpus.digest,
            "k2": parts.truncation.k2,
            "journal": parts.metrics_log.state(),
            "schedule": [parts.schedule.factor, parts.schedule.stale],
        }
        path, vocabulary = self._run / name, parts.corpus.vocabulary
        parts.ranks.on_first(lambda: checkpoint.save(path, parts.config, vocabulary, parts.parameters, progress, resume))

    def _carried(self, now: TrainerState) -> dict[str, np.ndarray]:
        """This rank's state and, where errors reach past the block, window: (..., layers or steps, own streams, P)."""
        return self._parts.network.state_dict(self._parts.truncation.reaches_back(now.at))

    def _all_streams(self, own: np.ndarray) -> np.ndarray:
        """What all ranks carry on the first one, as it is saved, whatever the ranks: (..., layers or steps S, P)."""
        found = self._parts.ranks.gather(own)
        whole = np.concatenate(found, axis=-2) if len(found) > 1 else own
        return whole.reshape(*whole.shape[:-3], -1, whole.shape[-1])

    def load_last(self) -> Checkpoint:
        """What was saved last. Raises CheckpointError."""
        return self._parts.ranks.from_first(lambda: checkpoint.load(self._run / LAST))

    def restore(self, saved: Checkpoint) -> TrainerState:
        """Brings all parts to where `saved` (last.npz of the same run) was written; raises CheckpointError."""
        parts, p = self._parts, saved.progress
        if saved.vocabulary != parts.corpus.vocabulary:
            raise CheckpointError(f"{saved.path}: its characters are not those of the corpus")
        parts.parameters.flat[...] = saved.parameters.flat
        try:
            now = TrainerState.from_json(p, parts.streams.steps)
            if not 1 <= p["k2"] <= parts.truncation.deepest or not math.isfinite(p["schedule"][0]):
                raise ValueError(f"k2 {p['k2']}, schedule {p['schedule']}")
            parts.truncation.load_state_dict({name: p[name] for name in parts.truncation.state_dict()})
            parts.schedule.factor, parts.schedule.stale = p["schedule"]
            parts.metrics_log.restore(p["journal"])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise CheckpointError(f"{saved.path}: cannot be resumed: its progress is incomplete or impossible") from None
        slots, reaches_back = parts.optimizer.slots, parts.truncation.reaches_back(now.at)
        slots[...] = _array(saved, "optimizer", slots.shape, slots.dtype)
        first, own, count = parts.streams.first, parts.streams.own, parts.streams.count
        carried = {}
        for name, mine in self._carried(now).items():
            *outer, steps, _, width = mine.shape
            whole = _array(saved, name, (*outer, steps * count, width), mine.dtype).reshape(*outer, steps, count, width)
            carried[name] = whole[..., first : first + own, :]
        parts.network.load_state_dict(carried, reaches_back)
        self.dirty = False
        return now


def _array(saved: Checkpoint, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """One of the arrays that exact continuation needs, if it is what it should be."""
    found = saved.resume.get(name)
    if found is None:
        raise CheckpointError(f"{saved.path}: array resume/{name} is missing; only last.npz can be resumed")
    if found.shape != shape or found.dtype != dtype:
        raise CheckpointError(
            f"{saved.path}: array resume/{name} should be {dtype} {shape}, the file has {found.dtype} {found.shape}"
        )
    require_finite(saved.path, f"resume/{name}", found)
    return found
