"""Checkpoints of a run: written as its settings say, and again as soon as possible after a write that failed."""

import json
import time
from collections.abc import Callable, Iterable, Iterator

from ..config.request import SavingConfig
from ..errors import CheckpointError
from ..events import Alarm
from ..files import write_atomically
from ..record import to_dict
from ..storage import checkpoint
from ..storage.run_directory import BEST, CONFIG, LAST
from ..tree import StateDict, gather_state
from .consensus import Consensus
from .diagnostics import hopeless_loss
from .listener import Listener, Stretch, next_multiple
from .metrics_file import MetricsFile
from .records import TrainSummary
from .run import Run


class Checkpointer(Listener):
    """Writes the checkpoints of one run, all of them on the first rank.

    dirty: whether something happened since last.npz was written. failing: whether the last attempt to write failed.
    """

    def __init__(
        self,
        run: Run,
        saving: SavingConfig,
        summary: Callable[[], TrainSummary],
        file: MetricsFile,
        consensus: Consensus,
    ) -> None:
        """summary: returns the numbers that checkpoints keep as progress. file: forced to the disk before last.npz."""
        self._run, self._saving, self._summary, self._file, self._consensus = run, saving, summary, file, consensus
        self.dirty, self.failing = True, False
        self._hopeless = hopeless_loss(len(run.corpus.vocabulary))
        self._healthy = True  # whether the last losses are such that their parameters are worth keeping
        self._last = time.monotonic()  # attempt

    # --- as a listener -----------------------------------------------------------------------------------------------

    def next_stop(self, updates: int) -> int | None:
        """Return the update after which the run is saved, if not time decides."""
        return next_multiple(updates, self._saving.updates)

    def begin(self) -> Iterable[Alarm]:
        """Write the first state of a new run, and start counting the time to the next save. Raises CheckpointError."""
        if self._run.state.updates == 0:
            self.save_config()
            self.save_last()
        self._last = time.monotonic()
        return ()

    def account(self, stretch: Stretch) -> Iterable[Alarm]:
        """Note that there is something to save, and whether it is worth it."""
        self.dirty = True
        self._healthy = stretch.mean <= self._hopeless
        return ()

    def save(self) -> Iterable[Alarm]:
        """Write last.npz if that is due and the parameters are worth keeping."""
        if not self._consensus.apart and self._healthy and self._run.ranks.from_first(self._is_due):
            return self.attempt(self.save_last)
        return ()

    def end(self) -> Iterable[Alarm]:
        """Write last.npz unless it is up to date. Raises CheckpointError."""
        if self.dirty:
            self._consensus.come_together()
            self.save_last()
        return ()

    def restored(self) -> None:
        """Note that the run is at the state of last.npz."""
        self.dirty = False

    def rolled_back(self) -> Iterable[Alarm]:
        """Write last.npz with the new learning rate."""
        self._healthy = self.dirty = True
        return self.attempt(self.save_last)

    def _is_due(self) -> bool:
        if self._saving.updates:
            return self._run.state.updates % self._saving.updates == 0
        return self._saving.seconds > 0 and time.monotonic() - self._last >= self._saving.seconds

    # --- writing -----------------------------------------------------------------------------------------------------

    def attempt(self, write: Callable[[], None]) -> Iterator[Alarm]:
        """Try to save. Warn on the first failure and again on recovery."""
        updates = self._run.state.updates
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
        text = json.dumps(self._run.config.to_json(), indent=2, ensure_ascii=False) + "\n"
        # A file's name may hold lone surrogates; written with a backslash they are JSON's escapes.
        data = text.encode("utf-8", "backslashreplace")
        path = self._run.directory / CONFIG
        self._run.ranks.on_first(lambda: write_atomically(path, lambda file: file.write(data)))

    def save_last(self) -> None:
        """Write last.npz, which exact continuation needs. Raises CheckpointError."""
        self._file.flush(to_disk=True)
        self._last = time.monotonic()  # also if it fails: the next attempt is as far away
        self._write(LAST, gather_state(self._run.parts))
        self.dirty = False

    def save_best(self) -> None:
        """Write best.npz, the model alone. Raises CheckpointError."""
        self._write(BEST, {})

    def _write(self, name: str, state: StateDict) -> None:
        run = self._run
        progress = {**to_dict(self._summary()), "corpus_digest": run.corpus.digest}
        del progress["window_bytes"]  # depends on the ranks of this job
        path, vocabulary = run.directory / name, run.corpus.vocabulary
        run.ranks.on_first(lambda: checkpoint.save(path, run.config, vocabulary, run.parameters, progress, state))
