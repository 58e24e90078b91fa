"""Validation during training: when it is due, the loss on held-out text, and what follows from it."""

import contextlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from ..config.sampling import DrawConfig
from ..events import Event, Note, Validation
from ..inference.sampling import Context, sample
from ..tbptt.resets import opening
from .checkpointer import Checkpointer
from .consensus import Consensus
from .held_out import HeldOut
from .listener import Listener, next_multiple
from .metrics_file import MetricsFile
from .metrics_log import MetricsLog
from .records import ValidationRecord
from .run import Run
from .validation_plan import ValidationPlan

_SAMPLE_CHARS, _SAMPLE_TEMPERATURE = 160, 0.8  # of the text that each validation keeps


class _StoppedError(Exception):
    """Training is to stop in the middle of a validation, which can be made later."""


class Validator(Listener):
    """Validates a run, has its best parameters saved, and ends it when its patience is over."""

    def __init__(
        self,
        run: Run,
        held_out: HeldOut,
        plan: ValidationPlan,
        log: MetricsLog,
        file: MetricsFile,
        checkpointer: Checkpointer,
        consensus: Consensus,
    ) -> None:
        """log: knows the training loss. file: gets a line for each validation."""
        self._run, self._held_out, self.plan, self._log, self._file = run, held_out, plan, log, file
        self._checkpointer, self._consensus = checkpointer, consensus

    # --- as a listener -----------------------------------------------------------------------------------------------

    def next_stop(self, updates: int) -> int | None:
        """Return the update after which the next validation is made, if not time decides."""
        return next_multiple(updates, self.plan.interval)

    def prepare(self) -> None:
        """Compile what is needed, or load it. Reads nothing."""
        self._held_out.prepare()

    def before(self) -> Iterable[Event]:
        """Make up for a validation that was stopped in the middle."""
        return self._validate() if self._missing and self.plan.due and self._run.state.updates > 0 else ()

    def validate(self) -> Iterable[Event]:
        """Validate if that is due."""
        return self._validate() if self.plan.due else ()

    def end(self) -> Iterable[Event]:
        """Validate the final parameters, unless training was stopped before its end."""
        return self._validate() if self._missing and not self._consensus.stopped else ()

    def restored(self) -> None:
        """Adapt to a run that may be longer now, with more validations to come."""
        if self._run.total_updates is None:
            self._run.state.validations = min(self._run.state.validations, self.plan.expected)

    # --- a validation ------------------------------------------------------------------------------------------------

    @property
    def _missing(self) -> bool:
        """Return whether the present parameters were not validated yet."""
        return self._run.state.validated_at != self._run.state.updates

    def _validate(self) -> Iterator[Event]:
        """Evaluate the parameters on held-out text. A request to stop interrupts it until training is resumed."""
        state = self._run.state
        self._consensus.come_together()
        yield from self._decide_sample()
        nats = self._held_out_nats()
        if nats is None:
            return
        self._checkpointer.dirty = True
        improved = nats < state.best_val_nats
        state.val_nats, state.validated_at, state.validations = nats, state.updates, self.plan.expected
        state.worse = 0 if improved else state.worse + 1
        self._run.schedule.validated(improved)
        patience = self._run.config.schedule.patience
        self.ends_run = patience > 0 and state.worse >= patience
        if improved:
            yield from self._keep(nats)
        text = self._sample() if self._run.ranks.first else ""
        self._file.append(ValidationRecord(**state.place(), val_nats=nats, sample=text))
        trained = self._log.recent_nats
        self._log.validated()
        yield Validation(state.updates, state.epochs, trained, nats, state.best_val_nats, improved, text)

    def _decide_sample(self) -> Iterator[Note]:
        """Decide what all validations read, at the first one: losses on different samples could not be compared."""
        state, held_out = self._run.state, len(self._held_out)
        if state.sampled == 0:
            state.sampled = self.plan.planned.chars
            if state.sampled < held_out:
                yield Note(
                    f"validations read {state.sampled:,} of the {held_out:,} held-out characters, so "
                    "that they take little of the time; charlm eval reads all"
                )

    def _held_out_nats(self) -> float | None:
        """Return the loss per character of the held-out text, read by all ranks; None if training is to stop first."""
        chars, nats = 0, 0.0
        with contextlib.suppress(_StoppedError):
            found = self._held_out.evaluate(self._run.state.sampled, self._leave_if_stopped)
            chars, nats = found.chars, found.loss
        own = [float(self._consensus.asked_to_stop), chars, nats]
        asked, chars_of, nats_of = self._run.ranks.table(np.array(own)).T
        self._consensus.stopped = bool(asked.any())
        if self._consensus.stopped:
            return None
        if not math.isfinite(nats_of.sum()):
            raise self._consensus.diverged("training diverged: the validation loss is not finite")
        return float(nats_of.sum() / chars_of.sum())

    def _leave_if_stopped(self, n: int) -> None:
        if self._consensus.asked_to_stop:
            raise _StoppedError

    def _keep(self, nats: float) -> Iterator[Event]:
        """Try to save the parameters as the best. After a failure the next ones that are as good are saved."""
        state = self._run.state
        before, state.best_val_nats = state.best_val_nats, nats
        yield from self._checkpointer.attempt(self._checkpointer.save_best)
        if self._checkpointer.failing:
            state.best_val_nats = before

    def _sample(self) -> str:
        """Return a short text that the model generates now, from the same draws each time."""
        config, vocabulary = self._run.config, self._run.corpus.vocabulary
        first, how = opening(config.reset, vocabulary), DrawConfig(_SAMPLE_TEMPERATURE, seed=config.seed)
        pieces = sample(Context(self._run.parameters, self._run.text.resets, first), 1, _SAMPLE_CHARS, how)
        return vocabulary.decode(np.concatenate([piece.ids[:, 0] for piece in pieces]))
