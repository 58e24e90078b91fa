"""The plain recurrent cell (Elman 1990): h' = f(W_ih x + b_ih + W_hh h + b_hh), f = tanh or relu."""

from typing import NamedTuple

from numba.extending import overload

from ..fastmath import tanh
from ..jit import OVERLOAD_OPTIONS
from ..simd import LANES, above, larger, load, splat, store
from .interface import STEPS, backward_step, forward_step, is_cell


class RnnTanh(NamedTuple):
    """A tanh cell; h itself is all that the way back needs."""

    gates: int = 1
    extras: int = 0
    separate: int = 0
    forget_gate: int = -1
    forget_bias: int = 0


class RnnRelu(NamedTuple):
    """A rectifier cell; h itself is all that the way back needs."""

    gates: int = 1
    extras: int = 0
    separate: int = 0
    forget_gate: int = -1
    forget_bias: int = 0


def _forward_tanh(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    for j in range(0, h.shape[1], LANES):
        store(h, row, j, tanh(load(z, row, j)))


def _backward_tanh(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    for j in range(0, h.shape[1], LANES):
        after, error = load(h, row, j), load(dh, stream, j)
        store(dz, row, j, error * (1.0 - after * after))
        store(dh, stream, j, splat(0.0))


def _forward_relu(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    for j in range(0, h.shape[1], LANES):
        store(h, row, j, larger(0.0, load(z, row, j)))


def _backward_relu(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    for j in range(0, h.shape[1], LANES):
        error = load(dh, stream, j)
        store(dz, row, j, error * above(load(h, row, j), 0.0))
        store(dh, stream, j, splat(0.0))


STEPS[RnnTanh] = (_forward_tanh, _backward_tanh)
STEPS[RnnRelu] = (_forward_relu, _backward_relu)


@overload(forward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_forward(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    if is_cell(cell, RnnTanh):
        return _forward_tanh
    return _forward_relu if is_cell(cell, RnnRelu) else None


@overload(backward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_backward(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    if is_cell(cell, RnnTanh):
        return _backward_tanh
    return _backward_relu if is_cell(cell, RnnRelu) else None
