"""The description of a norm: where a network has it, which parameters that takes, and its formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...lazy import np

if TYPE_CHECKING:
    from ..cells.spec import Cell

EPSILON = 1e-5  # added to variances: PyTorch's default


@dataclass(frozen=True)
class Norm:
    """A norm. It computes (x - mean) / sqrt(variance + 1e-5) of some numbers x, times a gain.

    label: how it is called where a model is described.
    between: it normalises each layer's output over its units, outside of the recurrence. sums: it normalises the sums that
    a cell's gates are made of, before their biases: "units", each gate of a step over its units, and the memory of a cell
    that has one before the step's output is made of it; "block", the input's part of each unit's gates over the streams
    and steps of a block; "both", the input's part as "block" does, the state's part and the memory as "units" does; ""
    leaves them alone.
    """

    name: str
    label: str = ""
    between: bool = False
    sums: str = ""

    @property
    def of_blocks(self) -> bool:
        """Return whether the input's part of the gates is normalised over a block."""
        return self.sums in ("block", "both")

    @property
    def of_steps(self) -> bool:
        """Return whether something is normalised over its units at each step."""
        return self.sums in ("units", "both")

    def normalises_state(self, cell: Cell) -> bool:
        """Return whether the state's part of the gates has a norm of its own."""
        return (self.sums == "units" and cell.separate) or (self.sums == "both" and cell.recurrence != "none")

    def normalises_memory(self, cell: Cell) -> bool:
        """Return whether the memory of a cell is normalised before the step's output is made of it."""
        return self.of_steps and cell.normed_steps is not None


def normalised(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Return x with mean 0 and variance 1 over the axes, but for the epsilon; also of complex numbers."""
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + EPSILON)
