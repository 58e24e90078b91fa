"""Norms: mean 0 and variance 1 over the units of a row, or over the rows of a block; then a gain and a shift.

Over units: Ba, Kiros & Hinton 2016, and inside the cell placed as by Ha, Dai & Le 2017. Over a block: Ioffe & Szegedy 2015,
for recurrent networks Laurent et al. 2016. The gates' biases are added after the norm and are its shifts.
"""

import numpy as np

from .buffers import Net, Weights
from .jit import inner, kernel_on_demand
from .parallel import Part, barrier, meet, share
from .rows import add_part, common_row, fill_part, sliced_row, step_rows
from .simd import LANES, PAD, fma, load, load_block, prefetch, splat, splat_block, sqrt, store, total
from .steps import call, span

EPSILON = 1e-5  # PyTorch's default
MOMENTUM = 0.1  # of running averages: weight of the newest block, PyTorch's default


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
def error_before(e, x, mean, inverse, mean_e, mean_ex):
    """Return the error of numbers x before their norm: (e - mean(e) - y mean(e y)) / deviation, y normalised."""
    return fma(-((x - mean) * inverse), mean_ex, e - mean_e) * inverse


# --- inside the cell: one step of a thread's streams, its own slice of units -------------------------------------------
#
# Two gates go side by side, since the sum over a row is a chain of additions that leaves a processor half idle. The two are
# neighbours, or the two parts of one gate where a cell sees them apart.


@inner
def _two_statistics(sizes, part, real, a, b, row, gate_a, gate_b):
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
def _normalise(net, part, x, layer, own, gate, kind, mean, inverse, target, to, gain, shift, shift_too):
    """Set one gate of target[to], own slice, to its normalised sums with gain and bias; keep its scales."""
    sizes, scales = net.sizes, net.window.scales[layer]
    column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
    scales[own, 2 * kind] = mean
    scales[own, 2 * kind + 1] = inverse
    for j in range(0, sizes.units, LANES):
        bias = load(shift, layer, at + j)
        if shift_too:
            bias = bias + load(net.weights.b_hh, layer, at + j)
        value = (load(x, own, column + j) - mean) * inverse
        store(target, to, column + j, fma(value, load(gain, layer, at + j), bias))
        prefetch(x, own + 1, column + j)  # the next stream's


@kernel_on_demand
def norm_step(net: Net, part: Part, layer: int, slot: int) -> None:
    """Normalise the sums of a step's gates: window.sums -> window.z; window.sums_h -> work.recurrent if those are apart."""
    sizes, weights, window = net.sizes, net.weights, net.window
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    x, z, gains, biases, real = window.sums[layer], window.z[layer], weights.gain_ih, weights.b_ih, net.sublayer.units
    meet(part)
    for s in range(part.n):
        if window.y[own + s] < 0:
            continue
        if net.cell.separate:
            for gate in range(sizes.gates):
                y, kind, to = window.sums_h[layer], sizes.gates + gate, part.base + s
                mean, inverse, mean_h, inverse_h = _two_statistics(sizes, part, real, x, y, row + s, gate, gate)
                _normalise(net, part, x, layer, own + s, gate, gate, mean, inverse, z, own + s, gains, biases, False)
                out, gains_h, biases_h = net.work.recurrent, weights.gain_hh, weights.b_hh
                _normalise(net, part, y, layer, own + s, gate, kind, mean_h, inverse_h, out, to, gains_h, biases_h, False)
        else:
            for gate in range(0, sizes.gates, 2):
                other = min(gate + 1, sizes.gates - 1)
                mean, inverse, mean_2, inverse_2 = _two_statistics(sizes, part, real, x, x, row + s, gate, other)
                _normalise(net, part, x, layer, own + s, gate, gate, mean, inverse, z, own + s, gains, biases, True)
                if other > gate:
                    _normalise(
                        net, part, x, layer, own + s, other, other, mean_2, inverse_2, z, own + s, gains, biases, True
                    )


@inner
def _two_mean_errors(sizes, part, layer, row, scales, own, a, e_a, gain_a, gate_a, kind_a, b, e_b, gain_b, gate_b, kind_b):
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


@inner
def _before(net, part, x, layer, own, gain, gate, kind, error, target, stream, mean_e, mean_ex):
    """Set one gate of a row of target, own slice, to the error before the norm; target may be error itself.

    Add to the stream's sums for the gradients of gain and shift: see norm_step_gradient.
    """
    sizes, scales, sums = net.sizes, net.window.scales[layer], net.work.norm_sums
    column, at, to = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units, 2 * kind * sizes.units
    mean, inverse = scales[own, 2 * kind], scales[own, 2 * kind + 1]
    for j in range(0, sizes.units, LANES):
        raw, y = load(error, own, column + j), (load(x, own, column + j) - mean) * inverse
        found = fma(-y, mean_ex, raw * load(gain, layer, at + j) - mean_e) * inverse
        if sizes.hidden < sizes.padded:
            found = found * load(net.sublayer.units, 0, part.slice * sizes.units + j)
        store(target, own, column + j, found)
        store(sums, stream, to + j, fma(raw, y, load(sums, stream, to + j)))
        store(sums, stream, to + sizes.units + j, load(sums, stream, to + sizes.units + j) + raw)
        prefetch(x, own + 1, column + j)  # the next stream's, which the window has not read for long


