"""Measurements of how far errors reach, from which a truncation method chooses k2."""

import math
import time
from collections.abc import Iterable

import numpy as np

from ..analysis.gradient_decay import GradientDecay
from ..events import Adaptation
from .listener import Listener, next_multiple
from .metrics_file import MetricsFile
from .records import MeasurementRecord
from .run import Run


class Measurement(Listener):
    """Measures before the first update and every `measure_every` updates, and lets the truncation method choose."""

    def __init__(self, run: Run, decay: GradientDecay, file: MetricsFile) -> None:
        self._run, self._decay, self._file = run, decay, file
        self._timed = False  # the first measurement compiles or loads the kernel

    def next_stop(self, updates: int) -> int | None:
        """Return the update before whose successor the next measurement is made."""
        return next_multiple(updates, self._run.text.truncation.measure_every)

    def before(self) -> Iterable[Adaptation]:
        """Measure if that is due."""
        if self._run.state.updates % self._run.text.truncation.measure_every == 0:
            yield self.measure()

    def measure(self) -> Adaptation:
        """Measure on the first rank, and choose on all of them."""
        text, ranks, updates = self._run.text, self._run.ranks, self._run.state.updates
        begun, before = time.perf_counter(), text.truncation.k2
        random, losses = np.random.default_rng([self._run.config.seed, updates]), text.truncation.measured_losses
        profile, spent = ranks.from_first(
            lambda: (self._decay.measure(text.ids, text.resets, losses, random), time.perf_counter() - begun)
        )
        bias, within = text.truncation.choose(profile)
        if self._timed:
            self._run.state.seconds += spent
        self._timed = True
        k2, known = text.truncation.k2, bias if math.isfinite(bias) else None
        self._file.append(MeasurementRecord(updates + 1, k2, known, profile.rate))
        return Adaptation(updates, before, k2, bias, within, profile.rate)
