"""The norm inside a cell: one step of a thread's streams, its own slice of units.

Ba, Kiros & Hinton 2016, placed as by Ha, Dai & Le 2017: the sum of each gate, and the memory of a cell before it is shown,
are normalised over their units. The gates' biases are added after the norm and are its shifts.

Two gates go side by side, since the sum over a row is a chain of additions that leaves a processor half idle. The two are
neighbours, or the two parts of one gate where a cell sees them apart.
"""

from .buffers import Net, Weights
from .jit import inner, kernel_on_demand
from .norms import error_before, mean_errors, statistics, two_mean_errors, two_statistics
from .parallel import Part, meet, own_columns
from .rows import add_part, common_row, fill_part, sliced_row, step_rows
from .simd import LANES, fma, load, prefetch, store
from .steps import call, span


@inner
def _normalise(net, part, x, layer, own, gate, kind, mean, inverse, target, to, gain, shift, shift_too):
    """Set one gate of target[to], own slice, to its normalised sums with gain and bias, or so a memory; keep scales."""
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
    """Normalise the sums of a step's gates: window.sums -> window.z; window.sums_h -> work.recurrent if those are apart.

    If the input's part has a norm of its own, window.sums_h is all: see _norm_state.
    """
    sizes, weights, window = net.sizes, net.weights, net.window
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    x, z, gains, biases, real = window.sums[layer], window.z[layer], weights.gain_ih, weights.b_ih, net.sublayer.units
    meet(part)
    if net.norm.block:
        _norm_state(net, part, layer, row, own)
        return
    for s in range(part.n):
        if not window.steps[layer, own + s]:
            continue
        if net.cell.separate:
            for gate in range(sizes.step_gates):
                y, kind, to = window.sums_h[layer], sizes.gates + gate, part.base + s
                mean, inverse, mean_h, inverse_h = two_statistics(sizes, part, real, x, y, row + s, gate, gate)
                _normalise(net, part, x, layer, own + s, gate, gate, mean, inverse, z, own + s, gains, biases, False)
                out, gains_h, biases_h = net.work.recurrent, weights.gain_hh, weights.b_hh
                _normalise(net, part, y, layer, own + s, gate, kind, mean_h, inverse_h, out, to, gains_h, biases_h, False)
        else:
            for gate in range(0, sizes.step_gates, 2):
                other = min(gate + 1, sizes.step_gates - 1)
                mean, inverse, mean_2, inverse_2 = two_statistics(sizes, part, real, x, x, row + s, gate, other)
                _normalise(net, part, x, layer, own + s, gate, gate, mean, inverse, z, own + s, gains, biases, True)
                if other > gate:
                    _normalise(
                        net, part, x, layer, own + s, other, other, mean_2, inverse_2, z, own + s, gains, biases, True
                    )


@inner
def _norm_state(net, part, layer, row, own):
    """Normalise the state's part of a step's gates: window.sums_h is added to window.z, or goes to work.recurrent."""
    sizes, weights, window, real = net.sizes, net.weights, net.window, net.sublayer.units
    y, z, scales, out = window.sums_h[layer], window.z[layer], window.scales[layer], net.work.recurrent
    for s in range(part.n):
        if not window.steps[layer, own + s]:
            continue
        for gate in range(0, sizes.step_gates, 2):
            other = min(gate + 1, sizes.step_gates - 1)
            mean, inverse, mean_2, inverse_2 = two_statistics(sizes, part, real, y, y, row + s, gate, other)
            kind = sizes.gates + gate
            if net.cell.separate:
                to, gains, biases, place = part.base + s, weights.gain_hh, weights.b_hh, own + s
                _normalise(net, part, y, layer, place, gate, kind, mean, inverse, out, to, gains, biases, False)
                if other > gate:
                    kind = sizes.gates + other
                    _normalise(net, part, y, layer, place, other, kind, mean_2, inverse_2, out, to, gains, biases, False)
            else:
                _add_normalised(net, part, y, z, scales, layer, own + s, gate, mean, inverse)
                if other > gate:
                    _add_normalised(net, part, y, z, scales, layer, own + s, other, mean_2, inverse_2)


