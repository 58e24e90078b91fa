"""The scoring kernel: forward only, the loss of every character."""

import numpy as np

from .buffers import Net
from .direct import connect
from .forward import forward, pack_forward, predict
from .jit import inner, kernel
from .parallel import Part, barrier, meet, own_rows
from .reading import read_block
from .records import Array2
from .rows import sliced_row
from .softmax import loss_in_place
from .tasks import Plan


@inner
def _most_likely(logits, row, n):
    """Return the index of the largest of the first n logits, the first one on a tie."""
    best = 0
    for v in range(1, n):
        if logits[row, v] > logits[row, best]:
            best = v
    return best


@kernel
def score(net: Net, plan: Plan, nats: Array2[np.float64], correct: Array2[np.uint8], packs: int, part: Part) -> None:
    """Read the plan's blocks; nats (n, S) float64 and correct (n, S) uint8 get each target's loss and whether it led.

    Of the plan's updates only start and steps are used. Rows with target -1 get 0. packs: 1 if the matrices may have changed
    since they were packed, else 0.
    """
    window, capacity = net.window, net.sizes.capacity
    if packs:
        pack_forward(net, part)
        barrier(part)
    for u in range(plan.start.shape[0]):
        start, steps = plan.start[u], plan.steps[u]
        slot = start % capacity
        read_block(net, part, plan, net.state, 0, start, start, steps)
        forward(net, part, net.state, 0, slot, steps, 0)
        logits = predict(net, part, slot, steps)
        first, last = own_rows(part, steps)
        row = sliced_row(part, capacity, slot)
        for i in range(first, last):
            t, s, target = start - plan.first_step + i // part.n, part.lo + i % part.n, window.y[row + i]
            nats[t, s] = 0.0
            correct[t, s] = 0
            if target >= 0:
                connect(net, part, logits + i, row + i, row + last)
                correct[t, s] = 1 if _most_likely(window.logits, logits + i, net.sizes.vocabulary) == target else 0
                nats[t, s] = loss_in_place(window.logits, logits + i, net.sizes.padded_vocabulary, target)
        meet(part)
