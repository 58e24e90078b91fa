"""Norms: mean 0 and variance 1 over the units of a row, or over the rows of a block; then a gain and a shift.

Over units: Ba, Kiros & Hinton 2016, and inside the cell placed as by Ha, Dai & Le 2017. Over a block: Ioffe & Szegedy 2015,
for recurrent networks Laurent et al. 2016. The gates' biases are added after the norm and are its shifts.
"""

import numpy as np

from .buffers import Net, Weights
from .jit import inner, kernel_on_demand
from .parallel import Part, barrier, meet, share
from .rows import common_row, fill_part, piece_of_ring, sliced_row, step_rows
from .simd import LANES, PAD, fma, load, load_block, splat, splat_block, sqrt, store, total
from .steps import call, span

EPSILON = 1e-5  # PyTorch's default
MOMENTUM = 0.1  # of running averages: weight of the newest block, PyTorch's default


@inner
def statistics(sizes, part, real, array, row, column):
    """Return mean and 1 / deviation of the real units of a row, which lies in as many pieces as there are slices.

    real: (1, P), 1 for a unit and 0 for padding. column: at which the units begin.
    """
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    sums = splat_block(0.0)
    for piece in range(part.slices):
        for j in range(0, units, PAD):
            sums = sums + load_block(array, row + piece * per_slice, column + j)
    mean = total(sums) / np.float32(sizes.hidden)
    squares = splat_block(0.0)
    for piece in range(part.slices):
        for j in range(0, units, PAD):
            mask = load_block(real, 0, piece * units + j)
            deviation = (load_block(array, row + piece * per_slice, column + j) - mean) * mask
            squares = fma(deviation, deviation, squares)
    variance = total(squares) / np.float32(sizes.hidden)
    return mean, np.float32(1.0) / np.sqrt(variance + np.float32(EPSILON))


@inner
def mean_errors(sizes, part, gain, layer, at, x, column, error, row, mean, inverse):
    """Return mean(e) and mean(e x) over the units of a row: e = gain * error, x the normalised number.

    at: at which the gains begin; column: at which x and error do.
    """
    per_slice, units = sizes.capacity * sizes.streams, sizes.units
    sums, products = splat_block(0.0), splat_block(0.0)
    for piece in range(part.slices):
        here = row + piece * per_slice
        for j in range(0, units, PAD):
            e = load_block(error, here, column + j) * load_block(gain, layer, at + piece * units + j)
            sums = sums + e
            products = fma(e * (load_block(x, here, column + j) - mean), inverse, products)
    return total(sums) / np.float32(sizes.hidden), total(products) / np.float32(sizes.hidden)


@inner
def error_before(e, x, mean, inverse, mean_e, mean_ex):
    """Return the error of numbers x before their norm: (e - mean(e) - y mean(e y)) / deviation, y normalised."""
    return fma(-((x - mean) * inverse), mean_ex, e - mean_e) * inverse


# --- inside the cell: one step of a thread's streams, its own slice of units -------------------------------------------


@inner
def _norm_row(net, part, x, layer, row, own, gain, gate, kind, target, to, shift, shift_too):
    """Normalise one gate of a row of x[layer] into target, with the biases shift (and shift_too) added."""
    sizes, scales = net.sizes, net.window.scales
    column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
    mean, inverse = statistics(sizes, part, net.sublayer.units, x[layer], row, column)
    scales[layer, own, 2 * kind] = mean
    scales[layer, own, 2 * kind + 1] = inverse
    for j in range(0, sizes.units, LANES):
        value = (load(x[layer], own, column + j) - mean) * inverse
        bias = load(shift, layer, at + j)
        if shift_too:
            bias = bias + load(net.weights.b_hh, layer, at + j)
        store(target, to, column + j, fma(value, load(gain, layer, at + j), bias))


