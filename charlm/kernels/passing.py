"""What lies between a layer and whatever reads it: layer norm, dropout, residual, in that order.

passed = dropout(norm(h)) + passed of the layer below (residual, from layer 1 on). Outside the time loop: the state
that a layer hands to itself is never touched.

Layer norm: Ba, Kiros & Hinton 2016. Dropout between layers only: Zaremba, Sutskever & Vinyals 2014.
"""

import numpy as np

from .buffers import Passing, Sizes, Weights, Window, Work
from .jit import inner
from .lanes import LANES, keep, load, splat, store, total

_EPSILON = 1e-5  # PyTorch's default for layer norm
_ALL = 1 << 32
_MASK = np.uint64(0xFFFFFFFF)


@inner
def row_key(seed, layer, step, stream):
    """The 32-bit key of one row's dropout mask: splitmix64's finaliser over seed, layer, step and stream."""
    bits = np.uint64(seed) + np.uint64(step) * np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(stream) * np.uint64(0xD1B54A32D192ED03) + np.uint64(layer) * np.uint64(0x8CB92BA72F3D8DD7)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (bits ^ (bits >> np.uint64(31))) & _MASK


@inner
def _statistics(sizes, passing, h, row):
    """Mean and 1 / deviation of the real units of h[row]."""
    p = h.shape[1]
    sums = splat(0.0)
    for j in range(0, p, LANES):
        sums = sums + load(h, row, j)
    mean = total(sums) / np.float32(sizes.hidden)
    squares = splat(0.0)
    for j in range(0, p, LANES):
        deviation = (load(h, row, j) - mean) * load(passing.units, 0, j)
        squares = squares + deviation * deviation
    variance = total(squares) / np.float32(sizes.hidden)
    return mean, np.float32(1.0) / np.sqrt(variance + np.float32(_EPSILON))


@inner
def pass_up(sizes: Sizes, passing: Passing, weights: Weights, window: Window, layer, slot, steps, lo, hi, position):
    """Fills window.passed[layer] for streams [lo, hi) of a block; `position` is the block's first step for dropout."""
    h, passed = window.h[layer], window.passed[layer]
    for t in range(steps):
        for s in range(lo, hi):
            row = (slot + t) * sizes.streams + s
            mean, inverse = np.float32(0.0), np.float32(1.0)
            if passing.layer_norm:
                mean, inverse = _statistics(sizes, passing, h, row)
                window.stats[layer, row, 0] = mean
                window.stats[layer, row, 1] = inverse
            key = row_key(passing.seed, layer, position + t, s)
            for j in range(0, h.shape[1], LANES):
                value = load(h, row, j)
                if passing.layer_norm:
                    value = (value - mean) * inverse * load(weights.gain, layer, j) + load(weights.shift, layer, j)
                if passing.keep < _ALL:
                    value = value * keep(key, j, passing.keep) * passing.scale
                if passing.residual and layer > 0:
                    value = value + load(window.passed[layer - 1], row, j)
                store(passed, row, j, value)


@inner
def pass_down(sizes: Sizes, passing: Passing, weights: Weights, window: Window, work: Work, layer, end, n, lo, hi, base):
    """work.dy = the error of h[layer], given work.error of what it passed up, for the newest n steps before `end`.

    work.kept becomes the error after dropout, which the norm's own gradient needs. `base` is the dropout position of
    epoch step 0.
    """
    h, error, kept, dy = window.h[layer], work.error, work.kept, work.dy
    for t in range(end - n, end):
        for s in range(lo, hi):
            row = t % sizes.capacity * sizes.streams + s
            key = row_key(passing.seed, layer, base + t, s)
            for j in range(0, h.shape[1], LANES):
                value = load(error, row, j)
                if passing.keep < _ALL:
                    value = value * keep(key, j, passing.keep) * passing.scale
                store(kept, row, j, value)
            if passing.layer_norm:
                _norm_down(sizes, passing, weights, window.stats[layer], h, kept, dy, layer, row)
            else:
                for j in range(0, h.shape[1], LANES):
                    store(dy, row, j, load(kept, row, j))


@inner
def _norm_down(sizes, passing, weights, stats, h, error, dy, layer, row):
    """Layer norm backwards: d h = (e - mean(e) - x mean(e x)) / deviation, e = gain * error, x the normalised h."""
    mean, inverse = stats[row, 0], stats[row, 1]
    sums, products = splat(0.0), splat(0.0)
    for j in range(0, h.shape[1], LANES):
        e = load(error, row, j) * load(weights.gain, layer, j)
        sums = sums + e
        products = products + e * (load(h, row, j) - mean) * inverse
    mean_e = total(sums) / np.float32(sizes.hidden)
    mean_ex = total(products) / np.float32(sizes.hidden)
    for j in range(0, h.shape[1], LANES):
        e = load(error, row, j) * load(weights.gain, layer, j)
        x = (load(h, row, j) - mean) * inverse
        store(dy, row, j, (e - mean_e - x * mean_ex) * inverse * load(passing.units, 0, j))


@inner
def accumulate_norm(window: Window, gradients: Weights, error, layer, row, n, first, last):
    """Adds rows [row, row + n) to the gradients of gain and shift, columns [first, last)."""
    h, stats = window.h[layer], window.stats[layer]
    for j in range(first, last, LANES):
        gain, shift = load(gradients.gain, layer, j), load(gradients.shift, layer, j)
        for i in range(row, row + n):
            e = load(error, i, j)
            gain = gain + e * (load(h, i, j) - stats[i, 0]) * stats[i, 1]
            shift = shift + e
        store(gradients.gain, layer, j, gain)
        store(gradients.shift, layer, j, shift)
