"""The training kernel: runs a plan update by update, without coming back to Python in between."""

import math

from .backward import backward, losses, pack_backward, sum_losses
from .block_norm import average_statistics
from .buffers import Net, Piece, Weights
from .contexts import count_steps
from .forward import forward, pack_forward
from .jit import inner, kernel
from .parallel import Part, await_sum, barrier
from .reading import read_block
from .rows import fill_row, sliced_row
from .tasks import OptimizerParams, Plan, UpdateStats
from .update import apply, clear, norm, sum_squares


@inner
def _keep_state(sizes, part, state, borders, number):
    """Copy this thread's rows of the state to a border."""
    first = sliced_row(part, sizes.layers, 0)
    for row in range(first, first + sizes.layers * part.n):
        fill_row(borders.h[number], row, state.h[0], row)
        fill_row(borders.c[number], row, state.c[0], row)
    for row in range(part.base, part.base + part.n):
        borders.since[number, row] = state.since[0, row]
        for k in range(state.context.shape[2]):
            borders.context[number, row, k] = state.context[0, row, k]


@inner
def _piece(plan, u, capacity, number, last):
    """Return piece `number` of a block; piece `last` is the newest. If there is only one, it is the whole block.

    A whole block lies where the plan's origin puts it in the ring, and its errors may reach older blocks there. One of
    several pieces has the ring for itself, from slot 0 on.
    """
    older = number * capacity
    steps = min(capacity, plan.steps[u] - older)
    start = plan.start[u] + older
    if last == 0:
        end = start - plan.origin[u] + steps
        base = plan.epoch_base + plan.origin[u]
        return Piece(start, steps, 0, end, end, base, plan.reach[u], plan.losses[u], False, False, True)
    newer = plan.steps[u] - older - steps
    base = plan.epoch_base + start
    return Piece(start, steps, newer, plan.steps[u], steps, base, plan.reach[u], steps, number < last, False, number == 0)


@inner
def _forward(net, part, plan, piece, state, which):
    """Read a piece's characters and run all layers over them, from and to state[which]."""
    at = piece.end - piece.steps
    read_block(net, part, plan, state, which, piece.start, at, piece.steps)
    barrier(part)
    forward(net, part, state, which, at % net.sizes.capacity, piece.steps, piece.base + at)


@inner
def _backward(net, part, plan, u, piece, gradients, stats):
    """Add the gradients of a piece that the window holds."""
    losses(net, part, piece, plan.weight[u], plan.connects[u])
    backward(net, part, piece, gradients, stats.lags[u])
    if part.rank == 0:
        slot = (piece.end - piece.steps) % net.sizes.capacity
        sum_losses(net.sizes, net.window, net.work, slot, piece.steps, stats.loss[u])


@inner
def _gradient(net, part, plan, u, gradients, stats):
    """Make all gradients of one block.

    A block that is longer than the window is made in pieces: forward over all of them, then back from the newest to the
    oldest. The window holds the newest when the way back begins; each older one is made once more, from the state that
    entered it. That is one more pass forward, and memory for a piece and the states only (Gruslys et al. 2016, with
    states at equal distances).
    """
    capacity = net.sizes.capacity
    last = (plan.steps[u] - 1) // capacity
    for number in range(last + 1):
        if number < last:
            _keep_state(net.sizes, part, net.state, net.borders, number)
        _forward(net, part, plan, _piece(plan, u, capacity, number, last), net.state, 0)
    for number in range(last, -1, -1):
        piece = _piece(plan, u, capacity, number, last)
        if number < last:
            _forward(net, part, plan, piece, net.borders, number)
        _backward(net, part, plan, u, piece, gradients, stats)


@inner
def _count_block(net, part, plan, u):
    """Count a block's characters, if the tables learn."""
    if net.tables.learns:
        first = plan.start[u] - plan.first_step
        last = first + plan.steps[u]
        count_steps(net.tables, part.evidence.context, plan.ids, plan.resets, first, last, plan.start[u], part)


@inner
def _one_update(net, part, plan, u, gradients, rule, stats):
    """Make the gradient, its sum over the ranks if there are several, and the rule's step. Return whether it was applied.

    The step is not applied if the gradient's norm is not finite.
    """
    clear(rule, part)
    pack_forward(net, part)
    pack_backward(net, part)
    _gradient(net, part, plan, u, gradients, stats)
    await_sum(part)
    sum_squares(rule, part)
    barrier(part)
    norm_now = norm(rule)
    applied = math.isfinite(norm_now)
    if part.rank == 0:
        stats.norm[u] = norm_now
        stats.applied[u] = 1 if applied else 0
    if applied:
        apply(rule, part, plan.learning_rate[u], plan.number[u], norm_now)
        if net.norm.statistics:
            average_statistics(net, part, gradients)
        _count_block(net, part, plan, u)
    barrier(part)
    return applied


@kernel
def train(net: Net, plan: Plan, gradients: Weights, rule: OptimizerParams, stats: UpdateStats, part: Part) -> None:
    """Make all updates of `plan`; called by all threads at once, each with its own part.

    An update whose gradient is not finite is not applied and ends the plan: stats.applied says so.
    """
    for u in range(plan.start.shape[0]):
        if not _one_update(net, part, plan, u, gradients, rule, stats):
            return