@kernel_on_demand
def norm_step(net: Net, part: Part, layer: int, slot: int) -> None:
    """Normalise the sums of a step's gates: window.sums -> window.z; window.sums_h -> work.recurrent if those are apart."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    separate = net.cell.separate
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    meet(part)
    for s in range(part.n):
        for gate in range(sizes.gates):
            if window.y[own + s] >= 0:
                one, z = weights.b_ih, window.z[layer]
                _norm_row(
                    net,
                    part,
                    window.sums,
                    layer,
                    row + s,
                    own + s,
                    weights.gain_ih,
                    gate,
                    gate,
                    z,
                    own + s,
                    one,
                    not separate,
                )
                if separate:
                    kind, to = sizes.gates + gate, part.base + s
                    two, out = weights.b_hh, work.recurrent
                    _norm_row(
                        net, part, window.sums_h, layer, row + s, own + s, weights.gain_hh, gate, kind, out, to, two, False
                    )


@inner
def _before_row(net, part, x, layer, row, own, gain, gate, kind, error, target):
    """Set one gate of a row of target, own slice, to the error before the norm."""
    sizes, scales = net.sizes, net.window.scales
    column, at = gate * sizes.units, gate * sizes.padded
    mean, inverse = scales[layer, own, 2 * kind], scales[layer, own, 2 * kind + 1]
    mean_e, mean_ex = mean_errors(sizes, part, gain, layer, at, x[layer], column, error, row, mean, inverse)
    first = part.slice * sizes.units
    for j in range(0, sizes.units, LANES):
        e = load(error, own, column + j) * load(gain, layer, at + first + j)
        found = error_before(e, load(x[layer], own, column + j), mean, inverse, mean_e, mean_ex)
        store(target, own, column + j, found * load(net.sublayer.units, 0, first + j))


@kernel_on_demand
def norm_step_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through norm_step: work.dz -> work.dx; work.dz_h -> work.ds if those are apart."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    meet(part)
    for s in range(part.n):
        for gate in range(sizes.gates):
            _before_row(net, part, window.sums, layer, row + s, own + s, weights.gain_ih, gate, gate, work.dz, work.dx)
            if net.cell.separate:
                kind = sizes.gates + gate
                _before_row(
                    net, part, window.sums_h, layer, row + s, own + s, weights.gain_hh, gate, kind, work.dz_h, work.ds
                )


@kernel_on_demand
def show_memory(net: Net, part: Part, layer: int, slot: int) -> None:
    """Make h of a step from its normalised memory, which lies in window.memory as it is."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    kind, first = 2 * (2 * sizes.gates), part.slice * sizes.units
    meet(part)
    for s in range(part.n):
        if window.y[own + s] < 0:
            continue
        mean, inverse = statistics(sizes, part, net.sublayer.units, window.memory[layer], row + s, 0)
        window.scales[layer, own + s, kind] = mean
        window.scales[layer, own + s, kind + 1] = inverse
        for j in range(0, sizes.units, LANES):
            value = (load(window.memory[layer], own + s, j) - mean) * inverse
            gain, shift = load(weights.gain, layer, first + j), load(weights.shift, layer, first + j)
            store(work.recurrent, part.base + s, j, fma(value, gain, shift))
        memory = span(work.recurrent, part.base + s, part.base + s + 1)
        call(net.cell.show, (sizes.units, step_rows(window, layer, own + s), memory))


@kernel_on_demand
def show_memory_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through show_memory: add the error of the memory to work.dc, and set the shown gates' part of work.dz."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    kind, first = 2 * (2 * sizes.gates), part.slice * sizes.units
    at = sliced_row(part, sizes.layers, layer)
    for s in range(part.n):
        dh, dm, dz = (
            span(work.dh, at + s, at + s + 1),
            span(work.dm, own + s, own + s + 1),
            span(work.dz, own + s, own + s + 1),
        )
        call(net.cell.show_backward, (sizes.units, step_rows(window, layer, own + s), dh, dm, dz))
    meet(part)
    for s in range(part.n):
        mean, inverse = window.scales[layer, own + s, kind], window.scales[layer, own + s, kind + 1]
        memory = window.memory[layer]
        mean_e, mean_ex = mean_errors(sizes, part, weights.gain, layer, 0, memory, 0, work.dm, row + s, mean, inverse)
        for j in range(0, sizes.units, LANES):
            e = load(work.dm, own + s, j) * load(weights.gain, layer, first + j)
            found = error_before(e, load(memory, own + s, j), mean, inverse, mean_e, mean_ex)
            found = found * load(net.sublayer.units, 0, first + j)
            store(work.dc, at + s, j, load(work.dc, at + s, j) + found)


