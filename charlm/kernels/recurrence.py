"""One layer through time: the loop over steps, forward and back, written once for all cells."""

from typing import Any

import numpy as np

from .buffers import Packed, Sizes, State, Weights, Window, Work
from .cells.interface import backward_step, forward_step
from .jit import inner
from .lanes import LANES, load, splat, store
from .matmul import product


@inner
def fill_row(array: np.ndarray, row: int, source: np.ndarray, source_row: int) -> None:
    """array[row] = source[source_row], as wide as the array."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(source, source_row, j))


@inner
def clear_row(array: np.ndarray, row: int) -> None:
    """array[row] = 0."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, splat(0.0))


@inner
def add_row(array: np.ndarray, row: int, source: np.ndarray, source_row: int) -> None:
    """array[row] += source[source_row]."""
    for j in range(0, array.shape[1], LANES):
        store(array, row, j, load(array, row, j) + load(source, source_row, j))


@inner
def products_by_step(
    a: np.ndarray, a_slot: int, packed: np.ndarray, c: np.ndarray, c_slot: int, steps: int, streams: int,
    lo: int, hi: int, k_size: int,
) -> None:  # fmt: skip
    """c += a @ packed for streams [lo, hi) of `steps` slots: one product where the rows lie side by side."""
    if lo == 0 and hi == streams:
        product(a, a_slot * streams, packed, c, c_slot * streams, steps * streams, k_size, c.shape[1])
        return
    for t in range(steps):
        a_row, c_row = (a_slot + t) * streams + lo, (c_slot + t) * streams + lo
        product(a, a_row, packed, c, c_row, hi - lo, k_size, c.shape[1])


@inner
def input_part(
    sizes: Sizes, weights: Weights, packed: Packed, window: Window, layer: int, slot: int, steps: int, lo: int, hi: int
) -> None:
    """z = b_ih + the input's part of the gates, for all steps of a block at once.

    The input of layer 0 is one-hot, so its part is the character's row of `embed`; no product is made.
    """
    z = window.z[layer]
    for t in range(slot, slot + steps):
        for row in range(t * sizes.streams + lo, t * sizes.streams + hi):
            fill_row(z, row, weights.b_ih, layer)
            if layer == 0:
                add_row(z, row, weights.embed, window.x[row])
    if layer > 0:
        products_by_step(
            window.passed[layer - 1], slot, packed.w_ih[layer - 1 : layer], z, slot, steps, sizes.streams, lo, hi,
            sizes.padded,
        )  # fmt: skip


@inner
def forward_layer(
    cell: Any, sizes: Sizes, weights: Weights, packed: Packed, window: Window, state: State, work: Work,
    layer: int, slot: int, steps: int, lo: int, hi: int,
) -> None:  # fmt: skip
    """Runs one layer over the block at [slot, slot + steps) for streams [lo, hi), from and to `state`."""
    z, extra, h_in, h = window.z[layer], window.extra[layer], window.h_in[layer], window.h[layer]
    state_h, state_c = state.h[layer], state.c[layer]
    w_hh = packed.w_hh[layer : layer + 1]
    for t in range(slot, slot + steps):
        base = t * sizes.streams
        for s in range(lo, hi):
            if window.reset[base + s]:
                clear_row(state_h, s)
                clear_row(state_c, s)
            fill_row(h_in, base + s, state_h, s)
            fill_row(work.recurrent, s, weights.b_hh, layer)
        product(h_in, base + lo, w_hh, work.recurrent, lo, hi - lo, sizes.padded, work.recurrent.shape[1])
        for s in range(lo, hi):
            row = base + s
            if window.y[row] < 0:  # the stream has ended a step before the others: it waits
                fill_row(h, row, h_in, row)
                clear_row(z, row)
                clear_row(extra, row)
            else:
                forward_step(cell, z, extra, h_in, h, row, work.recurrent, state_c, s)
                fill_row(state_h, s, h, row)


@inner
def backward_layer(
    cell: Any,
    sizes: Sizes,
    packed: Packed,
    window: Window,
    work: Work,
    layer: int,
    end: int,
    reach: int,
    lo: int,
    hi: int,
) -> None:
    """Runs one layer backwards from epoch step `end` over `reach` steps: work.dy -> work.dz, work.dz_h.

    The linear-time recursion: each step adds its own error to what arrives from the step after it. What would flow to
    the step before the window, or before a reset, is dropped.
    """
    z, extra, h_in, h = window.z[layer], window.extra[layer], window.h_in[layer], window.h[layer]
    w_hh_t = packed.w_hh_t[layer : layer + 1]
    dh, dc = work.dh, work.dc
    for s in range(lo, hi):
        clear_row(dh, s)
        clear_row(dc, s)
    for t in range(end - 1, end - reach - 1, -1):
        base = t % sizes.capacity * sizes.streams
        for s in range(lo, hi):
            add_row(dh, s, work.dy, base + s)
            backward_step(cell, z, extra, h_in, h, base + s, dh, dc, s, work.dz, work.dz_h)
        if t == end - reach:
            return
        product(work.dz_h, base + lo, w_hh_t, dh, lo, hi - lo, work.dz_h.shape[1], sizes.padded)
        for s in range(lo, hi):
            if window.reset[base + s]:
                clear_row(dh, s)
                clear_row(dc, s)
