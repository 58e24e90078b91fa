"""Gated recurrent unit (Cho et al. 2014) in PyTorch's reset-after form, gates r, z, n.

r, z = sigmoid of W_ih x + b_ih + W_hh h + b_hh
n = tanh(W_in x + b_in + r (W_hn h + b_hn))        h' = (1 - z) n + z h
"""

from __future__ import annotations

from collections.abc import Callable

from ...lazy import np
from .spec import Cell, Gate, OnnxOperator, sigmoid


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """One step: see Cell."""
    (xr, xz, xn), (hr, hz, hn) = np.split(zx, 3, -1), np.split(zh, 3, -1)
    z = sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h, c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    raise NotImplementedError


GRU = Cell(
    name="gru",
    gates=(Gate("r", "sigmoid"), Gate("z", "sigmoid"), Gate("n", "tanh")),
    reference=_reference,
    steps=_steps,
    extras=1,  # the state's part of n, W_hn h + b_hn
    separate=True,  # n's error is multiplied by r on its way to the state
    keep_gate=1,
    pytorch="GRU",
    onnx=lambda activation: OnnxOperator("GRU", (1, 0, 2), {"linear_before_reset": 1}),  # PyTorch's form
)
