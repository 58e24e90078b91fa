"""The scoring kernel: forward only, the loss of every character."""

import numpy as np

from .block import forward, pack_forward, predict
from .buffers import Packed, Passing, Plan, Sizes, State, Weights, Window, Work
from .jit import inner, kernel
from .parallel import barrier, share
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
    cell, sizes: Sizes, passing: Passing, plan: Plan, weights: Weights, packed: Packed, window: Window, state: State,
    work: Work, nats: np.ndarray, hits: np.ndarray, gate: np.ndarray, rank: int, ranks: int,
) -> None:  # fmt: skip
    """Reads the plan's blocks; nats (n, S) float64 and hits (n, S) uint8 get each target's loss and whether it led.

    Only the plan's start and steps are used of its updates. Rows with target -1 get 0.
    """
    lo, hi = share(sizes.streams, rank, ranks)
    pack_forward(sizes, weights, packed, rank, ranks)
    barrier(gate, ranks)
    for u in range(plan.start.shape[0]):
        start, steps = plan.start[u], plan.steps[u]
        slot = start % sizes.capacity
        read_block(sizes, plan, window, start, steps, lo, hi)
        forward(cell, sizes, passing, weights, packed, window, state, work, slot, steps, 0, lo, hi)
        at = predict(sizes, weights, packed, window, slot, steps, lo, hi)
        for t in range(steps):
            out = start - plan.first_step + t
            for s in range(lo, hi):
                target = window.y[(slot + t) * sizes.streams + s]
                nats[out, s] = 0.0
                hits[out, s] = 0
                if target >= 0:
                    row = (at + t) * sizes.streams + s
                    hits[out, s] = 1 if _most_likely(window.logits, row, sizes.vocabulary) == target else 0
                    nats[out, s] = loss(window.logits, row, target)
