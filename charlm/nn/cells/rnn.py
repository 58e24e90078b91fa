"""The plain recurrent cell (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh), f = tanh or relu."""

from __future__ import annotations

from collections.abc import Callable

from ...lazy import np
from .spec import Cell, Gate, OnnxOperator


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """One step: see Cell."""
    z = zx + zh
    return np.tanh(z) if activation == "tanh" else np.where(z.real > 0, z, 0), c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    raise NotImplementedError


RNN = Cell(
    name="rnn",
    gates=(Gate("h", "activation"),),
    reference=_reference,
    steps=_steps,
    activations=("tanh", "relu"),
    pytorch="RNN",
    onnx=lambda activation: OnnxOperator("RNN", (0,), {"activations": [activation.capitalize()]}),
)
