"""The description of a recurrent cell: all that the rest of charlm needs to know of one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...lazy import np

if TYPE_CHECKING:
    from ...kernels.buffers import CellSteps
    from ..norms.spec import Norm


@dataclass(frozen=True)
class Gate:
    """One block of H rows in the weights. activation: "sigmoid", the candidate's, such as "tanh", or "factor".

    A factor is no gate of the step, but what the state is multiplied by: see Cell.
    """

    name: str
    activation: str


@dataclass(frozen=True)
class OnnxOperator:
    """The ONNX operator that computes the same cell. order: our gates in ONNX's order; attributes: the operator's."""

    name: str
    order: tuple[int, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A recurrent cell.

    gates: in the order of their rows in the weights (PyTorch's order). activations: what --activation may choose; its
    default is tanh. recurrence: how the state enters the sums of the gates: through a "matrix", times a "vector" unit by
    unit, as a "product" with the last gate, a factor, or not at all ("none"). memory: whether the cell carries a state c
    beside h. extras: rows of H that the step back needs besides the gates. separate: whether the cell sees the state's part
    of the gates on its own (GRU). keep_gate: index of the gate that keeps the state, whose bias starts at keep_bias; None if
    there is none.

    reference(zx, zh, h, c, activation, shown) is one step in NumPy, see nn/reference.py. steps(activation) returns the step
    forward and the step back for kernels, as kernels/steps.py describes them; importing that takes long, so only this
    function may do it. normed_steps(activation): the same for a cell whose memory is normalised before h is made of it, and
    two steps more; None if no memory is. Only the reference of such a cell is handed `shown`, the norm as a function.

    pytorch: name of the torch.nn module with the same equations, or None. onnx(activation): likewise for ONNX.
    """

    name: str
    gates: tuple[Gate, ...]
    reference: Callable[..., tuple[Any, Any]]
    steps: Callable[[str], tuple[Callable[..., None], Callable[..., None]]]
    normed_steps: Callable[[str], tuple[Callable[..., None], ...]] | None = None
    activations: tuple[str, ...] = ("tanh",)
    recurrence: str = "matrix"
    memory: bool = False
    extras: int = 0
    separate: bool = False
    keep_gate: int | None = None
    keep_bias: float = 0.0
    pytorch: str | None = None
    onnx: Callable[[str], OnnxOperator] | None = None

    @property
    def step_gates(self) -> int:
        """The number of gates that a step sees: all but a factor."""
        return len(self.gates) - (self.recurrence == "product")

    @property
    def sigmoid_gates(self) -> list[int]:
        """Indices of the gates whose values are sigmoids."""
        return [i for i, gate in enumerate(self.gates) if gate.activation == "sigmoid"]


@functools.cache
def compiled(cell: Cell, activation: str, norm: Norm) -> CellSteps:
    """Return the steps of a cell as kernels call them."""
    from ...kernels.steps import compile_cell

    if cell.normed_steps is not None and norm.normalises_memory(cell):
        forward, backward, *show = cell.normed_steps(activation)
        return compile_cell(forward, backward, cell.separate, cell.recurrence, show)
    return compile_cell(*cell.steps(activation), cell.separate, cell.recurrence)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e**-x), also of complex numbers: for reference steps."""
    return 1 / (1 + np.exp(-x))
