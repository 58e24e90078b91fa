"""The training loop, as a generator of events. Prints nothing."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ..errors import CheckpointError, DivergenceError
from ..events import Alarm, Event, Note
from ..files import Lock
from ..kernels.tasks import Plan, UpdateStats
from ..storage.checkpoint import Checkpoint, load
from ..storage.run_directory import LAST
from ..system import free_memory
from ..tbptt.plan import Position
from .consensus import Consensus
from .listener import Listener, Stretch
from .records import TrainSummary
from .run import Run

_PLAN_SECONDS = 0.2  # of work handed to a kernel at a time: Ctrl-C and the progress bar wait that long
_PLAN_SECONDS_OF_RANKS = 0.1  # Open MPI's mpiexec kills a quarter of a second after it has asked to stop


class Trainer:
    """Makes the updates of one run, and has listeners look at them.

    lock: on the run's directory, given back when training ends. summary: returns the numbers of the run so far.
    """

    def __init__(
        self, run: Run, consensus: Consensus, listeners: Sequence[Listener], summary: Callable[[], TrainSummary]
    ) -> None:
        """listeners: in the order in which they are called."""
        self.run, self.listeners, self.summary = run, (consensus, *listeners), summary
        self.lock: Lock | None = None
        self._consensus = consensus
        self._timed = False  # the first call compiles or loads the kernel

    def train(self) -> Iterator[Event]:
        """Train to the end of the schedule and yield what happens. The run is saved at its beginning, on its way and end.

        After a gradient that is not finite, training goes on from the last good state with half the learning rate. Raises
        DivergenceError if that happens too often, and CheckpointError if the first or the last save fails.
        """
        try:
            yield from self._all(lambda each: each.begin())
            yield from self._note_completion()
            while True:
                try:
                    if self._is_over():
                        yield from self._all(lambda each: each.end())
                        return
                    yield from self._all(lambda each: each.before())
                    plan, after = self._plan(self._updates_at_once())
                    stats, seconds = self._run_kernel(plan)
                    yield from self._account(plan, after, stats, seconds)
                    yield from self._all(lambda each: each.validate())
                    yield from self._all(lambda each: each.save())
                except DivergenceError as error:
                    yield from self._roll_back(error)
        finally:
            if self.lock:
                self.lock.release()

    def _all(self, act: Callable[[Listener], Iterable[Event]]) -> Iterator[Event]:
        """Have each listener act in turn."""
        for listener in self.listeners:
            yield from act(listener)

    def _note_completion(self) -> Iterator[Note]:
        made = self.run.state.updates
        if made and self.run.complete:
            yield Note(
                f"nothing to train: the run has made {made:,} updates, as many as are asked for or more; ask for more with "
                "--updates, --epochs or --minutes"
            )

    # --- the steps of the loop ---------------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._consensus.agree_to_stop() or any(each.ends_run for each in self.listeners) or self.run.complete

    def _updates_at_once(self) -> int:
        """Return how many updates fit the plan's time without going past the next stop."""
        state = self.run.state
        if not self._timed:
            return 1
        seconds = _PLAN_SECONDS if self.run.ranks.size == 1 else _PLAN_SECONDS_OF_RANKS
        n = int(seconds / state.seconds_per_update) if state.seconds_per_update > 0 else 2
        joins_at = self.run.joins_at
        joining = None if joins_at is None or joins_at <= state.updates else joins_at
        stops = [self.run.total_updates, joining, *(each.next_stop(state.updates) for each in self.listeners)]
        return max(1, min([n, *(stop - state.updates for stop in stops if stop is not None)]))

    def _plan(self, updates: int) -> tuple[Plan, Position]:
        """Plan at most so many updates. Return the plan and the place after it."""
        run, state = self.run, self.run.state
        run.join_tables()
        rates = run.schedule.rates(state.updates, updates, run.phase(run.share(np.arange(updates))))
        if run.only_measures:
            rates[:] = 0.0
        plan, after = run.text.plan(state.at, updates, rates)
        run.corpus.release()
        return run.with_tables(plan), after

    def _run_kernel(self, plan: Plan) -> tuple[UpdateStats, float]:
        """Make the plan's updates. Return the kernel's reports and the time that it took, in seconds."""
        network, longest = self.run.network, int(plan.steps.max())
        if longest > network.longest_block:
            network.reserve(longest, free_memory())
        begun = time.perf_counter()
        stats = network.train(plan, self.run.optimizer.rule, exchange=self._consensus.exchange)
        return stats, time.perf_counter() - begun

    def _account(self, plan: Plan, after: Position, stats: UpdateStats, seconds: float) -> Iterator[Event]:
        """Count the updates made, and have each listener take them into account."""
        nats, spent = self._consensus.agree(stats, seconds)
        chars = self.run.text.chars(plan)
        self.run.state.trained(chars.tolist(), nats.tolist(), spent if self._timed else None, after)
        self._timed = True
        stretch = Stretch(plan, stats, chars, nats)
        yield from self._all(lambda each: each.account(stretch))

    # --- other states ------------------------------------------------------------------------------------------------

    def restore(self, saved: Checkpoint) -> None:
        """Return to the state in `saved`, last.npz of the same run. Raises CheckpointError."""
        try:
            self.run.load(saved)
        except CheckpointError as error:
            raise self.run.ranks.joint(error) from None
        for listener in self.listeners:
            listener.restored()

    def _roll_back(self, error: DivergenceError) -> Iterator[Event]:
        """Return to the state that was saved last, with half the learning rate."""
        run, schedule, state = self.run, self.run.schedule, self.run.state
        if state.rollbacks >= run.config.max_rollbacks:
            raise self._consensus.diverged(
                f"{error}, after {state.rollbacks} returns to the last good state: try a lower --lr or --clip, or "
                "--cell lstm or gru; what was saved last is kept"
            )
        factor, made = schedule.factor, state.rollbacks + 1
        self.restore(run.ranks.from_first(lambda: load(run.directory / LAST)))
        schedule.factor, state.rollbacks = 0.5 * min(factor, schedule.factor), made
        yield Alarm(
            state.updates,
            "rolled back",
            f"{error}: back to update {state.updates:,}, with {schedule.factor:g} of the learning rate",
        )
        yield from self._all(lambda each: each.rolled_back())

    def prepare(self) -> None:
        """Compile what is needed, or load it. Makes no updates and reads nothing."""
        plan, _ = self.run.text.plan(Position(), 1, np.zeros(1))
        self.run.network.train(plan._replace(start=plan.start[:0]), self.run.optimizer.rule)
        for listener in self.listeners:
            listener.prepare()

    def request_stop(self) -> None:
        """End training, on all ranks, after the updates now being made. May be called from a signal handler."""
        self._consensus.request_stop()

    @property
    def stopped(self) -> bool:
        """Return whether training ended because that was requested on some rank."""
        return self._consensus.stopped
