"""Formulas that all norms share: mean 0 and variance 1 over some numbers, then a gain and a shift, and the way back."""

import numpy as np

from .jit import inner
from .simd import PAD, fma, load_block, splat_block, total

EPSILON = 1e-5  # PyTorch's default


@inner
def statistics(sizes, part, real, array, row):
    """Return mean and 1 / deviation of the real units of a row, which lies in as many pieces as there are slices.

    real: (1, P), 1 for a unit and 0 for padding.
    """
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    sums = splat_block(0.0)
    for piece in range(part.slices):
        for j in range(0, units, PAD):
            sums = sums + load_block(array, row + piece * per_slice, j)
    mean = total(sums) / np.float32(sizes.hidden)
    squares = splat_block(0.0)
    for piece in range(part.slices):
        for j in range(0, units, PAD):
            mask = load_block(real, 0, piece * units + j)
            deviation = (load_block(array, row + piece * per_slice, j) - mean) * mask
            squares = fma(deviation, deviation, squares)
    variance = total(squares) / np.float32(sizes.hidden)
    return mean, np.float32(1.0) / np.sqrt(variance + np.float32(EPSILON))


@inner
def mean_errors(sizes, part, gain, layer, x, row, error, error_row, apart, mean, inverse):
    """Return mean(e) and mean(e x) over the units of a row: e = gain * error, x the normalised number.

    apart: rows from one slice's errors to the next one's.
    """
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    sums, products = splat_block(0.0), splat_block(0.0)
    for piece in range(part.slices):
        here, there = row + piece * per_slice, error_row + piece * apart
        for j in range(0, units, PAD):
            e = load_block(error, there, j) * load_block(gain, layer, piece * units + j)
            sums = sums + e
            products = fma(e * (load_block(x, here, j) - mean), inverse, products)
    return total(sums) / np.float32(sizes.hidden), total(products) / np.float32(sizes.hidden)


@inner
def error_before(e, y, inverse, mean_e, mean_ex):
    """Return the error of numbers before their norm: (e - mean(e) - y mean(e y)) / deviation, y the normalised numbers."""
    return fma(-y, mean_ex, e - mean_e) * inverse
