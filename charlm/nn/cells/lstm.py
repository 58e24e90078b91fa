"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), in PyTorch's gate order.

i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
c' = f c + i g        h' = o tanh(c')
"""

from __future__ import annotations

from collections.abc import Callable

from ...lazy import np
from .spec import Cell, Gate, OnnxOperator, sigmoid


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """One step: see Cell."""
    i, f, g, o = np.split(zx + zh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    raise NotImplementedError


LSTM = Cell(
    name="lstm",
    gates=(Gate("i", "sigmoid"), Gate("f", "sigmoid"), Gate("g", "tanh"), Gate("o", "sigmoid")),
    reference=_reference,
    steps=_steps,
    memory=True,
    extras=2,  # c before the step and tanh(c) after it
    keep_gate=1,
    keep_bias=1.0,
    pytorch="LSTM",
    onnx=lambda activation: OnnxOperator("LSTM", (0, 3, 1, 2), {}),
)
