"""The sampling kernel: the network's own characters, one step at a time."""

import math

import numpy as np

from .buffers import Net
from .direct import connect
from .forward import forward, pack_forward, predict
from .jit import inner, kernel
from .parallel import Part, barrier, meet, own_rows
from .reading import read_character
from .records import Array2
from .rows import fill_row, sliced_row
from .simd import PAD, larger, largest, load_block, splat_block, total
from .softmax import exponentials_in_place, loss_in_place
from .sublayer import row_key
from .tasks import Drawing

_DRAW = 255  # stands where a layer's number stands in a dropout key, so that the two never meet
_HALVINGS = 60
COLDEST = 1e-6  # temperatures below it, and 0, take the most likely character: logits have no more digits than that


@inner
def uniform(seed, step, stream):
    """Return a number in [0, 1), a function of its three arguments only; 32 bits of a splitmix64 hash."""
    return np.float64(row_key(seed, _DRAW, step, stream)) / 4294967296.0


@inner
def _count_and_mass(logits, row, n, threshold):
    """Return the number and the sum of the values that are not below a threshold."""
    count, mass = 0, 0.0
    for v in range(n):
        if logits[row, v] >= threshold:
            count += 1
            mass += logits[row, v]
    return count, mass


@inner
def _threshold(logits, row, n, least_count, least_mass):
    """Find, by bisection, the largest threshold that keeps at least so many characters and so much mass."""
    low, high = 0.0, 1.0 + 1e-6  # values are exp(logit - largest), at most 1
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        count, mass = _count_and_mass(logits, row, n, middle)
        if count >= least_count and mass >= least_mass:
            low = middle
        else:
            high = middle
    return low


@inner
def _largest(logits, row, width):
    """Return the largest of a row of logits; NaN if one is not finite."""
    most, nothing = load_block(logits, row, 0), splat_block(0.0)
    for j in range(0, width, PAD):
        value = load_block(logits, row, j)
        most, nothing = larger(most, value), nothing + value * 0.0  # infinity times 0 is NaN
    return largest(most) + total(nothing)


@inner
def _choose(drawing, logits, row, n, width, chance):
    """Draw a character from a row of logits; -1 if one is not finite. The row is overwritten.

    top_p is a share of what top_k leaves.
    """
    top = _largest(logits, row, width)
    if not math.isfinite(top):
        return -1
    if drawing.temperature < COLDEST:
        for v in range(n):
            if logits[row, v] == top:
                return v
    if drawing.temperature != 1.0:
        for v in range(n):
            logits[row, v] = (np.float64(logits[row, v]) - top) / drawing.temperature
    exponentials_in_place(logits, row, width)
    floor = 0.0
    if drawing.top_k > 0:
        floor = _threshold(logits, row, n, drawing.top_k, 0.0)
    if drawing.top_p < 1.0:
        _, kept = _count_and_mass(logits, row, n, floor)
        floor = max(floor, _threshold(logits, row, n, 0, drawing.top_p * kept))
    _, mass = _count_and_mass(logits, row, n, floor)
    left = chance * mass
    last = 0
    for v in range(n):
        if logits[row, v] >= floor and logits[row, v] > 0.0:
            last = v
            left -= logits[row, v]
            if left < 0.0:
                break
    return last


@inner
def _resets(drawing, text, row, stream, position):
    """Return whether the state is set to zero before the character in this row of text, the position-th that is read."""
    if drawing.period > 0:
        return position % drawing.period == 0
    separator = drawing.separator
    n = separator.shape[0]
    for i in range(n):
        if text[row - i, stream] != separator[n - 1 - i]:
            return False
    return n > 0


@kernel
def draw(net: Net, drawing: Drawing, text: Array2[np.int32], nats: Array2[np.float64], packs: int, part: Part) -> None:
    """Continue the text (known + n, S) int32 from row drawing.known on, one character a step.

    nats (n, S) float64, or without rows, gets the loss of each drawn character at temperature 1. -1 is drawn if a logit is
    not finite. packs: 1 if the matrices may have changed since they were packed, else 0.
    """
    sizes, window, kept, known = net.sizes, net.window, drawing.logits, drawing.known
    if packs:
        pack_forward(net, part)
    row = sliced_row(part, sizes.capacity, 0)
    mine, end = own_rows(part, 1)
    for s in range(part.n):
        window.y[row + s] = 0
    barrier(part)
    for t in range(text.shape[0] - known):
        for s in range(part.n):
            stream = part.lo + s
            reset = 1 if _resets(drawing, text, known - 1 + t, stream, drawing.position + t) else 0
            read_character(net, part, net.state, 0, row + s, s, max(0, text[known - 1 + t, stream]), reset)
        forward(net, part, net.state, 0, 0, 1, 0)
        logits = predict(net, part, 0, 1)
        for i in range(mine, end):
            s = part.lo + i
            chance = uniform(drawing.seed, drawing.first + t, s)
            connect(net, part, logits + i, row + i, row + i + 1)
            if nats.shape[0] > 0:
                fill_row(kept, s, window.logits, logits + i)
            chosen = _choose(drawing, window.logits, logits + i, sizes.vocabulary, sizes.padded_vocabulary, chance)
            if nats.shape[0] > 0:
                nats[t, s] = loss_in_place(kept, s, sizes.padded_vocabulary, max(0, chosen))
            text[known + t, s] = chosen
        meet(part)
