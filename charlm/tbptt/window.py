"""window: Sutskever 2013's "every k1 steps, run BPTT for k2 steps".

All losses of the last max(k1, k2) steps are injected, so each counts about k2 / k1 times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .newest import Newest

if TYPE_CHECKING:
    from ..config.truncation import TruncationConfig


class Window(Newest):
    """An update every k1 steps, from the losses of the whole window of k2 steps."""

    pieces = ""

    @classmethod
    def stays_within_block(cls, config: TruncationConfig) -> bool:
        """Return False: a window is meant to be longer than a block."""
        return False

    def _reach(self, k1: int, k2: int) -> str:
        return f"losses reach up to {k2} steps back; a dependence j steps long weighs ({k2} - j)/{k1}"

    def _uses(self, k1: int, k2: int) -> str:
        return f"each loss counts {k2 / k1:.3g} times"

    @property
    def older_losses(self) -> int:
        """Steps of the window before the block."""
        return max(0, self.k2 - self.config.k1)
