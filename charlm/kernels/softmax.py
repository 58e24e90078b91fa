"""Softmax, the loss -log p(target) in nats, and its error, row by row. The results take the place of the logits."""

import numpy as np

from .elementary import log
from .fastmath import exp
from .jit import inner
from .rows import clear_row
from .simd import LANES, PAD, larger, largest, load, load_block, splat, splat_block, store, total


@inner
def exponentials_in_place(logits: np.ndarray, row: int, width: int) -> tuple[float, float]:
    """Replace logits[row, :width] by exp(logit - largest). Return the largest logit and the sum, in float64."""
    peak = load_block(logits, row, 0)
    for j in range(PAD, width, PAD):
        peak = larger(load_block(logits, row, j), peak)
    top = largest(peak)
    sums = splat_block(0.0)
    for j in range(0, width, PAD):
        value = exp(load_block(logits, row, j) - top)
        store(logits, row, j, value)
        sums = sums + value
    return top, np.float64(total(sums))


@inner
def loss_in_place(logits: np.ndarray, row: int, width: int, target: int) -> float:
    """Return -log softmax(logits[row, :width])[target] in nats, float64. That part becomes exp(logit - largest)."""
    chosen = np.float64(logits[row, target])
    top, mass = exponentials_in_place(logits, row, width)
    return log(mass) + (np.float64(top) - chosen)


@inner
def loss_and_error_in_place(logits: np.ndarray, row: int, width: int, target: int, weight: float) -> float:
    """Return the same loss. The row becomes its error, weight * (softmax - one-hot); both are 0 for target -1.

    What lies behind the logits becomes 0.
    """
    if target < 0:
        clear_row(logits, row)
        return 0.0
    chosen = np.float64(logits[row, target])
    top, mass = exponentials_in_place(logits, row, width)
    factor = weight / mass
    for j in range(0, width, LANES):
        store(logits, row, j, load(logits, row, j) * factor)
    for j in range(width, logits.shape[1], LANES):
        store(logits, row, j, splat(0.0))
    logits[row, target] -= np.float32(weight)
    return log(mass) + (np.float64(top) - chosen)
