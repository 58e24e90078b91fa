"""Layer norm, dropout and residual, in that order, between a layer and whatever reads it.

passed = dropout(norm(h)) + passed of the layer below (residual, from layer 1 on). Outside the time loop: the state
that a layer hands to itself is never touched.

Layer norm: Ba, Kiros & Hinton 2016. Dropout between layers only: Zaremba, Sutskever & Vinyals 2014.
"""

import numpy as np

from .buffers import Net, Sizes, Weights, Window, Workspace
from .jit import inner, kernel_on_demand
from .norms import error_before, mean_errors, statistics
from .parallel import Part, own_rows, share
from .rows import common_row, sliced_row
from .simd import LANES, fma, keep, load, store
from .splitmix import mixed

_ALL = 1 << 32
_MASK = np.uint64(0xFFFFFFFF)


@inner
def row_key(seed, layer, step, stream):
    """Return the 32-bit key of one row's dropout mask: splitmix64's finaliser over seed, layer, step and stream."""
    bits = np.uint64(seed) + np.uint64(step) * np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(stream) * np.uint64(0xD1B54A32D192ED03) + np.uint64(layer) * np.uint64(0x8CB92BA72F3D8DD7)
    return mixed(bits) & _MASK


@inner
def _key(net, part, layer, position, slot, i):
    """Return the key of row i's mask: that of the step which a layer that waits for its clock has made last."""
    own, first = sliced_row(part, net.sizes.capacity, slot) + i, net.sublayer.first + part.lo
    waited = net.window.since[own] % net.clocks[layer]
    return row_key(net.sublayer.seed, layer, position + i // part.n - waited, first + i % part.n)


@kernel_on_demand
def pass_up(net: Net, part: Part, layer: int, slot: int, steps: int, position: int) -> None:
    """Fill window.passed[layer] for own rows of a block; `position` is the block's first step for dropout."""
    sizes, sublayer, weights, window = net.sizes, net.sublayer, net.weights, net.window
    h, passed = window.h[layer], window.passed[layer]
    first, last = own_rows(part, steps)
    for i in range(first, last):
        row = common_row(part, sizes.capacity, slot) + i
        mean, inverse = np.float32(0.0), np.float32(1.0)
        if sublayer.layer_norm:
            mean, inverse = statistics(sizes, part, sublayer.units, h, row)
            window.stats[layer, row, 0] = mean
            window.stats[layer, row, 1] = inverse
        key = _key(net, part, layer, position, slot, i)
        for piece in range(part.slices):
            at, column = row + piece * sizes.capacity * sizes.streams, piece * sizes.units
            for j in range(0, sizes.units, LANES):
                value = load(h, at, j)
                if sublayer.layer_norm:
                    gain, shift = load(weights.gain, layer, column + j), load(weights.shift, layer, column + j)
                    value = fma((value - mean) * inverse, gain, shift)
                if sublayer.keep < _ALL:
                    value = value * keep(key, column + j, sublayer.keep) * sublayer.scale
                if sublayer.residual and layer > 0:
                    value = value + load(window.passed[layer - 1], at, j)
                store(passed, at, j, value)


@kernel_on_demand
def pass_down(net: Net, part: Part, layer: int, slot: int, steps: int, position: int) -> None:
    """Set work.dy to the error of h[layer], given work.error of what it passed up: own rows of `steps` steps from `slot` on.

    work.kept becomes the error after dropout, which the norm's own gradient needs. `position` as in pass_up.
    """
    sizes, sublayer, weights, window, work = net.sizes, net.sublayer, net.weights, net.window, net.work
    h, error, kept, dy = window.h[layer], work.error, work.kept, work.dy
    first, last = own_rows(part, steps)
    for i in range(first, last):
        row = common_row(part, sizes.capacity, slot) + i
        key = _key(net, part, layer, position, slot, i)
        for piece in range(part.slices):
            at = row + piece * sizes.capacity * sizes.streams
            for j in range(0, sizes.units, LANES):
                value = load(error, at, j)
                if sublayer.keep < _ALL:
                    value = value * keep(key, piece * sizes.units + j, sublayer.keep) * sublayer.scale
                store(kept, at, j, value)
                if not sublayer.layer_norm:
                    store(dy, at, j, value)
        if sublayer.layer_norm:
            _norm_down(sizes, part, sublayer, weights, window.stats[layer], h, kept, dy, layer, row)


@inner
def _norm_down(sizes, part, sublayer, weights, stats, h, error, dy, layer, row):
    """Pass an error back through layer norm."""
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    mean, inverse = stats[row, 0], stats[row, 1]
    mean_e, mean_ex = mean_errors(sizes, part, weights.gain, layer, h, row, error, row, per_slice, mean, inverse)
    for piece in range(part.slices):
        at = row + piece * per_slice
        for j in range(0, units, LANES):
            e = load(error, at, j) * load(weights.gain, layer, piece * units + j)
            found = error_before(e, (load(h, at, j) - mean) * inverse, inverse, mean_e, mean_ex)
            store(dy, at, j, found * load(sublayer.units, 0, piece * units + j))


@kernel_on_demand
def norm_gradient(
    sizes: Sizes, part: Part, window: Window, work: Workspace, gradients: Weights, layer: int, slot: int, steps: int
) -> None:
    """Add `steps` slots to the gradients of gain and shift; this thread's units, all rows in order."""
    h, stats, runs = window.h[layer], window.stats[layer], work.time_runs
    parts, at = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    lo, hi = share(sizes.padded // LANES, part.rank, part.ranks)
    for column in range(lo * LANES, hi * LANES, LANES):
        j = column - part.slice * sizes.units
        gain, shift = load(gradients.gain, layer, column), load(gradients.shift, layer, column)
        for run in range(slot * parts, (slot + steps) * parts):
            for i in range(runs[run, 0], runs[run, 0] + runs[run, 2]):
                e = load(work.kept, at + i, j)
                gain = fma(e * (load(h, at + i, j) - stats[i, 0]), stats[i, 1], gain)
                shift = shift + e
        store(gradients.gain, layer, column, gain)
        store(gradients.shift, layer, column, shift)