@kernel_on_demand
def norm_step_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through norm_step: work.dz -> work.dx; work.dz_h -> work.ds if those are apart."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    x, gains, scales, dz, dx = window.sums[layer], weights.gain_ih, window.scales[layer], work.dz, work.dx
    meet(part)
    for s in range(part.n):
        i, at, stream = row + s, own + s, part.base + s
        if net.cell.separate:
            for gate in range(sizes.gates):
                y, kind, gains_h = window.sums_h[layer], sizes.gates + gate, weights.gain_hh
                mean_e, mean_ex, mean_2, mean_2x = _two_mean_errors(
                    sizes, part, layer, i, scales, at, x, dz, gains, gate, gate, y, work.dz_h, gains_h, gate, kind
                )
                _before(net, part, x, layer, at, gains, gate, gate, dz, dx, stream, mean_e, mean_ex)
                _before(net, part, y, layer, at, gains_h, gate, kind, work.dz_h, work.ds, stream, mean_2, mean_2x)
        else:
            for gate in range(0, sizes.gates, 2):
                other = min(gate + 1, sizes.gates - 1)
                mean_e, mean_ex, mean_2, mean_2x = _two_mean_errors(
                    sizes, part, layer, i, scales, at, x, dz, gains, gate, gate, x, dz, gains, other, other
                )
                _before(net, part, x, layer, at, gains, gate, gate, dz, dx, stream, mean_e, mean_ex)
                if other > gate:
                    _before(net, part, x, layer, at, gains, other, other, dz, dx, stream, mean_2, mean_2x)


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
        mean, inverse = statistics(sizes, part, net.sublayer.units, window.memory[layer], row + s)
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
        dh, dm = span(work.dh, at + s, at + s + 1), span(work.dm, part.base + s, part.base + s + 1)
        dz = span(work.dz, own + s, own + s + 1)
        call(net.cell.show_backward, (sizes.units, step_rows(window, layer, own + s), dh, dm, dz))
    meet(part)
    for s in range(part.n):
        mean, inverse = window.scales[layer, own + s, kind], window.scales[layer, own + s, kind + 1]
        memory, sums, to = window.memory[layer], work.norm_sums, kind * sizes.units
        mean_e, mean_ex = mean_errors(
            sizes, part, weights.gain, layer, memory, row + s, work.dm, part.lo + s, sizes.streams, mean, inverse
        )
        for j in range(0, sizes.units, LANES):
            raw, y = load(work.dm, part.base + s, j), (load(memory, own + s, j) - mean) * inverse
            found = fma(-y, mean_ex, raw * load(weights.gain, layer, first + j) - mean_e) * inverse
            found = found * load(net.sublayer.units, 0, first + j)
            store(work.dc, at + s, j, load(work.dc, at + s, j) + found)
            store(sums, part.base + s, to + j, fma(raw, y, load(sums, part.base + s, to + j)))
            shifts = load(sums, part.base + s, to + sizes.units + j) + raw
            store(sums, part.base + s, to + sizes.units + j, shifts)


@kernel_on_demand
def norm_step_gradient(net: Net, part: Part, gradients: Weights, layer: int) -> None:
    """Add to the gradients of the gates' gains and biases, and of the memory's gain and shift; this thread's columns.

    Each stream has summed over its steps while their errors were at hand; here the streams are added up, in order.
    """
    sizes = net.sizes
    for gate in range(sizes.gates):
        _add_streams(net, part, gate, gate, gradients.gain_ih, gradients.b_ih, layer)
        if net.cell.separate:
            _add_streams(net, part, gate, sizes.gates + gate, gradients.gain_hh, gradients.b_hh, layer)
        else:
            lo, hi = own_columns(part, sizes)
            at = gate * sizes.padded + part.slice * sizes.units
            fill_part(gradients.b_hh, layer, at + lo, gradients.b_ih, layer, at + lo, hi - lo)
    if net.norm.memory:
        _add_streams(net, part, 0, 2 * sizes.gates, gradients.gain, gradients.shift, layer)


@inner
def own_columns(part, sizes):
    """Return the units [lo, hi) of its slice whose sums over rows this thread makes: a share of them for each group."""
    lo, hi = share(sizes.units // LANES, part.group, part.groups)
    return lo * LANES, hi * LANES


@inner
def _add_streams(net, part, gate, kind, gain, shift, layer):
    """Add the streams' sums of one kind to the gradients of a gain and a shift."""
    sizes, sums = net.sizes, net.work.norm_sums
    at, column = gate * sizes.padded + part.slice * sizes.units, 2 * kind * sizes.units
    lo, hi = own_columns(part, sizes)
    for stream in range(part.slice * sizes.streams, (part.slice + 1) * sizes.streams):
        add_part(gain, layer, at + lo, sums, stream, column + lo, hi - lo)
        add_part(shift, layer, at + lo, sums, stream, column + sizes.units + lo, hi - lo)


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