@kernel_on_demand
def norm_step_gradient(net: Net, part: Part, end: int, reach: int, gradients: Weights, layer: int) -> None:
    """Add to the gradients of the gates' gains and biases, and of the memory's gain and shift, over `reach` steps up to end.

    This thread's columns, all rows in order.
    """
    sizes, window, work, scales = net.sizes, net.window, net.work, net.window.scales[layer]
    for gate in range(sizes.gates):
        _gain_gradient(
            net, part, end, reach, window.sums[layer], scales, gate, gate, work.dz, gradients.gain_ih, gradients.b_ih, layer
        )
        if net.cell.separate:
            sums, kind = window.sums_h[layer], sizes.gates + gate
            _gain_gradient(
                net, part, end, reach, sums, scales, gate, kind, work.dz_h, gradients.gain_hh, gradients.b_hh, layer
            )
        else:
            lo, hi = own_columns(part, sizes)
            at = gate * sizes.padded + part.slice * sizes.units
            fill_part(gradients.b_hh, layer, at + lo, gradients.b_ih, layer, at + lo, hi - lo)
    if net.norm.memory:
        memory, kind = window.memory[layer], 2 * sizes.gates
        _gain_gradient(net, part, end, reach, memory, scales, 0, kind, work.dm, gradients.gain, gradients.shift, layer)