@inner
def _add_normalised(net, part, y, z, scales, layer, own, gate, mean, inverse):
    """Add one gate of the state's part, normalised and times its gain, to z; keep scales."""
    sizes, kind = net.sizes, net.sizes.gates + gate
    column, at = gate * sizes.units, gate * sizes.padded + part.slice * sizes.units
    scales[own, 2 * kind] = mean
    scales[own, 2 * kind + 1] = inverse
    for j in range(0, sizes.units, LANES):
        value = (load(y, own, column + j) - mean) * inverse
        store(z, own, column + j, fma(value, load(net.weights.gain_hh, layer, at + j), load(z, own, column + j)))
        prefetch(y, own + 1, column + j)  # the next stream's


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
        found = error_before(raw * load(gain, layer, at + j), y, inverse, mean_e, mean_ex)
        if sizes.hidden < sizes.padded:
            found = found * load(net.sublayer.units, 0, part.slice * sizes.units + j)
        store(target, own, column + j, found)
        _add_sums(sums, stream, to + j, sizes.units, raw, y)
        prefetch(x, own + 1, column + j)  # the next stream's, which the window has not read for long


@inner
def _add_sums(sums, stream, at, units, raw, y):
    """Add what LANES errors after a norm give for a stream's gradients of gain and shift. y: the normalised numbers."""
    store(sums, stream, at, fma(raw, y, load(sums, stream, at)))
    store(sums, stream, at + units, load(sums, stream, at + units) + raw)


@kernel_on_demand
def norm_step_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through norm_step: work.dz -> work.dx; work.dz_h -> work.ds if those are apart."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    x, gains, scales, dz, dx = window.sums[layer], weights.gain_ih, window.scales[layer], work.dz, work.dx
    meet(part)
    if net.norm.block:
        _norm_state_back(net, part, layer, row, own)
        return
    for s in range(part.n):
        i, at, stream = row + s, own + s, part.base + s
        if net.cell.separate:
            for gate in range(sizes.step_gates):
                y, kind, gains_h = window.sums_h[layer], sizes.gates + gate, weights.gain_hh
                mean_e, mean_ex, mean_2, mean_2x = two_mean_errors(
                    sizes, part, layer, i, scales, at, x, dz, gains, gate, gate, y, work.dz_h, gains_h, gate, kind
                )
                _before(net, part, x, layer, at, gains, gate, gate, dz, dx, stream, mean_e, mean_ex)
                _before(net, part, y, layer, at, gains_h, gate, kind, work.dz_h, work.ds, stream, mean_2, mean_2x)
        else:
            for gate in range(0, sizes.step_gates, 2):
                other = min(gate + 1, sizes.step_gates - 1)
                mean_e, mean_ex, mean_2, mean_2x = two_mean_errors(
                    sizes, part, layer, i, scales, at, x, dz, gains, gate, gate, x, dz, gains, other, other
                )
                _before(net, part, x, layer, at, gains, gate, gate, dz, dx, stream, mean_e, mean_ex)
                if other > gate:
                    _before(net, part, x, layer, at, gains, other, other, dz, dx, stream, mean_2, mean_2x)


@inner
def _norm_state_back(net, part, layer, row, own):
    """Go back through _norm_state: the errors of the state's part -> work.ds."""
    sizes, gains, window, ds = net.sizes, net.weights.gain_hh, net.window, net.work.ds
    y, scales, error = window.sums_h[layer], window.scales[layer], net.work.dz_h  # dz itself unless they are apart
    for s in range(part.n):
        i, at, stream = row + s, own + s, part.base + s
        for gate in range(0, sizes.step_gates, 2):
            other = min(gate + 1, sizes.step_gates - 1)
            kind, kind_2 = sizes.gates + gate, sizes.gates + other
            mean_e, mean_ex, mean_2, mean_2x = two_mean_errors(
                sizes, part, layer, i, scales, at, y, error, gains, gate, kind, y, error, gains, other, kind_2
            )
            _before(net, part, y, layer, at, gains, gate, kind, error, ds, stream, mean_e, mean_ex)
            if other > gate:
                _before(net, part, y, layer, at, gains, other, kind_2, error, ds, stream, mean_2, mean_2x)


