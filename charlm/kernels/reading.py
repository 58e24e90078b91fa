"""Characters of a plan, copied into the window."""

from .buffers import Plan, Sizes, Window
from .jit import inner
from .parallel import Part
from .rows import sliced_row


@inner
def read_block(sizes: Sizes, part: Part, plan: Plan, window: Window, start: int, at: int, steps: int) -> None:
    """Copy the characters, targets and resets of this thread's streams to step `at` of the ring.

    start: the epoch step of the first.
    """
    capacity = sizes.capacity
    for t in range(steps):
        source, slot = start - plan.first_step + t, (at + t) % capacity
        row = sliced_row(part, capacity, slot)
        for s in range(part.n):
            window.x[row + s] = plan.ids[source, part.lo + s]
            window.y[row + s] = plan.ids[source + 1, part.lo + s]
            window.reset[row + s] = plan.resets[source, part.lo + s]
        if part.rank == 0:
            window.gradient_scale[slot] = plan.gradient_scale[source]
