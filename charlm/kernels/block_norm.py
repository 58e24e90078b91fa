"""Batch norm of the input's part of the gates, over the streams and steps of a block.

Ioffe & Szegedy 2015, for recurrent networks Laurent et al. 2016. The gates' biases are added after it and are its shifts.
"""

import numpy as np

from .buffers import Net, Weights
from .jit import inner, kernel_on_demand
from .norms import EPSILON, error_before
from .parallel import Part, barrier, own_columns
from .rows import sliced_row
from .simd import LANES, fma, load, splat, sqrt, store

MOMENTUM = 0.1  # of running averages: weight of the newest block, PyTorch's default


@inner
def _rows_of_steps(net, part, layer, slot, steps):
    """Return how many rows of a block a layer steps at."""
    sizes, runs, n = net.sizes, net.work.time_runs, 0
    parts, base = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    for run in range(slot * parts, (slot + steps) * parts):
        for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
            if net.window.steps[layer, i]:
                n += 1
    return n


@inner
def _block_statistics(net, part, layer, slot, steps):
    """Set this thread's columns of window.columns, at the block's last slot, and of work.variance."""
    sizes, window, runs = net.sizes, net.window, net.work.time_runs
    x, parts, base = window.sums[layer], runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    n, columns = np.float32(max(1, _rows_of_steps(net, part, layer, slot, steps))), window.columns[layer]
    mean, inverse = 2 * (slot + steps - 1), 2 * (slot + steps - 1) + 1
    lo, hi = own_columns(part, sizes.units)
    for gate in range(sizes.gates):
        column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for j in range(lo, hi, LANES):
            store(columns, mean, at + j, splat(0.0))
            store(net.work.variance, layer, at + j, splat(0.0))
        for run in range(slot * parts, (slot + steps) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi if window.steps[layer, i] else lo, LANES):
                    store(columns, mean, at + j, load(columns, mean, at + j) + load(x, i, column + j))
        for j in range(lo, hi, LANES):
            store(columns, mean, at + j, load(columns, mean, at + j) / n)
        for run in range(slot * parts, (slot + steps) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi if window.steps[layer, i] else lo, LANES):
                    deviation = load(x, i, column + j) - load(columns, mean, at + j)
                    squares = load(net.work.variance, layer, at + j)
                    store(net.work.variance, layer, at + j, fma(deviation, deviation, squares))
        for j in range(lo, hi, LANES):
            variance = load(net.work.variance, layer, at + j) / n
            store(net.work.variance, layer, at + j, variance)
            store(columns, inverse, at + j, 1.0 / sqrt(variance + EPSILON))


@kernel_on_demand
def settle_running(net: Net, part: Part) -> None:
    """Set the last rows of window.columns to the running averages, for a network that only reads; this thread's columns."""
    sizes, running, last = net.sizes, net.weights.running, 2 * net.sizes.capacity
    lo, hi = own_columns(part, sizes.units)
    for layer in range(sizes.layers):
        for gate in range(sizes.gates):
            at = gate * sizes.padded + part.slice * sizes.units
            for j in range(at + lo, at + hi, LANES):
                store(net.window.columns[layer], last, j, load(running[layer], 0, j))
                store(net.window.columns[layer], last + 1, j, 1.0 / sqrt(load(running[layer], 1, j) + EPSILON))


@kernel_on_demand
def norm_block(net: Net, part: Part, layer: int, slot: int, steps: int) -> None:
    """Normalise the input's part of a block: window.sums -> window.z, with biases."""
    sizes, weights, window = net.sizes, net.weights, net.window
    place = sizes.capacity
    if net.norm.statistics:
        place = slot + steps - 1
        barrier(part)
        _block_statistics(net, part, layer, slot, steps)
        if part.rank == 0:
            for t in range(slot, slot + steps):
                window.ends[t] = place
        barrier(part)
    x, z, columns = window.sums[layer], window.z[layer], window.columns[layer]
    row = sliced_row(part, sizes.capacity, slot)
    for gate in range(sizes.gates):
        column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for i in range(row, row + steps * part.n):
            for j in range(0, sizes.units, LANES):
                mean, inverse = load(columns, 2 * place, at + j), load(columns, 2 * place + 1, at + j)
                bias = load(weights.b_ih, layer, at + j)
                if not net.cell.separate:
                    bias = bias + load(weights.b_hh, layer, at + j)
                value = (load(x, i, column + j) - mean) * inverse
                store(z, i, column + j, fma(value, load(weights.gain_ih, layer, at + j), bias))


@inner
def _block_of(net, slot):
    """Return the slot at which a slot's block ends, or the place of the running averages."""
    return net.window.ends[slot] if net.norm.statistics else net.sizes.capacity


