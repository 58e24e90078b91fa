"""When a run is saved: as its settings say, and again as soon as possible after a save that failed."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..config.launch import SavingConfig
from ..config.run import RunConfig
from ..corpus.vocabulary import Vocabulary
from ..distributed.ranks import Ranks
from ..errors import CheckpointError
from ..events import Alarm
from ..files import write_atomically
from ..nn.parameters import Parameters
from ..storage import checkpoint
from ..storage.checkpoint import Checkpoint
from ..storage.run_directory import BEST, CONFIG, LAST
from ..tree import StateDict


class Checkpointer:
    """Writes the checkpoints of one run, all of them on the first rank."""

    def __init__(self, run: Path, saving: SavingConfig, config: RunConfig, vocabulary: Vocabulary, ranks: Ranks) -> None:
        self._run, self._saving, self._config, self._vocabulary, self._ranks = run, saving, config, vocabulary, ranks
        self.dirty = True  # whether something happened since last.npz was written
        self.failing = False  # whether the last attempt to write something failed
        self._last = time.monotonic()

    def begin(self) -> None:
        """Start counting the time to the next save."""
        self._last = time.monotonic()

    def due(self, updates: int) -> bool:
        """Return whether last.npz is to be written now."""
        if self._saving.updates:
            return updates % self._saving.updates == 0
        return self._saving.seconds > 0 and time.monotonic() - self._last >= self._saving.seconds

    def attempt(self, updates: int, write: Callable[[], None]) -> Iterator[Alarm]:
        """Try to save. Warn on the first failure and again on recovery."""
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
        """Write config.json. Raises CheckpointError."""
        text = json.dumps(self._config.to_json(), indent=2, ensure_ascii=False) + "\n"
        # A file's name may hold lone surrogates; written with a backslash they are JSON's escapes.
        data = text.encode("utf-8", "backslashreplace")
        self._ranks.on_first(lambda: write_atomically(self._run / CONFIG, lambda file: file.write(data)))

    def save_last(self, parameters: Parameters, progress: dict[str, Any], state: StateDict) -> None:
        """Write last.npz, which exact continuation needs. Raises CheckpointError."""
        self._last = time.monotonic()  # also if it fails: the next attempt is as far away
        self._save(LAST, parameters, progress, state)
        self.dirty = False

    def save_best(self, parameters: Parameters, progress: dict[str, Any]) -> None:
        """Write best.npz, the model alone. Raises CheckpointError."""
        self._save(BEST, parameters, progress, {})

    def _save(self, name: str, parameters: Parameters, progress: dict[str, Any], state: StateDict) -> None:
        path = self._run / name
        self._ranks.on_first(lambda: checkpoint.save(path, self._config, self._vocabulary, parameters, progress, state))

    def load_last(self) -> Checkpoint:
        """Read last.npz. Raises CheckpointError."""
        return self._ranks.from_first(lambda: checkpoint.load(self._run / LAST))
