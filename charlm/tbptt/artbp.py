"""artbp: Tallec & Ollivier 2017 (arXiv 1705.08209), anticipated reweighted truncated backpropagation.

The link after the d-th step of a segment is cut with probability c_d = (a - 1) / ((a - 2) L0 + d). The mean length of
a segment is L0, the probability of length n falls as n^-a. An error that passes a link which was not cut is divided by
1 - c_d, so that the expected gradient is that of no truncation (section 4).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.checks import MOST_STEPS, require
from ..config.declare import Declared, setting
from ..config.groups import TRUNCATION
from ..errors import ConfigurationError
from ..lazy import np
from .method import Realised, TruncationMethod
from .plan import Cuts, Position

if TYPE_CHECKING:
    from ..config.truncation import TruncationConfig
    from .sequences import Sequences

_LONGEST = 1 << 22  # steps; no machine holds a longer segment


@dataclass(frozen=True)
class Segments(Declared, group=TRUNCATION):
    """The distribution of the segments' lengths."""

    mean_length: float = setting(64.0, bounds=(1, MOST_STEPS), unit="L0", help="Mean length of artbp's segments.")
    tail: float = setting(  # at 2 the mean length would be infinite
        6.0,
        bounds=(2, 1_000_000_000),
        excluded=(2,),
        unit="A",
        help="Tail exponent of artbp: P(segment length = n) falls as n^-A.",
    )
    max_length: int = setting(
        0,
        bounds=(0, MOST_STEPS),
        default_text="0, no limit",
        help="Longest segment of artbp; a limit biases the gradient.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.max_length == 0 or self.max_length >= self.mean_length,
            f"--max-length {self.max_length}: must be at least the mean length {self.mean_length:g}",
        )


@dataclass(frozen=True)
class DrawnSegments(Realised):
    """With --truncation artbp: the segments of the stretch that a line sums up, or of the run."""

    mean_length: float = field(metadata={"help": "Mean length of the segments, in steps."})
    longest: int = field(metadata={"help": "Longest segment, in steps."})
    largest_weight: float = field(metadata={"help": "Largest factor on an error in that segment."})

    def describe(self) -> str:
        """Return the segments' lengths and the largest factor in words."""
        return (
            f"segments of {self.mean_length:.1f} steps on average, the longest {self.longest:,}, "
            f"largest weight {self.largest_weight:.3g}"
        )


class Artbp(TruncationMethod):
    """Cuts at random, and an update at each cut.

    All streams have the same cuts, which depend on the seed and the number of the update only.
    """

    Settings = Segments
    takes_k1 = False
    pieces = "artbp"

    @classmethod
    def k1_and_k2(cls, k1: int | None, k2: int | None, given: Mapping[str, Any], usual_k1: int) -> tuple[int, int]:
        """Return the mean length for both."""
        if k1 is not None or k2 is not None:
            raise ConfigurationError("--truncation artbp draws the lengths of its blocks: give --mean-length, not k1 or k2")
        length = math.ceil(Segments(**given).mean_length)
        return length, length

    @classmethod
    def stays_within_block(cls, config: TruncationConfig) -> bool:
        """Return True: updates are made at cuts."""
        return True

    @classmethod
    def label(cls, config: TruncationConfig) -> str:
        """Return the method's name with the mean length and the tail."""
        return f"artbp(mean length {config.settings.mean_length:g}, tail {config.settings.tail:g})"

    @property
    def _own(self) -> Segments:
        own: Segments = self.config.settings
        return own

    def describe(self) -> str:
        """Return a sentence that says what the method promises, and what breaks the promise."""
        own = self._own
        capped = f"; capped at {own.max_length}, which biases" if own.max_length else ""
        variance = "" if own.tail > 3 else "; with a tail of 3 or less their variance is infinite"
        return (
            f"{self.label(self.config)}: cuts at random, an update at each; the expected gradient is that of no truncation "
            f"(but for clipping, adaptive optimizers, and parameters that move){capped}{variance}; each loss counts once; "
            "cost per character as k1 = k2"
        )

    def describe_sequences(self, found: Sequences) -> str:
        """Return a sentence that says that no sequence is cut on average."""
        return "cut at random, which takes nothing away on average"

    def realised(self, steps: int, updates: int, longest: int) -> Realised:
        """Return the segments' lengths, and the largest factor on an error: over the longest segment's links."""
        if updates == 0:
            return Realised()
        return DrawnSegments(steps / updates, longest, float(1 / self.survival[longest - 1]))

    @property
    def block(self) -> int:
        """Room for segments of twice the mean length; longer ones ask for more."""
        return min(self._longest, 2 * math.ceil(self._own.mean_length))

    @property
    def window(self) -> int:
        """A block: no segment reaches into another."""
        return self.block

    @property
    def updates_per_epoch(self) -> int:
        """The expected number of segments."""
        return math.ceil(self._streams.steps / self._own.mean_length)

    def reach_of(self, clock: int) -> int:
        """Return the longest block: no error leaves a segment."""
        return self._longest

    @property
    def _longest(self) -> int:
        return min(self._own.max_length or _LONGEST, self._streams.steps)

    def reaches_back(self, at: Position) -> bool:
        """Return False: updates are made at cuts."""
        return False

    def first_reached(self, steps: np.ndarray) -> np.ndarray:
        """Return the epoch's first step for all: on average nothing is lost."""
        return np.zeros_like(steps)

    @functools.cached_property
    def survival(self) -> np.ndarray:
        """P(length > n) for n = 0, 1, ... up to the longest possible segment, (n,) float64, decreasing from 1 to 0."""
        cut = cut_probabilities(self._longest, self._own.mean_length, self._own.tail)
        cut[-1] = 1.0
        return np.concatenate([[1.0], np.cumprod(1.0 - cut)])

    def lengths(self, first: int, n: int) -> np.ndarray:
        """Return the lengths (n,) int64 of the segments of updates first, first + 1, ..., as drawn."""
        drawn = _uniform(self._seed, np.arange(first, first + n))
        return np.searchsorted(self._rising, -drawn, side="right").astype(np.int64)

    @functools.cached_property
    def _rising(self) -> np.ndarray:
        """-survival, in the order that can be searched; negated once, since it may be long."""
        return -self.survival

    def cuts(self, at: Position, updates: int) -> Cuts:
        """Return at most `updates` segments; the last one of an epoch ends with it."""
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
            weight=np.full(len(start), 1.0 / (self._streams.count * self._own.mean_length)),
            gradient_scale=np.where(within > 0, survival[within - 1] / survival[within], 1.0).astype(np.float32),
        )


def cut_probabilities(n: int, mean_length: float, tail: float) -> np.ndarray:
    """Return c_1 .. c_n, (n,) float64: the probability of a cut after d steps since the last one."""
    return (tail - 1) / ((tail - 2) * mean_length + np.arange(1, n + 1))


def _uniform(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Return numbers in (0, 1] that depend on the seed and a number: splitmix64 (Steele, Lea & Flood 2014)."""
    u64 = np.uint64
    with np.errstate(over="ignore"):
        bits = (u64(seed) + u64(1)) * u64(0xD1342543DE82EF95) + numbers.astype(u64) * u64(0x9E3779B97F4A7C15)
        bits = (bits ^ (bits >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> u64(27))) * u64(0x94D049BB133111EB)
        bits ^= bits >> u64(31)
    return ((bits >> u64(11)).astype(np.float64) + 1.0) * 2.0**-53
