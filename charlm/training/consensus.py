"""Agreement among the ranks of a job: on losses, time, whether to stop, and parameters that each changed on its own."""

import math
import time
from collections.abc import Iterable

import numpy as np

from ..distributed.ranks import Exchange
from ..errors import DivergenceError
from ..events import Event
from ..kernels.tasks import UpdateStats
from .listener import Listener, Stretch, next_multiple
from .run import Run


class Consensus(Listener):
    """Keeps ranks in step. A single rank agrees with itself.

    exchange: sums gradients during the kernel's work; None if each rank makes updates on its own for a while. stopped:
    whether all ranks know that training is to stop. apart: whether ranks have different parameters, not to be saved.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._ranks, self._every = run, run.ranks, run.config.sync_every
        gradients = run.network.gradients
        together = self._every == 1
        self.exchange: Exchange | None = self._ranks.exchange(gradients.flat, gradients.by_layer()) if together else None
        self.asked_to_stop = self.stopped = self.apart = False
        self._averaging_seconds = 0.0  # that are yet to be counted

    @property
    def _on_its_own(self) -> bool:
        """Return whether this rank's updates are of its own streams alone, and parameters are averaged now and then."""
        return self._ranks.size > 1 and self._every > 1

    def next_stop(self, updates: int) -> int | None:
        """Return the update after which parameters are averaged."""
        return next_multiple(updates, self._every) if self._on_its_own else None

    def request_stop(self) -> None:
        """End training on all ranks after the updates now being made. May be called from a signal handler."""
        self.asked_to_stop = True

    def agree_to_stop(self) -> bool:
        """Return whether some rank was asked to stop."""
        self.stopped = self.stopped or self._ranks.largest(self.asked_to_stop) > 0
        return self.stopped

    def agree(self, stats: UpdateStats, spent: float) -> tuple[np.ndarray, float]:
        """Return the loss of all ranks' streams in each update, (U,) float64, and the time of the first rank, in seconds.

        Raises DivergenceError, on all ranks, for anything that is not finite.
        """
        failed = np.flatnonzero(stats.applied == 0)
        made = len(failed) == 0 and bool(np.isfinite(stats.loss).all())
        wrong = math.inf if made else float(failed[0] if len(failed) else len(stats.applied) - 1)
        sound = made and bool(np.isfinite(self._run.parameters.flat).all())
        own = [spent + self._averaging_seconds, wrong, float(sound), *stats.loss.sum(1).tolist()]
        self._averaging_seconds = 0.0
        times, first_wrong, all_sound, *nats = self._ranks.table(np.array(own)).T
        updates = self._run.state.updates
        if np.isfinite(first_wrong).any():
            update = updates + int(first_wrong.min()) + 1
            raise self.diverged(f"training diverged: the gradient of update {update:,} is not finite")
        if not all_sound.all():
            update = updates + len(nats)
            raise self.diverged(f"training diverged: update {update:,} made parameters that are not finite")
        return np.array(nats).sum(1), float(times[0])

    def diverged(self, how: str) -> DivergenceError:
        """Return an error that all ranks raise at the same place."""
        return self._ranks.joint(DivergenceError(how))

    def account(self, stretch: Stretch) -> Iterable[Event]:
        """Note that parameters differ from rank to rank, and average them if that is due."""
        self.apart = self._on_its_own
        if self._run.state.updates % self._every == 0:
            self.come_together()
        return ()

    def come_together(self) -> None:
        """Replace parameters and optimizer state by their mean over the ranks, if they differ."""
        if self.apart:
            begun = time.perf_counter()
            self._ranks.average(self._run.parameters.flat, self._run.optimizer.slots)
            self._averaging_seconds += time.perf_counter() - begun
        self.apart = False

    def restored(self) -> None:
        """Note that all ranks have the parameters that were loaded."""
        self.apart = False
