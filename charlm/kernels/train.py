"""The training kernel: runs a plan update by update, without coming back to Python in between."""

import math

from .block import backward, forward, losses, pack_backward, pack_forward, sum_losses
from .buffers import OptimizerParams, Packed, Plan, Sizes, State, Sublayer, UpdateStats, Weights, Window, Workspace
from .jit import inner, kernel
from .parallel import Part, await_sum, barrier
from .recurrence import fill_row, sliced_row
from .update import apply, clear, norm, sum_squares


@inner
def read_block(sizes: Sizes, part: Part, plan: Plan, window: Window, start: int, origin: int, steps: int) -> None:
    """Copies the characters, targets and resets of this thread's streams into the window, from epoch step `start` on."""
    for t in range(steps):
        at, slot = start - plan.first_step + t, (start - origin + t) % sizes.capacity
        row = sliced_row(part, sizes.capacity, slot)
        for s in range(part.n):
            window.x[row + s] = plan.ids[at, part.lo + s]
            window.y[row + s] = plan.ids[at + 1, part.lo + s]
            window.reset[row + s] = plan.resets[at, part.lo + s]
        if part.rank == 0:
            window.gradient_scale[slot] = plan.gradient_scale[at]


@inner
def _keep_state(sizes, part, state, window, border):
    """Copies this thread's rows of the state to a border."""
    first = sliced_row(part, sizes.layers, 0)
    for row in range(first, first + sizes.layers * part.n):
        fill_row(window.border_h[border], row, state.h, row)
        fill_row(window.border_c[border], row, state.c, row)


@inner
def _gradient(cell, sizes, part, sublayer, plan, u, weights, gradients, packed, window, state, work, stats):
    """All gradients of one block.

    One that is longer than the window is made in pieces: forward over all of them; then back from the last to the
    first, each made once more from the state that entered it. That is one more pass forward, and memory for a piece
    and the states only (Gruslys et al. 2016, with states at equal distances).
    """
    piece = sizes.capacity
    last = (plan.steps[u] - 1) // piece
    for turn in range(2 * last + 1):
        border = min(turn, 2 * last - turn)
        older = border * piece
        n = min(piece, plan.steps[u] - older)
        start, origin, reach, injected = plan.start[u] + older, plan.origin[u], plan.reach[u], plan.losses[u]
        leaves = False
        if last > 0:
            reach -= plan.steps[u] - older - n
            leaves = reach > n and older > 0
            origin, reach, injected = start, max(0, min(n, reach)), n
        at, base = start - origin, plan.epoch_base + origin
        if turn < last:
            _keep_state(sizes, part, state, window, border)
        begun = state if turn <= last else State(window.border_h[border], window.border_c[border])
        read_block(sizes, part, plan, window, start, origin, n)
        barrier(part)
        forward(cell, sizes, part, sublayer, weights, packed, window, begun, work, at % piece, n, base + at)
        if turn >= last:
            losses(sizes, part, weights, packed, window, work, at + n, reach, injected, plan.weight[u])
            backward(
                cell,
                sizes,
                part,
                sublayer,
                weights,
                gradients,
                packed,
                window,
                work,
                at + n,
                reach,
                injected,
                base,
                turn > last,
                leaves,
                border == 0,
                stats.lags[u],
            )
            if part.rank == 0:
                sum_losses(sizes, window, work, at % piece, n, stats.loss[u])


@inner
def _one_update(cell, sizes, part, sublayer, plan, u, weights, gradients, packed, window, state, work, rule, stats):
    """Gradient, its sum over the ranks where there are several, and the rule's step."""
    clear(rule, part)
    pack_forward(sizes, part, weights, packed)
    pack_backward(sizes, part, weights, packed)
    _gradient(cell, sizes, part, sublayer, plan, u, weights, gradients, packed, window, state, work, stats)
    await_sum(part)
    sum_squares(rule, part)
    barrier(part)
    norm_now = norm(rule)
    if part.rank == 0:
        stats.norm[u] = norm_now
        stats.applied[u] = 1 if math.isfinite(norm_now) else 0
    if math.isfinite(norm_now):
        apply(rule, part, plan.learning_rate[u], plan.number[u], norm_now)
    barrier(part)


@kernel
def train(
    cell,
    sizes: Sizes,
    sublayer: Sublayer,
    plan: Plan,
    weights: Weights,
    gradients: Weights,
    packed: Packed,
    window: Window,
    state: State,
    work: Workspace,
    rule: OptimizerParams,
    stats: UpdateStats,
    part: Part,
) -> None:
    """Makes all updates of `plan`; called by all threads at once, each with its own part.

    An update whose gradient is not finite is not applied and ends the plan: stats.applied says so.
    """
    for u in range(plan.start.shape[0]):
        _one_update(cell, sizes, part, sublayer, plan, u, weights, gradients, packed, window, state, work, rule, stats)
        if not math.isfinite(norm(rule)):
            return
