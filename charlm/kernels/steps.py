"""Steps that kernels call by their address: a cell's step forward and back, an optimizer's update.

A step is compiled on its own and kept on disk, like a kernel. The big kernels are handed its address, so one compiled
kernel serves every cell and every optimizer, and a new one costs the time of compiling its own few lines. A step walks
over rows: it is handed pointers to float32 numbers, which `load` and `store` take with the place of a number. In plain
Python (NUMBA_DISABLE_JIT=1) a row is a one-dimensional NumPy view, and a step is called directly.

A step may use what stands in its own file and in this folder: a change of anything else leaves its code on disk stale.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .buffers import MATRIX, NONE, PRODUCT, VECTOR, CellSteps, StepRows
from .jit import step_address
from .records import ROW, ByValue
from .tasks import Hyperparameters

RECURRENCES = {"matrix": MATRIX, "vector": VECTOR, "product": PRODUCT, "none": NONE}
MOST_SLOTS = 4  # arrays that an optimizer may remember, see update.py


def compile_cell(
    forward: Callable[..., None],
    backward: Callable[..., None],
    separate: bool,
    recurrence: str,
    show: Sequence[Callable[..., None]] = (),
) -> CellSteps:
    """Compile a cell's steps. recurrence: see nn/cells/spec.py.

    forward(units, rows, recurrent, c) makes one step of one stream. units: U. rows: StepRows. It reads rows.z, the sums of
    the gates; rows.h_before; and c (U), the cell's memory. It writes the gates' values to rows.z, whatever the way back
    needs to rows.extra, and rows.h and c. With `separate`, rows.z is the input's part of the sums with b_ih, and recurrent
    (G U) the state's part with b_hh.

    backward(units, rows, dh, dc, dz, dz_h) goes the same step back. It reads all that forward left and dh (U), the whole
    error of h, and dc (U), that of the memory. It writes dz (G U) and dz_h (G U), the errors of the input's and the state's
    part of the gates; dh, the part of the error of h_before that does not pass through the recurrent weights; and dc, the
    error of the memory before the step. Without `separate`, dz_h is dz.

    show: two more steps of a cell whose memory is normalised in each step. Then forward leaves rows.h alone, and show(units,
    rows, memory) makes it from the normalised memory (U). On the way back show_backward(units, rows, dh, dm, dz) comes
    first: it writes dm (U), the error of the normalised memory, and to dz those of the gates that it read; to backward the
    whole error of the memory arrives in dc, and it leaves those gates' dz alone.
    """
    shown, shown_back = show or (None, None)
    return CellSteps(
        separate=int(separate),
        recurrence=RECURRENCES[recurrence],
        forward=step_address(forward, int, ByValue(StepRows), ROW, ROW),
        backward=step_address(backward, int, ByValue(StepRows), *[ROW] * 4),
        show=step_address(shown, int, ByValue(StepRows), ROW) if shown else 0,
        show_backward=step_address(shown_back, int, ByValue(StepRows), *[ROW] * 3) if shown_back else 0,
    )


def compile_update(update: Callable[..., None], slots: int) -> Any:
    """Compile an optimizer's update and return its address.

    update(hyper, n, parameters, gradients, *slots) changes n parameters. hyper: Hyperparameters. It is handed one row for
    each of its slots, so it cannot reach others.
    """
    return step_address(update, ByValue(Hyperparameters), int, *[ROW] * (2 + slots))


def span(array: np.ndarray, first: int, last: int) -> Any:
    """Return rows [first, last) of a C-contiguous 2-D float32 array as one row, for a step; a mere pointer in kernels."""
    return array[first:last].reshape(-1)


def call(step: Any, arguments: tuple[Any, ...]) -> None:
    """Call a step by its address."""
    step(*arguments)
