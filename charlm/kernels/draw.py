"""The sampling kernel: the network's own characters, one step at a time."""

import math

import numpy as np

from .block import forward, pack_forward, predict
from .buffers import Packed, Sizes, State, Sublayer, Weights, Window, Workspace
from .jit import inner, kernel
from .parallel import Part, barrier, meet, own_rows
from .recurrence import sliced_row
from .simd import LANES, load, store
from .softmax import loss
from .sublayer import row_key

_DRAW = 255  # stands where a layer's number stands in a dropout key, so that the two never meet
_HALVINGS = 60
COLDEST = 1e-6  # temperatures below it, and 0, take the most likely character: logits have no more digits than that


@inner
def uniform(seed, step, stream):
    """A number in [0, 1), a function of its three arguments only; 32 bits of a splitmix64 hash."""
    return np.float64(row_key(seed, _DRAW, step, stream)) / 4294967296.0


@inner
def _count_and_mass(logits, row, n, threshold):
    count, mass = 0, 0.0
    for v in range(n):
        if logits[row, v] >= threshold:
            count += 1
            mass += logits[row, v]
    return count, mass


@inner
def _threshold(logits, row, n, least_count, least_mass):
    """The largest threshold (by bisection) that keeps at least so many characters and so much mass."""
    low, high = 0.0, 1.0 + 1e-6  # softmax.loss leaves exp(logit - largest), at most 1
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        count, mass = _count_and_mass(logits, row, n, middle)
        if count >= least_count and mass >= least_mass:
            low = middle
        else:
            high = middle
    return low


@inner
def _likeliest(logits, row, n):
    """The largest of n logits, the first one on a tie; -1 where one is not finite."""
    best = 0
    for v in range(n):
        if not math.isfinite(logits[row, v]):
            return -1
        if logits[row, v] > logits[row, best]:
            best = v
    return best


@inner
def _choose(logits, row, n, temperature, top_k, top_p, chance):
    """Draws a character from a row of logits; -1 where one is not finite. The row is overwritten.

    top_p is a share of what top_k leaves.
    """
    best = _likeliest(logits, row, n)
    if best < 0 or temperature < COLDEST:
        return best
    top = np.float64(logits[row, best])
    for v in range(n):
        logits[row, v] = (np.float64(logits[row, v]) - top) / temperature
    loss(logits, row, 0)  # the row is now exp(logit - largest)
    floor = 0.0
    if top_k > 0:
        floor = _threshold(logits, row, n, top_k, 0.0)
    if top_p < 1.0:
        _, kept = _count_and_mass(logits, row, n, floor)
        floor = max(floor, _threshold(logits, row, n, 0, top_p * kept))
    _, mass = _count_and_mass(logits, row, n, floor)
    left = chance * mass
    last = best
    for v in range(n):
        if logits[row, v] >= floor and logits[row, v] > 0.0:
            last = v
            left -= logits[row, v]
            if left < 0.0:
                break
    return last


@inner
def _resets(text, row, stream, position, period, separator):
    """Whether the state is set to zero before the character in this row of text, the position-th that is read."""
    if period > 0:
        return position % period == 0
    n = separator.shape[0]
    for i in range(n):
        if text[row - i, stream] != separator[n - 1 - i]:
            return False
    return n > 0


@kernel
def draw(
    cell,
    sizes: Sizes,
    sublayer: Sublayer,
    weights: Weights,
    packed: Packed,
    window: Window,
    state: State,
    work: Workspace,
    text: np.ndarray,
    known: int,
    position: int,
    first: int,
    period: int,
    separator: np.ndarray,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    nats: np.ndarray,
    raw: np.ndarray,
    part: Part,
) -> None:
    """Continues the text (known + n, S) int32 from its row `known` on, one character a step.

    The last of the known rows is what the first draw reads, the position-th character of all; those before it, at least
    as many as the separator has, serve to find the separator in. The state is reset before every period-th character,
    or, where period is 0, before the last one of a separator. `first` numbers the draws, so that a text drawn in pieces
    is the text drawn at once. nats (n, S) float64, or of no rows, gets the loss of each drawn character, whatever it was
    drawn with; raw (S, padded V) is where logits are kept for that. -1 is drawn where a logit is not finite.
    """
    pack_forward(sizes, part, weights, packed)
    row = sliced_row(part, sizes.capacity, 0)
    mine, end = own_rows(part, 1)
    for s in range(part.n):
        window.y[row + s] = 0
    barrier(part)
    for t in range(text.shape[0] - known):
        for s in range(part.n):
            window.x[row + s] = max(0, text[known - 1 + t, part.lo + s])
            reset = _resets(text, known - 1 + t, part.lo + s, position + t, period, separator)
            window.reset[row + s] = 1 if reset else 0
        forward(cell, sizes, part, sublayer, weights, packed, window, state, work, 0, 1, 0)
        logits = predict(sizes, part, weights, packed, window, work, 0, 1)
        for i in range(mine, end):
            s = part.lo + i
            chance = uniform(seed, first + t, s)
            if nats.shape[0] > 0:
                for j in range(0, raw.shape[1], LANES):
                    store(raw, s, j, load(window.logits, logits + i, j))
            chosen = _choose(window.logits, logits + i, sizes.vocabulary, temperature, top_k, top_p, chance)
            if nats.shape[0] > 0:
                nats[t, s] = loss(raw, s, max(0, chosen))
            text[known + t, s] = chosen
        meet(part)
