"""Layer norm inside the cell (Ba, Kiros & Hinton 2016), placed as by Ha, Dai & Le 2017: each gate's sum has its own norm.

The memory of an LSTM has one too before it is shown: h' = o tanh(LN(c')). In a cell that sees the two parts of its gates
separately, such as the GRU, each part has a norm, as in Ba, Kiros & Hinton's GRU.
"""

from __future__ import annotations

from ...lazy import np
from .spec import Norm, normalised

CELL = Norm("cell", "layer norm in the cell", sums="units")


def gates_normed(hidden: int, x: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return x (..., S, G*H), each gate of `hidden` units normalised, times its gain (..., 1, G*H)."""
    gates = x.reshape(*x.shape[:-1], -1, hidden)
    return normalised(gates, (-1,)).reshape(x.shape) * gain
