"""Characters of a plan, copied into the window, and the contexts that they end."""

from .buffers import Net, State
from .contexts import advance, section_key
from .jit import inner
from .parallel import Part
from .rows import sliced_row
from .tasks import Plan


@inner
def read_character(net: Net, part: Part, state: State, which: int, row: int, s: int, character: int, reset: int) -> None:
    """Let stream part.lo + s read a character at a row of the window, from and to state number `which`."""
    window, own = net.window, part.base + s
    window.x[row] = character
    window.reset[row] = reset
    since = 0 if reset else state.since[which, own]
    window.since[row] = since
    state.since[which, own] = since + 1
    context = state.context[which]
    advance(context, own, character, reset)
    for k in range(window.context.shape[1]):
        window.context[row, k] = context[own, net.tables.lengths[k] - 1]


@inner
def read_block(net: Net, part: Part, plan: Plan, state: State, which: int, start: int, at: int, steps: int) -> None:
    """Copy the characters, targets and resets of this thread's streams to step `at` of the ring.

    start: the epoch step of the first.
    """
    window, capacity, excludes = net.window, net.sizes.capacity, net.tables.own.shape[1] > 0
    for t in range(steps):
        source, slot = start - plan.first_step + t, (at + t) % capacity
        row = sliced_row(part, capacity, slot)
        for s in range(part.n):
            stream = part.lo + s
            read_character(net, part, state, which, row + s, s, plan.ids[source, stream], plan.resets[source, stream])
            window.y[row + s] = plan.ids[source + 1, stream]
            if excludes:
                window.section[row + s] = section_key(net.tables, net.sublayer.first + stream, start + t)
        if part.rank == 0:
            window.gradient_scale[slot] = plan.gradient_scale[source]
