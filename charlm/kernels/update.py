"""The optimizers: each rule is one pass over a thread's rows of the flat buffer. Also the gradient's norm.

The formulas are PyTorch's (torch.optim), so that runs can be compared: g is the clipped gradient. A thread updates the
weights whose gradients it has summed: see parallel.py on memory that two threads write to.
"""

import math

from .buffers import OptimizerParams
from .jit import inner
from .parallel import Part
from .simd import LANES, load, splat, sqrt, store, total

SGD, ADAGRAD, RMSPROP, ADAM, ADAMW, DYNAMIC = range(6)


@inner
def clear(rule: OptimizerParams, part: Part) -> None:
    """Sets this thread's rows of the gradient to zero."""
    for piece in range(part.own.shape[0]):
        for row in range(part.own[piece, 0], part.own[piece, 1]):
            for j in range(0, rule.gradients.shape[1], LANES):
                store(rule.gradients, row, j, splat(0.0))


@inner
def sum_squares(rule: OptimizerParams, part: Part) -> None:
    """Fills rule.partial with the sum of squares of each of this thread's rows of the gradient."""
    for piece in range(part.own.shape[0]):
        for row in range(part.own[piece, 0], part.own[piece, 1]):
            squares = splat(0.0)
            for j in range(0, rule.gradients.shape[1], LANES):
                g = load(rule.gradients, row, j)
                squares = squares + g * g
            rule.partial[row] = total(squares)


@inner
def norm(rule: OptimizerParams) -> float:
    """The global norm of the gradient, once all rows are there."""
    squares = 0.0
    for row in range(rule.partial.shape[0]):
        squares += rule.partial[row]
    return math.sqrt(squares)


@inner
def apply(rule: OptimizerParams, part: Part, rate: float, number: int, norm_now: float) -> None:
    """One step of the rule on this thread's rows; `number` is the update's, from 1. Decay is on matrices only."""
    scale = rule.clip / norm_now if rule.clip > 0.0 and norm_now > rule.clip else 1.0
    for piece in range(part.own.shape[0]):
        first, last = part.own[piece, 0], part.own[piece, 1]
        _apply(rule, rate, number, scale, rule.decay if first < rule.matrices else 0.0, first, last)


@inner
def _apply(rule, rate, number, scale, decay, first, last):
    """One step on rows [first, last)."""
    if rule.kind == SGD:
        _sgd(rule, rate, scale, decay, first, last)
    elif rule.kind == ADAGRAD:
        _adagrad(rule, rate, scale, decay, first, last)
    elif rule.kind == RMSPROP:
        _rmsprop(rule, rate, scale, decay, first, last)
    elif rule.kind == ADAM:
        _adam(rule, rate, number, scale, decay, 0.0, first, last)
    elif rule.kind == DYNAMIC:
        _dynamic(rule, rate, scale, first, last)
    elif rule.kind == ADAMW:
        _adam(rule, rate, number, scale, 0.0, rate * decay, first, last)


@inner
def _gradient(rule, scale, decay, row, j):
    return load(rule.gradients, row, j) * scale + load(rule.parameters, row, j) * decay


@inner
def _sgd(rule, rate, scale, decay, first, last):
    """v = momentum v + g; p -= rate v, or with Nesterov's look-ahead p -= rate (g + momentum v)."""
    for row in range(first, last):
        for j in range(0, rule.gradients.shape[1], LANES):
            g = _gradient(rule, scale, decay, row, j)
            if rule.momentum > 0.0:
                v = load(rule.slots[0], row, j) * rule.momentum + g
                store(rule.slots[0], row, j, v)
                g = g + v * rule.momentum if rule.nesterov else v
            store(rule.parameters, row, j, load(rule.parameters, row, j) - g * rate)


@inner
def _adagrad(rule, rate, scale, decay, first, last):
    """s += g^2; p -= rate g / (sqrt(s) + epsilon). Duchi, Hazan & Singer 2011."""
    for row in range(first, last):
        for j in range(0, rule.gradients.shape[1], LANES):
            g = _gradient(rule, scale, decay, row, j)
            s = load(rule.slots[0], row, j) + g * g
            store(rule.slots[0], row, j, s)
            store(rule.parameters, row, j, load(rule.parameters, row, j) - g * rate / (sqrt(s) + rule.epsilon))


@inner
def _rmsprop(rule, rate, scale, decay, first, last):
    """s = beta2 s + (1 - beta2) g^2; v = momentum v + g / (sqrt(s) + epsilon); p -= rate v. Hinton 2012, lecture 6e."""
    for row in range(first, last):
        for j in range(0, rule.gradients.shape[1], LANES):
            g = _gradient(rule, scale, decay, row, j)
            s = load(rule.slots[0], row, j) * rule.beta2 + g * g * (1.0 - rule.beta2)
            store(rule.slots[0], row, j, s)
            g = g / (sqrt(s) + rule.epsilon)
            if rule.momentum > 0.0:
                g = load(rule.slots[1], row, j) * rule.momentum + g
                store(rule.slots[1], row, j, g)
            store(rule.parameters, row, j, load(rule.parameters, row, j) - g * rate)


@inner
def _adam(rule, rate, number, scale, decay, shrink, first, last):
    """Kingma & Ba 2015, algorithm 1; shrink > 0 is AdamW's decoupled decay (Loshchilov & Hutter 2019)."""
    step = rate / (1.0 - rule.beta1**number)
    correction = 1.0 / math.sqrt(1.0 - rule.beta2**number)
    keep_share = 1.0 - shrink
    for row in range(first, last):
        for j in range(0, rule.gradients.shape[1], LANES):
            g = _gradient(rule, scale, decay, row, j)
            m = load(rule.slots[0], row, j) * rule.beta1 + g * (1.0 - rule.beta1)
            v = load(rule.slots[1], row, j) * rule.beta2 + g * g * (1.0 - rule.beta2)
            store(rule.slots[0], row, j, m)
            store(rule.slots[1], row, j, v)
            p = load(rule.parameters, row, j) * keep_share
            store(rule.parameters, row, j, p - m * step / (sqrt(v) * correction + rule.epsilon))


@inner
def _dynamic(rule, rate, scale, first, last):
    """p += pull (anchor - p) - rate gain g; slots are gain, pull, anchor. Krause et al. 2018, eq. 4: see dynamic.py."""
    for row in range(first, last):
        for j in range(0, rule.gradients.shape[1], LANES):
            g, p = load(rule.gradients, row, j) * scale, load(rule.parameters, row, j)
            back = (load(rule.slots[2], row, j) - p) * load(rule.slots[1], row, j)
            store(rule.parameters, row, j, p + back - g * load(rule.slots[0], row, j) * rate)
