"""The plain recurrent cell (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh), f = tanh or relu."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ...config.checks import choice
from ...lazy import np
from .spec import Cell, Gate, OnnxOperator


class _Activation(NamedTuple):
    """An activation f: as a function of real or complex arrays, and the steps of the cell that has it."""

    function: Callable[[np.ndarray], Any]
    steps: Callable[[], tuple[Callable[..., None], Callable[..., None]]]


def _activation(name: str) -> _Activation:
    """Return an activation. Raises ConfigurationError for an unknown name."""
    choice("activation", name, _ACTIVATIONS)
    return _ACTIVATIONS[name]


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Make one step: see Cell."""
    return _activation(activation).function(zx + zh), c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    """Return one step forward and one step back: see Cell."""
    return _activation(activation).steps()


def _tanh_steps() -> tuple[Callable[..., None], Callable[..., None]]:
    from ...kernels.fastmath import tanh
    from ...kernels.simd import LANES, fma, load, splat, store

    def forward(units, rows, recurrent, c):
        for j in range(0, units, LANES):
            store(rows.h, j, tanh(load(rows.z, j)))

    def backward(units, rows, dh, dc, dz, dz_h):
        for j in range(0, units, LANES):
            after, error = load(rows.h, j), load(dh, j)
            store(dz, j, error * fma(-after, after, 1.0))
            store(dh, j, splat(0.0))

    return forward, backward


def _relu_steps() -> tuple[Callable[..., None], Callable[..., None]]:
    from ...kernels.simd import LANES, above, larger, load, splat, store

    def forward(units, rows, recurrent, c):
        for j in range(0, units, LANES):
            store(rows.h, j, larger(0.0, load(rows.z, j)))

    def backward(units, rows, dh, dc, dz, dz_h):
        for j in range(0, units, LANES):
            error = load(dh, j)
            store(dz, j, error * above(load(rows.h, j), 0.0))
            store(dh, j, splat(0.0))

    return forward, backward


_ACTIVATIONS = {
    "tanh": _Activation(lambda z: np.tanh(z), _tanh_steps),
    "relu": _Activation(lambda z: np.where(z.real > 0, z, 0), _relu_steps),
}

RNN = Cell(
    name="rnn",
    gates=(Gate("h", "activation"),),
    reference=_reference,
    steps=_steps,
    activations=tuple(_ACTIVATIONS),
    pytorch="RNN",
    onnx=lambda activation: OnnxOperator("RNN", (0,), {"activations": [activation.capitalize()]}),
)