@kernel_on_demand
def show_memory(net: Net, part: Part, layer: int, slot: int) -> None:
    """Make h of a step from its normalised memory, which lies in window.memory as it is."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    meet(part)
    for s in range(part.n):
        if not window.steps[layer, own + s]:
            continue
        x, kind, to = window.memory[layer], 2 * sizes.gates, part.base + s
        mean, inverse = statistics(sizes, part, net.sublayer.units, x, row + s)
        gain, shift, out = weights.gain, weights.shift, work.recurrent
        _normalise(net, part, x, layer, own + s, 0, kind, mean, inverse, out, to, gain, shift, False)
        call(net.cell.show, (sizes.units, step_rows(window, layer, own + s), span(out, to, to + 1)))


@kernel_on_demand
def show_memory_back(net: Net, part: Part, layer: int, slot: int) -> None:
    """Go back through show_memory: add the error of the memory to work.dc, and set the shown gates' part of work.dz."""
    sizes, weights, window, work = net.sizes, net.weights, net.window, net.work
    row, own = common_row(part, sizes.capacity, slot), sliced_row(part, sizes.capacity, slot)
    kind, first = 2 * sizes.gates, part.slice * sizes.units
    at = sliced_row(part, sizes.layers, layer)
    for s in range(part.n):
        if not window.steps[layer, own + s]:
            continue
        dh, dm = span(work.dh, at + s, at + s + 1), span(work.dm, part.base + s, part.base + s + 1)
        dz = span(work.dz, own + s, own + s + 1)
        call(net.cell.show_backward, (sizes.units, step_rows(window, layer, own + s), dh, dm, dz))
    meet(part)
    for s in range(part.n):
        if not window.steps[layer, own + s]:
            continue
        mean, inverse = window.scales[layer, own + s, 2 * kind], window.scales[layer, own + s, 2 * kind + 1]
        memory, sums, to = window.memory[layer], work.norm_sums, 2 * kind * sizes.units
        mean_e, mean_ex = mean_errors(
            sizes, part, weights.gain, layer, memory, row + s, work.dm, part.lo + s, sizes.streams, mean, inverse
        )
        for j in range(0, sizes.units, LANES):
            raw, y = load(work.dm, part.base + s, j), (load(memory, own + s, j) - mean) * inverse
            found = error_before(raw * load(weights.gain, layer, first + j), y, inverse, mean_e, mean_ex)
            found = found * load(net.sublayer.units, 0, first + j)
            store(work.dc, at + s, j, load(work.dc, at + s, j) + found)
            _add_sums(sums, part.base + s, to + j, sizes.units, raw, y)


@kernel_on_demand
def norm_step_gradient(net: Net, part: Part, gradients: Weights, layer: int) -> None:
    """Add to the gradients of the gates' gains and biases, and of the memory's gain and shift; this thread's columns.

    Each stream has summed over its steps while their errors were at hand; here the streams are added up, in order.
    """
    sizes = net.sizes
    for gate in range(sizes.step_gates):
        if not net.norm.block:
            _add_streams(net, part, gate, gate, gradients.gain_ih, gradients.b_ih, layer)
        if net.norm.apart:
            _add_streams(net, part, gate, sizes.gates + gate, gradients.gain_hh, gradients.b_hh, layer)
        else:
            lo, hi = own_columns(part, sizes.units)
            at = gate * sizes.padded + part.slice * sizes.units
            fill_part(gradients.b_hh, layer, at + lo, gradients.b_ih, layer, at + lo, hi - lo)
    if net.norm.memory:
        _add_streams(net, part, 0, 2 * sizes.gates, gradients.gain, gradients.shift, layer)


@inner
def _add_streams(net, part, gate, kind, gain, shift, layer):
    """Add the streams' sums of one kind to the gradients of a gain and a shift."""
    sizes, sums = net.sizes, net.work.norm_sums
    at, column = gate * sizes.padded + part.slice * sizes.units, 2 * kind * sizes.units
    lo, hi = own_columns(part, sizes.units)
    for stream in range(part.slice * sizes.streams, (part.slice + 1) * sizes.streams):
        add_part(gain, layer, at + lo, sums, stream, column + lo, hi - lo)
        add_part(shift, layer, at + lo, sums, stream, column + sizes.units + lo, hi - lo)
