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
    """Make one step: see Cell."""
    (xr, xz, xn), (hr, hz, hn) = np.split(zx, 3, -1), np.split(zh, 3, -1)
    z = sigmoid(xz + hz)
    return (1 - z) * np.tanh(xn + sigmoid(xr + hr) * hn) + z * h, c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return one step forward and one step back: see Cell."""
    from ...kernels.fastmath import sigmoid, tanh
    from ...kernels.simd import LANES, fma, load, store

    def forward(units, rows, recurrent, c):
        for j in range(0, units, LANES):
            reset = sigmoid(load(rows.z, j) + load(recurrent, j))
            update = sigmoid(load(rows.z, units + j) + load(recurrent, units + j))
            state_part = load(recurrent, 2 * units + j)
            new = tanh(fma(reset, state_part, load(rows.z, 2 * units + j)))
            store(rows.z, j, reset)
            store(rows.z, units + j, update)
            store(rows.z, 2 * units + j, new)
            store(rows.extra, j, state_part)
            store(rows.h, j, fma(update, load(rows.h_before, j) - new, new))

    def backward(units, rows, dh, dc, dz, dz_h):
        for j in range(0, units, LANES):
            reset, update, new = load(rows.z, j), load(rows.z, units + j), load(rows.z, 2 * units + j)
            error = load(dh, j)
            d_new = error * (1.0 - update) * fma(-new, new, 1.0)
            d_update = error * (load(rows.h_before, j) - new) * update * (1.0 - update)
            d_reset = d_new * load(rows.extra, j) * reset * (1.0 - reset)
            store(dz, j, d_reset)
            store(dz, units + j, d_update)
            store(dz, 2 * units + j, d_new)
            store(dz_h, j, d_reset)
            store(dz_h, units + j, d_update)
            store(dz_h, 2 * units + j, d_new * reset)
            store(dh, j, error * update)

    return forward, backward


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
