"""Batch norm (Ioffe & Szegedy 2015) of the input's part of the gates, over a block (Laurent et al. 2016).

A network that only reads takes running averages of the statistics instead, so that no character is predicted with the help
of those that follow it.
"""

from __future__ import annotations

from ...lazy import np
from .spec import EPSILON, Norm

BATCH = Norm("batch", "batch norm", sums="block")


def normed_by(x: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return (x - mean) / sqrt(variance + EPSILON)."""
    return (x - mean) / np.sqrt(variance + EPSILON)


def block_normed(zx: list[np.ndarray], alive: np.ndarray, differentiated: bool) -> list[np.ndarray]:
    """Return the input's parts of a block, (..., S, G*H) for each step, normalised over its streams and steps.

    alive: (T, S), of streams that make the step; others get 0. differentiated: whether the statistics are functions of the
    inputs, or constants.
    """
    rows = np.concatenate([np.moveaxis(x, -2, 0)[on] for x, on in zip(zx, alive, strict=True)])
    if len(rows) == 0:  # a block in which the layer makes no step
        return [np.zeros_like(x) for x in zx]
    rows = rows if differentiated else rows.real
    mean = rows.mean(0)
    variance = ((rows - mean) ** 2).mean(0)
    both = zip(zx, alive, strict=True)
    return [normed_by(x, mean[..., None, :], variance[..., None, :]) * on[:, None] for x, on in both]
