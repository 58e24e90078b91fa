"""newest: Williams & Peng 1990's BPTT(h; h') with h' = k1 and h = k2.

Every loss counts once and reaches between k2 - k1 + 1 and k2 steps back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import np
from .method import TruncationMethod
from .plan import Cuts, Position

if TYPE_CHECKING:
    from ..config.truncation import TruncationConfig
    from .sequences import Sequences


class Newest(TruncationMethod):
    """An update every k1 steps, from the newest k1 losses; errors go back k2 steps from the block's end."""

    pieces = "newest with k2 up to k1"

    @classmethod
    def stays_within_block(cls, config: TruncationConfig) -> bool:
        """Return whether k2 is at most k1."""
        return config.k2 <= config.k1

    def describe(self) -> str:
        """Return a sentence that says what the method promises: reach, weight, uses of each loss, cost."""
        k1, k2 = self.config.k1, self.config.k2
        reach, uses = self._reach(k1, k2), self._uses(k1, k2)
        if k2 < k1:
            reach = (
                f"errors stay within the newest {k2} of {k1} steps: the output layer learns from every loss, "
                f"the cells from {k2} in {k1}"
            )
            uses = "each loss counts once"
        cost = f"cost per character against k1 = k2: backward {k2 / k1:.3g}x, all {self.cost / 3:.3g}x"
        return f"{self._name()}: {reach}; {uses}; {cost}"

    def _name(self) -> str:
        return self.label(self.config)

    def _reach(self, k1: int, k2: int) -> str:
        """Return how far losses reach and what a dependence weighs, if k2 is at least k1."""
        weight = f"1 - j/{k1}" if k1 == k2 else f"1 up to j = {k2 - k1}, then ({k2} - j)/{k1}"
        return f"every loss reaches {k2 - k1 + 1} to {k2} steps back; a dependence j steps long weighs {weight}"

    def _uses(self, k1: int, k2: int) -> str:
        return "each loss counts once"

    def describe_sequences(self, found: Sequences) -> str:
        """Return a sentence that says how many of the sequences are cut, and how to cut fewer."""
        said = super().describe_sequences(found)
        return f"{said}{self._remedy(found.longest)}" if found.cut else said

    def _remedy(self, longest: int) -> str:
        return "; a longer --k1 cuts fewer" if self.config.memory else f"; --k2 {self.config.k1 + longest - 1} cuts none"

    @property
    def block(self) -> int:
        """k1, or an epoch if that is shorter."""
        return min(self.config.k1, self._streams.steps)

    @property
    def window(self) -> int:
        """The largest k2 times the slowest layer's clock, or an epoch if that is shorter; a block if errors stay there."""
        return self.block if self._blocks_stand_alone else self.reach_of(max(self._clocks))

    def reach_of(self, clock: int) -> int:
        """Return the most characters that errors go back in a layer of this clock: not past a block that stands alone."""
        reach = super().reach_of(clock)
        return min(reach, self.block) if self._blocks_stand_alone else reach

    @property
    def updates_per_epoch(self) -> int:
        """Update blocks of an epoch, the last, shorter one included."""
        return -(-self._streams.steps // self.config.k1)

    @property
    def _blocks_stand_alone(self) -> bool:
        """True if no error leaves its block, even a shorter last one: a block computed in pieces keeps nothing older."""
        return self.config.memory > 0

    def reaches_back(self, at: Position) -> bool:
        """Return whether the next block is shorter than what errors reach, and not an epoch's first."""
        if self._blocks_stand_alone:
            return False
        next_block = min(self.config.k1, self._streams.steps - at.step)
        return at.step > 0 and self.window > next_block

    def first_reached(self, steps: np.ndarray) -> np.ndarray:
        """Return k2 steps before the end of each step's block."""
        begin = steps - steps % self.config.k1
        end = np.minimum(begin + self.config.k1, self._streams.steps)
        return np.maximum(end - self.k2, begin if self._blocks_stand_alone else 0)

    def cuts(self, at: Position, updates: int) -> Cuts:
        """Return at most `updates` blocks of k1 steps; an epoch's last block may be shorter."""
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
