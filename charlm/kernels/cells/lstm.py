"""Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000), in PyTorch's gate order.

i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
c' = f c + i g        h' = o tanh(c')
"""

from typing import NamedTuple

from numba.extending import overload

from ..fastmath import sigmoid, tanh
from ..jit import OVERLOAD_OPTIONS
from ..simd import LANES, load, splat, store
from .interface import STEPS, backward_step, forward_step, is_cell


class Lstm(NamedTuple):
    """An LSTM cell: its extra rows are c before the step and tanh(c) after it."""

    gates: int = 4
    extras: int = 2
    separate: int = 0  # the input and the state see the same error
    forget_gate: int = 1  # the gate that keeps the state; -1 where there is none
    forget_bias: int = 1  # its first bias


def _forward(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    p = h.shape[1]
    for j in range(0, p, LANES):
        i = sigmoid(load(z, row, j))
        f = sigmoid(load(z, row, p + j))
        g = tanh(load(z, row, 2 * p + j))
        o = sigmoid(load(z, row, 3 * p + j))
        before = load(c, stream, j)
        after = f * before + i * g
        squashed = tanh(after)
        store(z, row, j, i)
        store(z, row, p + j, f)
        store(z, row, 2 * p + j, g)
        store(z, row, 3 * p + j, o)
        store(extra, row, j, before)
        store(extra, row, p + j, squashed)
        store(c, stream, j, after)
        store(h, row, j, o * squashed)


def _backward(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    p = h.shape[1]
    for j in range(0, p, LANES):
        i, f = load(z, row, j), load(z, row, p + j)
        g, o = load(z, row, 2 * p + j), load(z, row, 3 * p + j)
        before, squashed = load(extra, row, j), load(extra, row, p + j)
        error = load(dh, stream, j)
        memory = load(dc, stream, j) + error * o * (1.0 - squashed * squashed)
        store(dz, row, j, memory * g * i * (1.0 - i))
        store(dz, row, p + j, memory * before * f * (1.0 - f))
        store(dz, row, 2 * p + j, memory * i * (1.0 - g * g))
        store(dz, row, 3 * p + j, error * squashed * o * (1.0 - o))
        store(dc, stream, j, memory * f)
        store(dh, stream, j, splat(0.0))


STEPS[Lstm] = (_forward, _backward)


@overload(forward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_forward(cell, z, extra, h_in, h, row, recurrent, recurrent_row, c, stream):
    return _forward if is_cell(cell, Lstm) else None


@overload(backward_step, jit_options=OVERLOAD_OPTIONS)
def _choose_backward(cell, z, extra, h_in, h, row, dh, dc, stream, dz, dz_h):
    return _backward if is_cell(cell, Lstm) else None
