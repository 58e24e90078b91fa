"""What a cell is: one step forward and one step back over a row. Each cell's file adds its own; the loop is elsewhere.

The compiler chooses by the cell's type, so a kernel for one cell contains no other.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numba import types


class Cell(Protocol):
    """What is said of a cell beside its steps; cells are NamedTuples of these four numbers."""

    @property
    def gates(self) -> int:
        """G, gates per unit."""

    @property
    def extras(self) -> int:
        """E, rows of P that it stores beside its gates."""

    @property
    def separate(self) -> int:
        """1 where the state's part of the gates is seen on its own and has an error of its own, else 0."""

    @property
    def forget_gate(self) -> int:
        """The gate that keeps the state, or -1."""

    @property
    def forget_bias(self) -> int:
        """What that gate's bias starts at."""


# The steps of each cell class, for running without the compiler.
STEPS: dict[type, tuple[Callable, Callable]] = {}


def is_cell(numba_type: Any, cell_class: type) -> bool:
    """Whether a Numba type stands for the NamedTuple `cell_class`."""
    return isinstance(numba_type, types.BaseNamedTuple) and getattr(numba_type, "instance_class", None) is cell_class


def forward_step(
    cell: Any,
    z: np.ndarray,
    extra: np.ndarray,
    h_in: np.ndarray,
    h: np.ndarray,
    row: int,
    recurrent: np.ndarray,
    recurrent_row: int,
    c: np.ndarray,
    stream: int,
) -> None:
    """One step of one stream.

    In: z[row] the gates' sums, h_in[row], c[stream] (cells with a memory); for a cell with `separate` z[row] is the
    input's part with b_ih and recurrent[recurrent_row] the state's part with b_hh.
    Out: z[row] the gates' values, extra[row] whatever the way back needs, h[row], c[stream].
    """
    STEPS[type(cell)][0](cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream)


def backward_step(
    cell: Any,
    z: np.ndarray,
    extra: np.ndarray,
    h_in: np.ndarray,
    h: np.ndarray,
    row: int,
    dh: np.ndarray,
    dc: np.ndarray,
    stream: int,
    dz: np.ndarray,
    dz_h: np.ndarray,
) -> None:
    """The same step backwards.

    In: dh[stream] the whole error of h[row], dc[stream] that of the memory. Out: dz[row] and dz_h[row] the errors of
    the input's and the state's part of the gates, dh[stream] the part of the error of h_in[row] that does not pass
    through the recurrent weights, dc[stream] the error of the memory before the step.
    """
    STEPS[type(cell)][1](cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h)
