"""The optimizers: each rule is one pass over its part of the flat buffer. Also the gradient's norm.

The formulas are PyTorch's (torch.optim), so that runs can be compared: g is the clipped gradient.
"""

import math

from .buffers import Rule
from .jit import inner
from .lanes import LANES, load, splat, sqrt, store, total
from .parallel import share

SGD, ADAGRAD, RMSPROP, ADAM, ADAMW = range(5)
PIECE = 4096  # numbers whose squares are summed together; fixed, so the norm does not depend on the threads


@inner
def clear(rule: Rule, rank: int, ranks: int) -> None:
    """Sets this thread's share of the gradient to zero."""
    lo, hi = share(rule.gradients.shape[1] // LANES, rank, ranks)
    for j in range(lo * LANES, hi * LANES, LANES):
        store(rule.gradients, 0, j, splat(0.0))


@inner
def sum_squares(rule: Rule, rank: int, ranks: int) -> None:
    """Fills this thread's share of rule.partial with the sums of squares of the gradient's pieces."""
    n = rule.gradients.shape[1]
    lo, hi = share(rule.partial.shape[0], rank, ranks)
    for piece in range(lo, hi):
        squares = splat(0.0)
        for j in range(piece * PIECE, min(n, (piece + 1) * PIECE), LANES):
            g = load(rule.gradients, 0, j)
            squares = squares + g * g
        rule.partial[piece] = total(squares)


@inner
def norm(rule: Rule) -> float:
    """The global norm of the gradient, once all pieces are there."""
    squares = 0.0
    for piece in range(rule.partial.shape[0]):
        squares += rule.partial[piece]
    return math.sqrt(squares)


@inner
def apply(rule: Rule, rate: float, number: int, norm_now: float, rank: int, ranks: int) -> None:
    """One step of the rule on this thread's share; `number` is the update's, from 1. Decay is on matrices only."""
    scale = rule.clip / norm_now if rule.clip > 0.0 and norm_now > rule.clip else 1.0
    matrices, n = rule.matrices // LANES, rule.parameters.shape[1] // LANES
    lo, hi = share(n, rank, ranks)
    _apply(rule, rate, number, scale, rule.decay, lo * LANES, min(hi, matrices) * LANES)
    _apply(rule, rate, number, scale, 0.0, max(lo, matrices) * LANES, hi * LANES)


@inner
def _apply(rule, rate, number, scale, decay, first, last):
    if rule.kind == SGD:
        _sgd(rule, rate, scale, decay, first, last)
    elif rule.kind == ADAGRAD:
        _adagrad(rule, rate, scale, decay, first, last)
    elif rule.kind == RMSPROP:
        _rmsprop(rule, rate, scale, decay, first, last)
    elif rule.kind == ADAM:
        _adam(rule, rate, number, scale, decay, 0.0, first, last)
    else:
        _adam(rule, rate, number, scale, 0.0, rate * decay, first, last)


@inner
def _gradient(rule, scale, decay, j):
    return load(rule.gradients, 0, j) * scale + load(rule.parameters, 0, j) * decay


@inner
def _sgd(rule, rate, scale, decay, first, last):
    """v = momentum v + g; p -= rate v, or with Nesterov's look-ahead p -= rate (g + momentum v)."""
    for j in range(first, last, LANES):
        g = _gradient(rule, scale, decay, j)
        if rule.momentum > 0.0:
            v = load(rule.slots, 0, j) * rule.momentum + g
            store(rule.slots, 0, j, v)
            g = g + v * rule.momentum if rule.nesterov else v
        store(rule.parameters, 0, j, load(rule.parameters, 0, j) - g * rate)


@inner
def _adagrad(rule, rate, scale, decay, first, last):
    """s += g^2; p -= rate g / (sqrt(s) + epsilon). Duchi, Hazan & Singer 2011."""
    for j in range(first, last, LANES):
        g = _gradient(rule, scale, decay, j)
        s = load(rule.slots, 0, j) + g * g
        store(rule.slots, 0, j, s)
        store(rule.parameters, 0, j, load(rule.parameters, 0, j) - g * rate / (sqrt(s) + rule.epsilon))


@inner
def _rmsprop(rule, rate, scale, decay, first, last):
    """s = beta2 s + (1 - beta2) g^2; v = momentum v + g / (sqrt(s) + epsilon); p -= rate v. Hinton 2012, lecture 6e."""
    for j in range(first, last, LANES):
        g = _gradient(rule, scale, decay, j)
        s = load(rule.slots, 0, j) * rule.beta2 + g * g * (1.0 - rule.beta2)
        store(rule.slots, 0, j, s)
        g = g / (sqrt(s) + rule.epsilon)
        if rule.momentum > 0.0:
            g = load(rule.slots, 1, j) * rule.momentum + g
            store(rule.slots, 1, j, g)
        store(rule.parameters, 0, j, load(rule.parameters, 0, j) - g * rate)


@inner
def _adam(rule, rate, number, scale, decay, shrink, first, last):
    """Kingma & Ba 2015, algorithm 1; shrink > 0 is AdamW's decoupled decay (Loshchilov & Hutter 2019)."""
    step = rate / (1.0 - rule.beta1**number)
    correction = 1.0 / math.sqrt(1.0 - rule.beta2**number)
    keep_share = 1.0 - shrink
    for j in range(first, last, LANES):
        g = _gradient(rule, scale, decay, j)
        m = load(rule.slots, 0, j) * rule.beta1 + g * (1.0 - rule.beta1)
        v = load(rule.slots, 1, j) * rule.beta2 + g * g * (1.0 - rule.beta2)
        store(rule.slots, 0, j, m)
        store(rule.slots, 1, j, v)
        p = load(rule.parameters, 0, j) * keep_share
        store(rule.parameters, 0, j, p - m * step / (sqrt(v) * correction + rule.epsilon))
