"""The training kernel: runs a plan update by update, without coming back to Python in between."""

import math

from .block import backward, forward, losses, pack_backward, pack_forward, sum_losses
from .buffers import Packed, Passing, Plan, Reports, Rule, Sizes, State, Weights, Window, Work
from .jit import inner, kernel
from .parallel import Part, barrier
from .recurrence import sliced_row
from .update import apply, clear, norm, sum_squares


@inner
def read_block(sizes: Sizes, part: Part, plan: Plan, window: Window, start: int, steps: int) -> None:
    """Copies the characters, targets and resets of this thread's streams into the window."""
    for t in range(steps):
        at = start - plan.first_step + t
        row = sliced_row(part, sizes.capacity, (start + t) % sizes.capacity)
        for s in range(part.n):
            window.x[row + s] = plan.ids[at, part.lo + s]
            window.y[row + s] = plan.ids[at + 1, part.lo + s]
            window.reset[row + s] = plan.resets[at, part.lo + s]


@inner
def _one_update(
    cell, sizes, part, passing, plan, u, weights, gradients, packed, window, state, work, rule, reports
):  # fmt: skip
    start, steps, reach, injected = plan.start[u], plan.steps[u], plan.window[u], plan.losses[u]
    end, slot = start + steps, start % sizes.capacity
    clear(rule, part)
    pack_forward(sizes, part, weights, packed)
    pack_backward(sizes, part, weights, packed)
    read_block(sizes, part, plan, window, start, steps)
    barrier(part)
    forward(cell, sizes, part, passing, weights, packed, window, state, work, slot, steps, plan.epoch_base + start)
    losses(sizes, part, weights, packed, window, work, end, reach, injected, plan.weight[u])
    backward(
        cell, sizes, part, passing, weights, gradients, packed, window, work, end, reach, injected, plan.epoch_base
    )  # fmt: skip
    sum_squares(rule, part)
    barrier(part)
    norm_now = norm(rule)
    if part.rank == 0:
        sum_losses(sizes, window, work, slot, steps, reports.nats[u])
        reports.norm[u] = norm_now
        reports.applied[u] = 1 if math.isfinite(norm_now) else 0
    if math.isfinite(norm_now):
        apply(rule, part, plan.learning_rate[u], plan.number[u], norm_now)
    barrier(part)


@kernel
def train(
    cell, sizes: Sizes, passing: Passing, plan: Plan, weights: Weights, gradients: Weights, packed: Packed,
    window: Window, state: State, work: Work, rule: Rule, reports: Reports, part: Part,
) -> None:  # fmt: skip
    """Makes all updates of `plan`; called by all threads at once, each with its own part.

    An update whose gradient is not finite is not applied and ends the plan: reports.applied says so.
    """
    for u in range(plan.start.shape[0]):
        _one_update(
            cell, sizes, part, passing, plan, u, weights, gradients, packed, window, state, work, rule, reports
        )  # fmt: skip
        if not math.isfinite(norm(rule)):
            return
