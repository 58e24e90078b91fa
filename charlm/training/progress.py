"""Events that say how far a run is."""

from collections.abc import Iterable

from ..events import Progress
from .listener import Listener, Stretch
from .run import Run
from .validation_plan import ValidationPlan


class ProgressEvents(Listener):
    """Reports after each stretch of updates."""

    def __init__(self, run: Run, validations: ValidationPlan) -> None:
        self._run, self._validations = run, validations

    def account(self, stretch: Stretch) -> Iterable[Progress]:
        """Report where training is."""
        state = self._run.state
        yield Progress(
            updates=state.updates,
            epochs=state.epochs,
            share=float(self._run.share()),
            seconds=state.seconds,
            chars_per_second=state.chars_per_second,
            nats=stretch.mean,
            learning_rate=float(stretch.plan.learning_rate[-1]),
            gradient_norm=float(stretch.stats.norm[-1]),
            validating=self._validations.share,
        )
