"""Minimal gated unit without a state in its gates (minGRU; Feng et al. 2024), gates z, n, both of the input alone.

z = sigmoid of W_iz x + b_iz + b_hz        n = W_in x + b_in + b_hn        h' = (1 - z) n + z h

As in PyTorch's GRU z is what keeps the state; the paper's z is 1 - z. There is no product in the loop over time.
"""

from __future__ import annotations

from collections.abc import Callable

from ...lazy import np
from .spec import Cell, Gate, sigmoid


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Make one step: see Cell."""
    z, n = np.split(zx + zh, 2, -1)
    return (1 - sigmoid(z)) * n + sigmoid(z) * h, c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return one step forward and one step back: see Cell."""
    from ...kernels.fastmath import sigmoid
    from ...kernels.simd import LANES, fma, load, store

    def forward(units, rows, recurrent, c):
        for j in range(0, units, LANES):
            keep, new = sigmoid(load(rows.z, j)), load(rows.z, units + j)
            store(rows.z, j, keep)
            store(rows.h, j, fma(keep, load(rows.h_before, j) - new, new))

    def backward(units, rows, dh, dc, dz, dz_h):
        for j in range(0, units, LANES):
            keep, new, error = load(rows.z, j), load(rows.z, units + j), load(dh, j)
            store(dz, j, error * (load(rows.h_before, j) - new) * keep * (1.0 - keep))
            store(dz, units + j, error * (1.0 - keep))
            store(dh, j, error * keep)

    return forward, backward


MINGRU = Cell(
    name="mingru",
    gates=(Gate("z", "sigmoid"), Gate("n", "linear")),
    reference=_reference,
    steps=_steps,
    recurrence="none",
    keep_gate=0,
)
