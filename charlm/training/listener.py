"""Listeners take part in training beside the updates themselves: measuring, logging, validating, saving."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..events import Event
from ..kernels.tasks import Plan, UpdateStats


@dataclass(frozen=True)
class Stretch:
    """Updates that one call of the kernel made. chars, nats: characters and summed loss of each, (U,) int64 and float64."""

    plan: Plan
    stats: UpdateStats
    chars: np.ndarray
    nats: np.ndarray

    @property
    def mean(self) -> float:
        """The loss per character."""
        return float(self.nats.sum() / self.chars.sum())


class Listener:
    """One that is called at fixed places of the training loop, see Trainer.train; each method does nothing by default.

    Methods that return events are called until they end. On several ranks every one of them calls the same listeners in the
    same order, so a listener may exchange data with its likes. ends_run: whether training should end, for a reason of its
    own.
    """

    ends_run = False

    def next_stop(self, updates: int) -> int | None:
        """Return the number of updates, above `updates`, after which this one needs the network as it then is.

        No kernel call goes past the nearest stop of all listeners. None: wherever the call ends.
        """
        return None

    def prepare(self) -> None:
        """Compile what is needed, or load it."""

    def begin(self) -> Iterable[Event]:
        """Start, before the first update of this process."""
        return ()

    def before(self) -> Iterable[Event]:
        """Act before the next updates are planned."""
        return ()

    def account(self, stretch: Stretch) -> Iterable[Event]:
        """Take updates into account that were just made; the run's state is the one after them."""
        return ()

    def validate(self) -> Iterable[Event]:
        """Judge the parameters, if that is due."""
        return ()

    def save(self) -> Iterable[Event]:
        """Keep the run's state, if that is due."""
        return ()

    def end(self) -> Iterable[Event]:
        """Finish, after the last update of this process. Validations come before the last save."""
        return ()

    def restored(self) -> None:
        """Forget what happened after the state that was just loaded."""

    def rolled_back(self) -> Iterable[Event]:
        """Act after a return from divergence."""
        return ()


def next_multiple(updates: int, every: int) -> int | None:
    """Return the next multiple of `every` above `updates`; None if every is 0.

    >>> next_multiple(7, 5), next_multiple(10, 5), next_multiple(10, 0)
    (10, 15, None)
    """
    return updates + every - updates % every if every else None
