"""Truncation methods: which steps an update's errors reach, which losses it takes, with what weight. Only numbers here.

newest: Williams & Peng 1990's BPTT(h; h') with h' = k1, h = k2; every loss counts once and reaches between k2 - k1 + 1
and k2 steps back. window: Sutskever 2013's "every k1 steps, k2 steps back": all losses of the last max(k1, k2) steps
are injected, so each counts about k2 / k1 times. adaptive: newest with a k2 that is chosen by measurement, see
Adaptive. artbp: Tallec & Ollivier 2017: cuts at random, and errors that pass where there could have been one are
enlarged, so that the expected gradient is that of no truncation.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..config.run import TruncationConfig, choice
from ..kernels.buffers import Plan
from .decay import DecayProfile
from .streams import Ids, Resets, Streams

_LONGEST = 1 << 22  # steps; no machine holds a longer segment
MEASURED = 32  # losses that are followed back each time k2 is chosen


@dataclass(frozen=True)
class Position:
    """A place in training: updates made, the epoch, the next step within it, and steps made before it began."""

    updates: int = 0
    epoch: int = 0
    step: int = 0
    epoch_base: int = 0


class Cuts(NamedTuple):
    """The updates of a stretch of one epoch, as in a Plan: (U,) arrays, and gradient_scale with a factor for each step."""

    origin: np.ndarray
    start: np.ndarray
    steps: np.ndarray
    reach: np.ndarray
    losses: np.ndarray
    weight: np.ndarray
    gradient_scale: np.ndarray


class Truncation:
    """One method for one set of streams, where updates are made every k1 steps: newest, window, and adaptive."""

    def __init__(self, config: TruncationConfig, streams: Streams, seed: int = 0) -> None:
        """seed: of what a method draws at random."""
        self.config, self._streams, self._seed = config, streams, seed
        self.k2 = config.k2

    @property
    def measure_every(self) -> int:
        """Updates between measurements of how far errors reach; 0 for none."""
        return 0

    @property
    def lags(self) -> int:
        """Steps back that a measurement is to cover."""
        return 0

    def choose(self, profile: DecayProfile) -> float:
        """Takes a measurement into account; returns the relative bias that the truncation has by it."""
        return float(profile.relative_bias(self.config.k1)[self.k2])

    def realised(self, steps: int, updates: int, longest: int) -> dict[str, float]:
        """What came of choices that are not the configuration's, over so many steps in so many updates."""
        return {}

    @property
    def block(self) -> int:
        """The longest block that is planned without asking for room first."""
        return min(self.config.k1, self._streams.steps)

    @property
    def window(self) -> int:
        """The most steps that errors reach back, the same."""
        return min(self.config.deepest, self._streams.steps)

    @property
    def older_losses(self) -> int:
        """How many steps before the block have their losses injected once more."""
        return max(0, self.k2 - self.config.k1) if self.config.kind == "window" else 0

    @property
    def updates_per_epoch(self) -> int:
        """Update blocks of an epoch, the last, shorter one included."""
        return -(-self._streams.steps // self.config.k1)

    @property
    def _blocks_stand_alone(self) -> bool:
        """Whether even a shorter last block's errors stay within it: what is made in pieces keeps nothing older."""
        return self.config.memory > 0

    def reaches_back(self, at: Position) -> bool:
        """Whether the update at a position needs activations of the blocks before it."""
        if self._blocks_stand_alone:
            return False
        next_block = min(self.config.k1, self._streams.steps - at.step)
        return at.step > 0 and self.config.deepest > next_block

    def first_reached(self, steps: np.ndarray) -> np.ndarray:
        """The first step of the epoch that the error of a loss at each of these steps reaches, with today's k2."""
        begin = steps - steps % self.config.k1
        end = np.minimum(begin + self.config.k1, self._streams.steps)
        return np.maximum(end - self.k2, begin if self._blocks_stand_alone else 0)

    def cuts(self, at: Position, updates: int) -> Cuts:
        """At most `updates` updates from `at` on, never past the end of the epoch."""
        k1 = self.config.k1
        last = min(self._streams.steps, at.step + updates * k1)
        start = np.arange(at.step, last, k1)
        steps = np.minimum(k1, last - start)
        older = np.minimum(self.older_losses, start)
        return Cuts(
            origin=start if self._blocks_stand_alone else np.zeros(len(start), np.int64),
            start=start,
            steps=steps,
            reach=np.minimum(self.k2, steps if self._blocks_stand_alone else start + steps),
            losses=steps + older,
            # A short last block is not divided by its own length: its losses weigh as much as others'.
            weight=1.0 / (self._streams.count * (k1 + older)),
            gradient_scale=np.ones(last - at.step, np.float32),
        )


class RandomCuts(Truncation):
    """ARTBP: the link after the d-th step of a segment is cut with probability c_d = (a - 1) / ((a - 2) L0 + d).

    The mean length is L0 (config.mean_length), the probability of length n falls as n^-a (config.tail). An update is made
    at each cut. An error that passes a link which was not cut is divided by 1 - c_d: Tallec & Ollivier 2017, section 4.
    All streams have the same cuts. Which they are depends on the seed and the number of the update only.
    """

    @property
    def block(self) -> int:
        """Room for segments of twice the mean length; longer ones ask for more."""
        return min(self._longest, 2 * math.ceil(self.config.mean_length))

    @property
    def window(self) -> int:
        """No segment reaches into another."""
        return self.block

    @property
    def updates_per_epoch(self) -> int:
        """The expected number of segments."""
        return math.ceil(self._streams.steps / self.config.mean_length)

    @property
    def _longest(self) -> int:
        return min(self.config.max_length or _LONGEST, self._streams.steps)

    def reaches_back(self, at: Position) -> bool:
        """Never: updates are made at cuts."""
        return False

    def first_reached(self, steps: np.ndarray) -> np.ndarray:
        """All of them: on average nothing is lost."""
        return np.zeros_like(steps)

    @functools.cached_property
    def survival(self) -> np.ndarray:
        """P(length > n) for n = 0, 1, ... up to the longest possible segment, (n,) float64, decreasing from 1 to 0."""
        cut = cut_probabilities(self._longest, self.config.mean_length, self.config.tail)
        cut[-1] = 1.0
        return np.concatenate([[1.0], np.cumprod(1.0 - cut)])

    def lengths(self, first: int, n: int) -> np.ndarray:
        """The lengths (n,) int64 of the segments of updates first, first + 1, ..., as drawn."""
        drawn = _uniform(self._seed, np.arange(first, first + n))
        return np.searchsorted(self._rising, -drawn, side="right").astype(np.int64)

    @functools.cached_property
    def _rising(self) -> np.ndarray:
        """-survival, in the order that can be searched; negated once, since it may be long."""
        return -self.survival

    def realised(self, steps: int, updates: int, longest: int) -> dict[str, float]:
        """The segments' lengths, and the largest factor that an error was enlarged by: over the longest one's links."""
        if updates == 0:
            return {}
        return {
            "mean_length": steps / updates,
            "longest": longest,
            "largest_weight": float(1 / self.survival[longest - 1]),
        }

    def cuts(self, at: Position, updates: int) -> Cuts:
        """As in Truncation; the last segment of an epoch ends with it."""
        end = np.minimum(at.step + np.cumsum(self.lengths(at.updates, updates)), self._streams.steps)
        end = end[: int(np.searchsorted(end, self._streams.steps, side="left")) + 1]
        start = np.concatenate([[at.step], end[:-1]])
        steps = end - start
        within = np.arange(at.step, end[-1]) - np.repeat(start, steps)
        survival = self.survival
        return Cuts(
            origin=start,
            start=start,
            steps=steps,
            reach=steps,
            losses=steps,
            weight=np.full(len(start), 1.0 / (self._streams.count * self.config.mean_length)),
            gradient_scale=np.where(within > 0, survival[within - 1] / survival[within], 1.0).astype(np.float32),
        )


class Adaptive(Truncation):
    """newest with a k2 that is chosen by measurement: the smallest one whose bias is within a tolerance.

    Aicher, Foti & Fox 2019. Its first k2 is the configuration's, its largest max_k2, k1 stays.
    """

    @property
    def lags(self) -> int:
        """As many as k2 can become."""
        return self.window

    @property
    def measure_every(self) -> int:
        """So often that it takes about a twentieth of the time."""
        return max(50, 20 * MEASURED * 2 * self.lags // (self._streams.count * self.config.k1))

    def realised(self, steps: int, updates: int, longest: int) -> dict[str, float]:
        """The k2 that was chosen last."""
        return {"k2": self.k2}

    def choose(self, profile: DecayProfile) -> float:
        """Takes the k2 that a profile recommends, the largest one where none is enough."""
        found = profile.recommended(self.config.bias_tolerance, self.config.k1)
        self.k2 = self.lags if found is None else max(1, found)
        return super().choose(profile)


def cut_probabilities(n: int, mean_length: float, tail: float) -> np.ndarray:
    """c_1 .. c_n of ARTBP, (n,) float64: the probability of a cut after d steps since the last one."""
    return (tail - 1) / ((tail - 2) * mean_length + np.arange(1, n + 1))


def _uniform(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Numbers in (0, 1] that depend on the seed and a number: splitmix64 (Steele, Lea & Flood 2014)."""
    u64 = np.uint64
    with np.errstate(over="ignore"):
        bits = (u64(seed) + u64(1)) * u64(0xD1342543DE82EF95) + numbers.astype(u64) * u64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> u64(27))) * u64(0x94D049BB133111EB)
        bits ^= bits >> u64(31)
    return ((bits >> u64(11)).astype(np.float64) + 1.0) * 2.0**-53


def method(config: TruncationConfig, streams: Streams, seed: int) -> Truncation:
    """The method that a configuration names. Raises ConfigurationError for a name that there is not."""
    methods = {"newest": Truncation, "window": Truncation, "artbp": RandomCuts, "adaptive": Adaptive}
    choice("truncation", config.kind, tuple(methods))
    return methods[config.kind](config, streams, seed)


def make_plan(
    truncation: Truncation,
    streams: Streams,
    resets: Resets,
    ids: Ids,
    at: Position,
    updates: int,
    learning_rates: np.ndarray,
) -> tuple[Plan, Position]:
    """A plan of at most `updates` updates from `at` on, never past the end of the epoch, and the place after it.

    learning_rates: float64, one for each update that could be made (the rest are ignored).
    """
    cuts = truncation.cuts(at, updates)
    n, last = len(cuts.start), at.step + len(cuts.gradient_scale)
    plan = Plan(
        ids=streams.read(ids, at.step, last),
        resets=resets.read(streams, ids, at.step, last),
        first_step=at.step,
        epoch_base=at.epoch_base,
        learning_rate=learning_rates[:n],
        number=at.updates + 1 + np.arange(n),
        **cuts._asdict(),
    )
    if last == streams.steps:
        return plan, Position(at.updates + n, at.epoch + 1, 0, at.epoch_base + last)
    return plan, Position(at.updates + n, at.epoch, last, at.epoch_base)
