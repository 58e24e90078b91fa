"""The training kernel: runs a plan update by update, without coming back to Python in between."""

import math

import numpy as np

from .block import backward, forward, losses, pack_backward, pack_forward
from .buffers import Packed, Passing, Plan, Reports, Rule, Sizes, State, Weights, Window, Work
from .jit import inner, kernel
from .parallel import barrier, share
from .update import apply, clear, norm, sum_squares


@inner
def read_block(sizes: Sizes, plan: Plan, window: Window, start: int, steps: int, lo: int, hi: int) -> None:
    """Copies the block's characters, targets and resets into the window, streams [lo, hi)."""
    for t in range(steps):
        at = start - plan.first_step + t
        base = (start + t) % sizes.capacity * sizes.streams
        for s in range(lo, hi):
            window.x[base + s] = plan.ids[at, s]
            window.y[base + s] = plan.ids[at + 1, s]
            window.reset[base + s] = plan.resets[at, s]


@inner
def _one_update(
    cell, sizes, passing, plan, u, weights, gradients, packed, window, state, work, rule, reports, gate, rank, ranks
):  # fmt: skip
    lo, hi = share(sizes.streams, rank, ranks)
    start, steps, reach, injected = plan.start[u], plan.steps[u], plan.window[u], plan.losses[u]
    end = start + steps
    clear(rule, rank, ranks)
    pack_forward(sizes, weights, packed, rank, ranks)
    pack_backward(sizes, weights, packed, rank, ranks)
    read_block(sizes, plan, window, start, steps, lo, hi)
    barrier(gate, ranks)
    slot, position = start % sizes.capacity, plan.epoch_base + start
    forward(cell, sizes, passing, weights, packed, window, state, work, slot, steps, position, lo, hi)
    nats = reports.nats[u]
    losses(sizes, weights, packed, window, work, nats, end, steps, reach, injected, plan.weight[u], lo, hi)
    backward(
        cell, sizes, passing, weights, gradients, packed, window, work, gate, end, reach, injected, plan.epoch_base,
        lo, hi, rank, ranks,
    )  # fmt: skip
    sum_squares(rule, rank, ranks)
    barrier(gate, ranks)
    norm_now = norm(rule)
    if rank == 0:
        reports.norm[u] = norm_now
        reports.applied[u] = 1 if math.isfinite(norm_now) else 0
    if math.isfinite(norm_now):
        apply(rule, plan.learning_rate[u], plan.number[u], norm_now, rank, ranks)
    barrier(gate, ranks)


@kernel
def train(
    cell, sizes: Sizes, passing: Passing, plan: Plan, weights: Weights, gradients: Weights, packed: Packed,
    window: Window, state: State, work: Work, rule: Rule, reports: Reports, gate: np.ndarray, rank: int, ranks: int,
) -> None:  # fmt: skip
    """Makes all updates of `plan`; called by `ranks` threads at once, each with its own `rank`.

    An update whose gradient is not finite is not applied and ends the plan: reports.applied says so.
    """
    for u in range(plan.start.shape[0]):
        _one_update(
            cell, sizes, passing, plan, u, weights, gradients, packed, window, state, work, rule, reports, gate, rank, ranks
        )  # fmt: skip
        if not math.isfinite(norm(rule)):
            return
