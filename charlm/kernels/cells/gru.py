"""Gated recurrent unit (Cho et al. 2014) in PyTorch's reset-after form, gates r, z, n.

r, z = sigmoid of W_ih x + b_ih + W_hh h + b_hh
n = tanh(W_in x + b_in + r (W_hn h + b_hn))        h' = (1 - z) n + z h
"""

from typing import NamedTuple

from numba.extending import overload

from ..fastmath import sigmoid, tanh
from ..jit import OVERLOAD_OPTIONS
from ..simd import LANES, load, store
from .interface import STEPS, backward_step, forward_step, is_cell


class Gru(NamedTuple):
    """A GRU cell: its extra row is the state's part of n, W_hn h + b_hn."""

    gates: int = 3
    extras: int = 1
    separate: int = 1  # n's error is multiplied by r on its way to the state
    forget_gate: int = 1  # z, which keeps the state
    forget_bias: int = 0


def _forward(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    p = h.shape[1]
    for j in range(0, p, LANES):
        reset = sigmoid(load(z, row, j) + load(recurrent, recurrent_row, j))
        update = sigmoid(load(z, row, p + j) + load(recurrent, recurrent_row, p + j))
        state_part = load(recurrent, recurrent_row, 2 * p + j)
        new = tanh(load(z, row, 2 * p + j) + reset * state_part)
        store(z, row, j, reset)
        store(z, row, p + j, update)
        store(z, row, 2 * p + j, new)
        store(extra, row, j, state_part)
        store(h, row, j, new + update * (load(h_in, row, j) - new))


def _backward(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    p = h.shape[1]
    for j in range(0, p, LANES):
        reset, update, new = load(z, row, j), load(z, row, p + j), load(z, row, 2 * p + j)
        error = load(dh, stream, j)
        d_new = error * (1.0 - update) * (1.0 - new * new)
        d_update = error * (load(h_in, row, j) - new) * update * (1.0 - update)
        d_reset = d_new * load(extra, row, j) * reset * (1.0 - reset)
        store(dz, row, j, d_reset)
        store(dz, row, p + j, d_update)
        store(dz, row, 2 * p + j, d_new)
        store(dz_h, row, j, d_reset)
        store(dz_h, row, p + j, d_update)
        store(dz_h, row, 2 * p + j, d_new * reset)
        store(dh, stream, j, error * update)


STEPS[Gru] = (_forward, _backward)


@overload(forward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_forward(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    return _forward if is_cell(cell, Gru) else None


@overload(backward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_backward(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    return _backward if is_cell(cell, Gru) else None
