"""A run: what is trained, on which text, and how far it is."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config.run import RunConfig
from ..corpus.corpus import Corpus
from ..distributed.ranks import Ranks
from ..errors import CheckpointError
from ..kernels.tasks import Plan
from ..nn.network import Network
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..nn.schedule import Schedule
from ..storage.checkpoint import Checkpoint
from ..tbptt.method import TruncationMethod
from ..tbptt.plan import Position, make_plan
from ..tbptt.resets import Resets
from ..tbptt.streams import Ids, Streams
from ..tree import LeafError, Stateful, load_state
from .state import TrainerState


@dataclass(frozen=True)
class TrainingText:
    """The training text as it is read: in streams, with resets, cut into updates by a truncation method.

    factor: on the weight of every loss. It is the number of ranks if each makes updates on its own streams alone.
    """

    ids: Ids
    streams: Streams
    resets: Resets
    truncation: TruncationMethod
    factor: int = 1

    @property
    def chars_per_update(self) -> float:
        """Characters in an update: the mean over an epoch, on all ranks together."""
        return self.streams.count * self.streams.steps / self.truncation.updates_per_epoch

    def plan(self, at: Position, updates: int, rates: np.ndarray) -> tuple[Plan, Position]:
        """Return a plan of at most `updates` updates, and the place after it: see make_plan."""
        plan, after = make_plan(self.truncation, self.streams, self.resets, self.ids, at, updates, rates)
        return plan._replace(weight=plan.weight * self.factor), after

    def chars(self, plan: Plan) -> np.ndarray:
        """Return the number of targets in each block of a plan, on all ranks together, (U,) int64."""
        ends = plan.start + plan.steps == self.streams.steps  # only the last step of an epoch can lack some
        return plan.steps * self.streams.count - np.where(ends, self.streams.shorter, 0)


@dataclass(frozen=True)
class Run:
    """All that a run consists of. Everything that acts on it during training is a listener.

    parts: what remembers something, by the branches of the state tree. The network's branch depends on the trainer's, which
    therefore comes first.
    """

    config: RunConfig
    directory: Path
    corpus: Corpus
    ranks: Ranks
    text: TrainingText
    network: Network
    optimizer: Optimizer
    schedule: Schedule
    state: TrainerState
    parts: dict[str, Stateful] = field(default_factory=dict)

    @property
    def parameters(self) -> Parameters:
        """The parameters that are trained."""
        return self.network.parameters

    @property
    def window_bytes(self) -> int:
        """Memory of the window of stored activations, on all ranks together."""
        return self.ranks.size * self.network.window_bytes()

    # --- its length --------------------------------------------------------------------------------------------------

    @property
    def updates_per_epoch(self) -> int:
        """Update blocks of an epoch, the last, shorter one included; the expected number if they are random."""
        return self.text.truncation.updates_per_epoch

    @property
    def total_updates(self) -> int | None:
        """Updates of the whole run; None if time decides."""
        schedule = self.config.schedule
        if schedule.updates is not None:
            return schedule.updates
        return None if schedule.epochs is None else math.ceil(schedule.epochs * self.updates_per_epoch)

    @property
    def chars(self) -> float:
        """Characters that the whole run trains, estimated; 0 if its speed decides and is not known yet."""
        total, minutes = self.total_updates, self.config.schedule.minutes or 0.0
        return self.state.chars_per_second * 60.0 * minutes if total is None else total * self.text.chars_per_update

    def share(self, later: float | np.ndarray = 0.0) -> Any:
        """Return the share of the run that is done after `later` more updates."""
        total = self.total_updates
        if total is not None:
            return (self.state.updates + later) / total if total > 0 else 1.0
        seconds = 60.0 * (self.config.schedule.minutes or 0.0)
        return (self.state.seconds + later * self.state.seconds_per_update) / seconds if seconds > 0 else 1.0

    @property
    def complete(self) -> bool:
        """Return whether the schedule asks for no more updates than were made."""
        return bool(self.share() >= 1.0)

    # --- the tables beside the network -------------------------------------------------------------------------------

    @property
    def joining(self) -> float:
        """Return the share of the run after which the tables join the network: its last --direct-epochs begin.

        1 without tables, and while it is not known how long the run will be.
        """
        if not self.config.model.direct_order:
            return 1.0
        last, chars = self.config.schedule.direct_epochs * self.text.streams.length, self.chars
        return max(0.0, 1.0 - last / chars) if chars > 0 else 1.0

    @property
    def joins_at(self) -> int | None:
        """Return the update before which the tables join; None if time decides."""
        total = self.total_updates
        return None if total is None else math.ceil(self.joining * total)

    @property
    def only_measures(self) -> bool:
        """Return whether updates only measure how fast they are: until then it is not known if the tables join at once."""
        return self.config.model.direct_order > 0 and self.config.schedule.minutes is not None and self.chars == 0

    def join_tables(self) -> None:
        """Let the tables join if it is time: open their gates, and begin anew with the optimizer's averages.

        The gradients that they leave are smaller by far than those of the network alone.
        """
        joins_at, joining, state = self.joins_at, self.joining, self.state
        if state.joined >= 0 or joining == 1.0:
            return
        if state.updates >= joins_at if joins_at is not None else self.share() >= joining:
            self.parameters.connect()
            self.optimizer.slots[...] = 0
            state.joined = state.updates

    def with_tables(self, plan: Plan) -> Plan:
        """Return the plan with or without the tables, as they have joined or not."""
        joined = self.state.joined
        return plan._replace(number=plan.number - max(0, joined), connects=np.full(len(plan.start), joined >= 0, np.uint8))

    def phase(self, share: np.ndarray) -> np.ndarray:
        """Return the shares of the present phase, alone or with the tables, that are done at these shares of the run."""
        joining = self.joining
        if self.state.joined >= 0 and joining < 1:
            return np.maximum(0.0, (share - joining) / (1 - joining))
        return share / joining if joining > 0 else share

    # --- its state ---------------------------------------------------------------------------------------------------

    def load(self, saved: Checkpoint) -> None:
        """Take over parameters and state of a checkpoint, last.npz of the same run. Raises CheckpointError."""
        if saved.vocabulary != self.corpus.vocabulary:
            raise CheckpointError(f"{saved.path}: its characters are not those of the corpus")
        if not saved.state:
            raise CheckpointError(f"{saved.path}: cannot be resumed: it holds a model alone; only last.npz can be resumed")
        self.parameters.flat[...] = saved.parameters.flat
        self.parameters.tables.restore(saved.parameters.tables)
        try:
            load_state(self.parts, saved.state)
        except LeafError as error:
            raise CheckpointError(f"{saved.path}: cannot be resumed: state/{error}") from None
