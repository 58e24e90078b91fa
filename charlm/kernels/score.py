"""The scoring kernel: forward only, the loss of every character."""

import numpy as np

from .block import forward, pack_forward, predict
from .buffers import Packed, Plan, Sizes, State, Sublayer, Weights, Window, Workspace
from .jit import inner, kernel
from .parallel import Part, barrier, meet, own_rows
from .recurrence import sliced_row
from .softmax import loss
from .train import read_block


@inner
def _most_likely(logits, row, n):
    """The index of the largest of the first n logits, the first one on a tie."""
    best = 0
    for v in range(1, n):
        if logits[row, v] > logits[row, best]:
            best = v
    return best


@kernel
def score(
    cell,
    sizes: Sizes,
    sublayer: Sublayer,
    plan: Plan,
    weights: Weights,
    packed: Packed,
    window: Window,
    state: State,
    work: Workspace,
    nats: np.ndarray,
    correct: np.ndarray,
    part: Part,
) -> None:
    """Reads the plan's blocks; nats (n, S) float64 and correct (n, S) uint8 get each target's loss and whether it led.

    Only the plan's start and steps are used of its updates. Rows with target -1 get 0.
    """
    pack_forward(sizes, part, weights, packed)
    barrier(part)
    for u in range(plan.start.shape[0]):
        start, steps = plan.start[u], plan.steps[u]
        slot = start % sizes.capacity
        read_block(sizes, part, plan, window, start, 0, steps)
        forward(cell, sizes, part, sublayer, weights, packed, window, state, work, slot, steps, 0)
        logits = predict(sizes, part, weights, packed, window, work, slot, steps)
        first, last = own_rows(part, steps)
        row = sliced_row(part, sizes.capacity, slot)
        for i in range(first, last):
            t, s, target = start - plan.first_step + i // part.n, part.lo + i % part.n, window.y[row + i]
            nats[t, s] = 0.0
            correct[t, s] = 0
            if target >= 0:
                correct[t, s] = 1 if _most_likely(window.logits, logits + i, sizes.vocabulary) == target else 0
                nats[t, s] = loss(window.logits, logits + i, target)
        meet(part)
