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


@inner
def two_statistics(sizes, part, real, a, b, row, gate_a, gate_b):
    """Return mean and 1 / deviation of a gate of a[row], and those of a gate of b[row]: see `statistics`."""
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    at_a, at_b = gate_a * units, gate_b * units
    sums_a, sums_b = splat_block(0.0), splat_block(0.0)
    for piece in range(part.slices):
        here = row + piece * per_slice
        for j in range(0, units, PAD):
            sums_a = sums_a + load_block(a, here, at_a + j)
            sums_b = sums_b + load_block(b, here, at_b + j)
    n = np.float32(sizes.hidden)
    mean_a, mean_b = total(sums_a) / n, total(sums_b) / n
    squares_a, squares_b = splat_block(0.0), splat_block(0.0)
    for piece in range(part.slices):
        here = row + piece * per_slice
        for j in range(0, units, PAD):
            mask = load_block(real, 0, piece * units + j)
            one, two = (load_block(a, here, at_a + j) - mean_a) * mask, (load_block(b, here, at_b + j) - mean_b) * mask
            squares_a, squares_b = fma(one, one, squares_a), fma(two, two, squares_b)
    variance_a, variance_b = total(squares_a) / n, total(squares_b) / n
    one, epsilon = np.float32(1.0), np.float32(EPSILON)
    return mean_a, one / np.sqrt(variance_a + epsilon), mean_b, one / np.sqrt(variance_b + epsilon)


@inner
def two_mean_errors(sizes, part, layer, row, scales, own, a, e_a, gain_a, gate_a, kind_a, b, e_b, gain_b, gate_b, kind_b):
    """Return what mean_errors does for a gate of a[row] and errors e_a[row], and the same of b and e_b."""
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    at_a, at_b, from_a, from_b = gate_a * units, gate_b * units, gate_a * sizes.padded, gate_b * sizes.padded
    mean_a, inverse_a, mean_b, inverse_b = _scales(scales, own, kind_a, kind_b)
    sums_a, sums_b, products_a, products_b = splat_block(0.0), splat_block(0.0), splat_block(0.0), splat_block(0.0)
    for piece in range(part.slices):
        here = row + piece * per_slice
        for j in range(0, units, PAD):
            one = load_block(e_a, here, at_a + j) * load_block(gain_a, layer, from_a + piece * units + j)
            two = load_block(e_b, here, at_b + j) * load_block(gain_b, layer, from_b + piece * units + j)
            sums_a, sums_b = sums_a + one, sums_b + two
            products_a = fma(one * (load_block(a, here, at_a + j) - mean_a), inverse_a, products_a)
            products_b = fma(two * (load_block(b, here, at_b + j) - mean_b), inverse_b, products_b)
    n = np.float32(sizes.hidden)
    return total(sums_a) / n, total(products_a) / n, total(sums_b) / n, total(products_b) / n


@inner
def _scales(scales, own, a, b):
    """Return the means and 1 / deviations of two kinds of numbers in a row."""
    return scales[own, 2 * a], scales[own, 2 * a + 1], scales[own, 2 * b], scales[own, 2 * b + 1]