@kernel_on_demand
def norm_block_back(net: Net, part: Part, end: int, reach: int, steps: int, gradients: Weights, layer: int) -> None:
    """Go back through norm_block over `reach` steps up to end: work.dz -> work.dx, and the gradients of gains and biases.

    The newest block has `steps` steps; errors of its statistics reach its own rows. Those of older blocks in the window, and
    running averages, are constants. Ends when work.dx is complete for this thread's rows.
    """
    sizes, window, work, columns = net.sizes, net.window, net.work, net.window.columns[layer]
    newest = end - steps if net.norm.statistics else end
    slot, last = (end - steps) % sizes.capacity, (end - 1) % sizes.capacity
    rows = _rows_of_steps(net, part, layer, slot, steps)
    n, unbiased = np.float32(max(1, rows)), np.float32(max(1, rows - 1))
    running = net.weights.running[layer]
    lo, hi = own_columns(part, sizes.units)
    for gate in range(sizes.gates):
        at = gate * sizes.padded + part.slice * sizes.units
        _columns_back(net, part, end, reach, gradients, layer, newest, gate * sizes.units, at)
        for j in range(lo, hi, LANES):
            store(work.means, 0, at + j, load(work.means, 0, at + j) / n)
            store(work.means, 1, at + j, load(work.means, 1, at + j) / n)
            if net.norm.statistics:
                mean, variance = load(columns, 2 * last, at + j), load(work.variance, layer, at + j) * (n / unbiased)
                if rows == 0:  # a slow layer makes no step: its averages stay
                    mean, variance = load(running, 0, at + j), load(running, 1, at + j)
                store(gradients.running[layer], 0, at + j, mean * net.norm.share)
                store(gradients.running[layer], 1, at + j, variance * net.norm.share)
    barrier(part)
    for t in range(end - reach, end):
        slot = t % sizes.capacity
        row, place = sliced_row(part, sizes.capacity, slot), _block_of(net, slot)
        for i in range(row, row + part.n):
            for gate in range(sizes.gates):
                column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
                for j in range(0, sizes.units, LANES):
                    mean, inverse = load(columns, 2 * place, at + j), load(columns, 2 * place + 1, at + j)
                    found = load(work.dz, i, column + j) * load(net.weights.gain_ih, layer, at + j)
                    if not window.steps[layer, i]:
                        found = splat(0.0)
                    elif t < newest:
                        found = found * inverse
                    else:
                        y = (load(window.sums[layer], i, column + j) - mean) * inverse
                        mean_e, mean_ex = load(work.means, 0, at + j), load(work.means, 1, at + j)
                        found = error_before(found, y, inverse, mean_e, mean_ex)
                    store(work.dx, i, column + j, found)


@inner
def _columns_back(net, part, end, reach, gradients, layer, newest, column, at):
    """Add up this thread's columns of a gate's errors: gradients, and the sums of the newest block's errors.

    column, at: at which the gate begins in a row of dz, and of the gradients. All rows in order.
    """
    sizes, window, work, runs = net.sizes, net.window, net.work, net.work.time_runs
    parts, base = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    lo, hi = own_columns(part, sizes.units)
    gains, shifts, shifts_h, means = gradients.gain_ih, gradients.b_ih, gradients.b_hh, work.means
    # A norm of the state's part has the state's biases for itself. The factor of a product has no such part.
    both_biases = not net.norm.apart or column >= sizes.step_gates * sizes.units
    for j in range(at + lo, at + hi, LANES):
        store(means, 0, j, splat(0.0))
        store(means, 1, j, splat(0.0))
    for t in range(end - reach, end):
        slot = t % sizes.capacity
        place = _block_of(net, slot)
        for run in range(slot * parts, (slot + 1) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi if window.steps[layer, i] else lo, LANES):
                    mean = load(window.columns[layer], 2 * place, at + j)
                    inverse = load(window.columns[layer], 2 * place + 1, at + j)
                    e, x = load(work.dz, i, column + j), (load(window.sums[layer], i, column + j) - mean) * inverse
                    store(gains, layer, at + j, fma(e, x, load(gains, layer, at + j)))
                    store(shifts, layer, at + j, load(shifts, layer, at + j) + e)
                    if both_biases:
                        store(shifts_h, layer, at + j, load(shifts_h, layer, at + j) + load(work.dz_h, i, column + j))
                    if t >= newest:
                        e = e * load(net.weights.gain_ih, layer, at + j)
                        store(means, 0, at + j, load(means, 0, at + j) + e)
                        store(means, 1, at + j, fma(e, x, load(means, 1, at + j)))


@kernel_on_demand
def average_statistics(net: Net, part: Part, gradients: Weights) -> None:
    """Move the running averages towards the newest block's statistics; this thread's columns."""
    sizes = net.sizes
    lo, hi = own_columns(part, sizes.units)
    for layer in range(sizes.layers):
        running, found = net.weights.running[layer], gradients.running[layer]
        for which in range(2):
            for gate in range(sizes.gates):
                at = gate * sizes.padded + part.slice * sizes.units
                for j in range(at + lo, at + hi, LANES):
                    before = load(running, which, j)
                    store(running, which, j, fma(load(found, which, j) - before, MOMENTUM, before))