@inner
def own_columns(part, sizes):
    """Return the units [lo, hi) of its slice whose sums over rows this thread makes: a share of them for each group."""
    lo, hi = share(sizes.units // LANES, part.group, part.groups)
    return lo * LANES, hi * LANES


@inner
def _gain_gradient(net, part, end, reach, x, scales, gate, kind, error, gain, shift, layer):
    """Add to the gradients of one gate's gain and shift: x before the norm, its scales, and the error after it."""
    sizes, runs = net.sizes, net.work.time_runs
    parts, base = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
    lo, hi = own_columns(part, sizes)
    for half in range(2):
        slot, length = piece_of_ring(end, reach, sizes.capacity, half)
        for run in range(slot * parts, (slot + length) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                mean, inverse = scales[i, 2 * kind], scales[i, 2 * kind + 1]
                for j in range(lo, hi, LANES):
                    e, deviation = load(error, i, column + j), load(x, i, column + j) - mean
                    store(gain, layer, at + j, fma(e * deviation, inverse, load(gain, layer, at + j)))
                    store(shift, layer, at + j, load(shift, layer, at + j) + e)


# --- over a block: the input's part of the gates ----------------------------------------------------------------------


@inner
def _rows_alive(net, part, slot, steps):
    """Return how many rows of a block belong to streams that have not ended."""
    sizes, runs, n = net.sizes, net.work.time_runs, 0
    parts, base = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    for run in range(slot * parts, (slot + steps) * parts):
        for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
            if net.window.y[i] >= 0:
                n += 1
    return n


@inner
def _block_statistics(net, part, layer, slot, steps):
    """Set this thread's columns of window.columns, at the block's last slot, and of work.variance."""
    sizes, window, runs = net.sizes, net.window, net.work.time_runs
    x, parts, base = window.sums[layer], runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    n, columns = np.float32(max(1, _rows_alive(net, part, slot, steps))), window.columns[layer]
    mean, inverse = 2 * (slot + steps - 1), 2 * (slot + steps - 1) + 1
    lo, hi = own_columns(part, sizes)
    for gate in range(sizes.gates):
        column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
        for j in range(lo, hi, LANES):
            store(columns, mean, at + j, splat(0.0))
            store(net.work.variance, layer, at + j, splat(0.0))
        for run in range(slot * parts, (slot + steps) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi if window.y[i] >= 0 else lo, LANES):
                    store(columns, mean, at + j, load(columns, mean, at + j) + load(x, i, column + j))
        for j in range(lo, hi, LANES):
            store(columns, mean, at + j, load(columns, mean, at + j) / n)
        for run in range(slot * parts, (slot + steps) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi if window.y[i] >= 0 else lo, LANES):
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
    lo, hi = own_columns(part, sizes)
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
    if net.norm.learns:
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
    return net.window.ends[slot] if net.norm.learns else net.sizes.capacity


@kernel_on_demand
def norm_block_back(net: Net, part: Part, end: int, reach: int, steps: int, gradients: Weights, layer: int) -> None:
    """Go back through norm_block over `reach` steps up to end: work.dz -> work.dx, and the gradients of gains and biases.

    The newest block has `steps` steps; errors of its statistics reach its own rows. Those of older blocks in the window, and
    running averages, are constants. Ends when work.dx is complete for this thread's rows.
    """
    sizes, window, work, columns = net.sizes, net.window, net.work, net.window.columns[layer]
    newest = end - steps if net.norm.learns else end
    slot, last = (end - steps) % sizes.capacity, (end - 1) % sizes.capacity
    n = np.float32(max(1, _rows_alive(net, part, slot, steps)))
    unbiased = np.float32(max(1, _rows_alive(net, part, slot, steps) - 1))
    lo, hi = own_columns(part, sizes)
    for gate in range(sizes.gates):
        at = gate * sizes.padded + part.slice * sizes.units
        _columns_back(net, part, end, reach, gradients, layer, newest, gate * sizes.units, at)
        for j in range(lo, hi, LANES):
            store(work.means, 0, at + j, load(work.means, 0, at + j) / n)
            store(work.means, 1, at + j, load(work.means, 1, at + j) / n)
            if net.norm.learns:
                mean, variance = load(columns, 2 * last, at + j), load(work.variance, layer, at + j)
                store(gradients.running[layer], 0, at + j, mean * net.norm.share)
                store(gradients.running[layer], 1, at + j, variance * (n / unbiased) * net.norm.share)
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
                    if t < newest or window.y[i] < 0:
                        found = found * inverse
                    else:
                        x, mean_e, mean_ex = (
                            load(window.sums[layer], i, column + j),
                            load(work.means, 0, at + j),
                            load(work.means, 1, at + j),
                        )
                        found = error_before(found, x, mean, inverse, mean_e, mean_ex)
                    store(work.dx, i, column + j, found)


@inner
def _columns_back(net, part, end, reach, gradients, layer, newest, column, at):
    """Add up this thread's columns of a gate's errors: gradients, and the sums of the newest block's errors.

    column, at: at which the gate begins in a row of dz, and of the gradients. All rows in order.
    """
    sizes, window, work, runs = net.sizes, net.window, net.work, net.work.time_runs
    parts, base = runs.shape[0] // sizes.capacity, part.slice * sizes.capacity * sizes.streams
    lo, hi = own_columns(part, sizes)
    gains, shifts, shifts_h, means = gradients.gain_ih, gradients.b_ih, gradients.b_hh, work.means
    for j in range(at + lo, at + hi, LANES):
        store(means, 0, j, splat(0.0))
        store(means, 1, j, splat(0.0))
    for t in range(end - reach, end):
        slot = t % sizes.capacity
        place = _block_of(net, slot)
        for run in range(slot * parts, (slot + 1) * parts):
            for i in range(base + runs[run, 0], base + runs[run, 0] + runs[run, 2]):
                for j in range(lo, hi, LANES):
                    mean = load(window.columns[layer], 2 * place, at + j)
                    inverse = load(window.columns[layer], 2 * place + 1, at + j)
                    e, x = load(work.dz, i, column + j), (load(window.sums[layer], i, column + j) - mean) * inverse
                    store(gains, layer, at + j, fma(e, x, load(gains, layer, at + j)))
                    store(shifts, layer, at + j, load(shifts, layer, at + j) + e)
                    store(shifts_h, layer, at + j, load(shifts_h, layer, at + j) + load(work.dz_h, i, column + j))
                    if t >= newest:
                        e = e * load(net.weights.gain_ih, layer, at + j)
                        store(means, 0, at + j, load(means, 0, at + j) + e)
                        store(means, 1, at + j, fma(e, x, load(means, 1, at + j)))


@kernel_on_demand
def average_statistics(net: Net, part: Part, gradients: Weights) -> None:
    """Move the running averages towards the newest block's statistics; this thread's columns."""
    sizes, lo_hi = net.sizes, own_columns(part, net.sizes)
    for layer in range(sizes.layers):
        running, found = net.weights.running[layer], gradients.running[layer]
        for which in range(2):
            for gate in range(sizes.gates):
                at = gate * sizes.padded + part.slice * sizes.units
                for j in range(at + lo_hi[0], at + lo_hi[1], LANES):
                    before = load(running, which, j)
                    store(running, which, j, fma(load(found, which, j) - before, MOMENTUM, before))
