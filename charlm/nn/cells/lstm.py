"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), in PyTorch's gate order.

i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
c' = f c + i g        h' = o tanh(c'), or o tanh(LN(c')) if the memory is normalised
"""

from __future__ import annotations

from collections.abc import Callable

from ...lazy import np
from .spec import Cell, Gate, OnnxOperator, sigmoid


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str, shown: Callable = lambda c: c
) -> tuple[np.ndarray, np.ndarray]:
    """Make one step: see Cell."""
    i, f, g, o = np.split(zx + zh, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(shown(c)), c


def _steps(activation: str, normed: bool = False) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return one step forward and one step back: see Cell. normed: h is left to `show`."""
    from ...kernels.fastmath import sigmoid, tanh
    from ...kernels.simd import LANES, fma, load, splat, store

    def forward(units, rows, recurrent, c):
        for j in range(0, units, LANES):
            i = sigmoid(load(rows.z, j))
            f = sigmoid(load(rows.z, units + j))
            g = tanh(load(rows.z, 2 * units + j))
            o = sigmoid(load(rows.z, 3 * units + j))
            before = load(c, j)
            after = fma(f, before, i * g)
            store(rows.z, j, i)
            store(rows.z, units + j, f)
            store(rows.z, 2 * units + j, g)
            store(rows.z, 3 * units + j, o)
            store(rows.extra, j, before)
            store(c, j, after)
            if not normed:
                squashed = tanh(after)
                store(rows.extra, units + j, squashed)
                store(rows.h, j, o * squashed)

    def backward(units, rows, dh, dc, dz, dz_h):
        for j in range(0, units, LANES):
            i, f = load(rows.z, j), load(rows.z, units + j)
            g, o = load(rows.z, 2 * units + j), load(rows.z, 3 * units + j)
            before, squashed = load(rows.extra, j), load(rows.extra, units + j)
            error = load(dh, j)
            memory = load(dc, j)
            if not normed:
                memory = fma(error * o, fma(-squashed, squashed, 1.0), memory)
                store(dz, 3 * units + j, error * squashed * o * (1.0 - o))
            store(dz, j, memory * g * i * (1.0 - i))
            store(dz, units + j, memory * before * f * (1.0 - f))
            store(dz, 2 * units + j, memory * i * fma(-g, g, 1.0))
            store(dc, j, memory * f)
            store(dh, j, splat(0.0))

    return forward, backward


def _normed_steps(activation: str) -> tuple[Callable[..., None], ...]:
    """Return the steps of a cell whose memory is normalised: see Cell."""
    from ...kernels.fastmath import tanh
    from ...kernels.simd import LANES, fma, load, store

    def show(units, rows, memory):
        for j in range(0, units, LANES):
            squashed = tanh(load(memory, j))
            store(rows.extra, units + j, squashed)
            store(rows.h, j, load(rows.z, 3 * units + j) * squashed)

    def show_backward(units, rows, dh, dm, dz):
        for j in range(0, units, LANES):
            error, o, squashed = load(dh, j), load(rows.z, 3 * units + j), load(rows.extra, units + j)
            store(dm, j, error * o * fma(-squashed, squashed, 1.0))
            store(dz, 3 * units + j, error * squashed * o * (1.0 - o))

    return *_steps(activation, normed=True), show, show_backward


LSTM = Cell(
    name="lstm",
    gates=(Gate("i", "sigmoid"), Gate("f", "sigmoid"), Gate("g", "tanh"), Gate("o", "sigmoid")),
    reference=_reference,
    steps=_steps,
    normed_steps=_normed_steps,
    memory=True,
    extras=2,  # c before the step and tanh(c) after it
    keep_gate=1,
    keep_bias=1.0,
    pytorch="LSTM",
    onnx=lambda activation: OnnxOperator("LSTM", (0, 3, 1, 2), {}),
)
