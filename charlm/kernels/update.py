"""The gradient's norm, and the call of the optimizer's update: one pass over a thread's rows of the flat buffer.

A thread updates the weights whose gradients it has summed: see parallel.py on memory that two threads write to.
"""

import math
from typing import Any

import numpy as np

from .jit import inner
from .parallel import Part
from .simd import LANES, PAD, fma, load, load_block, splat, splat_block, store, total
from .steps import call, span
from .tasks import Hyperparameters, OptimizerParams


@inner
def clear(rule: OptimizerParams, part: Part) -> None:
    """Set this thread's rows of the gradient to zero."""
    for piece in range(part.own.shape[0]):
        for row in range(part.own[piece, 0], part.own[piece, 1]):
            for j in range(0, rule.gradients.shape[1], LANES):
                store(rule.gradients, row, j, splat(0.0))


@inner
def sum_squares(rule: OptimizerParams, part: Part) -> None:
    """Fill rule.partial with the sum of squares of each of this thread's rows of the gradient."""
    for piece in range(part.own.shape[0]):
        for row in range(part.own[piece, 0], part.own[piece, 1]):
            squares = splat_block(0.0)
            for j in range(0, rule.gradients.shape[1], PAD):
                g = load_block(rule.gradients, row, j)
                squares = fma(g, g, squares)
            rule.partial[row] = total(squares)


@inner
def norm(rule: OptimizerParams) -> float:
    """Return the global norm of the gradient, once all rows are there."""
    squares = 0.0
    for row in range(rule.partial.shape[0]):
        squares += rule.partial[row]
    return math.sqrt(squares)


@inner
def apply(rule: OptimizerParams, part: Part, rate: float, number: int, norm_now: float) -> None:
    """Make one step of the rule on this thread's rows; `number` is the update's, from 1. Decay is on matrices only."""
    scale = rule.clip / norm_now if rule.clip > 0.0 and norm_now > rule.clip else 1.0
    for piece in range(part.own.shape[0]):
        first, last = part.own[piece, 0], part.own[piece, 1]
        decay = rule.decay if first < rule.matrices else 0.0
        hyper = Hyperparameters(
            rate, number, scale, decay, rule.momentum, rule.nesterov, rule.beta1, rule.beta2, rule.epsilon
        )
        _apply(rule, hyper, first, last)


@inner
def _apply(rule, hyper, first, last):
    """Make one step on rows [first, last), with as many slots as the rule has: at most steps.MOST_SLOTS."""
    n, slots = (last - first) * rule.parameters.shape[1], rule.slots
    p, g = span(rule.parameters, first, last), span(rule.gradients, first, last)
    if slots.shape[0] == 0:
        call(rule.update, (hyper, n, p, g))
    elif slots.shape[0] == 1:
        call(rule.update, (hyper, n, p, g, span(slots[0], first, last)))
    elif slots.shape[0] == 2:
        call(rule.update, (hyper, n, p, g, span(slots[0], first, last), span(slots[1], first, last)))
    elif slots.shape[0] == 3:
        a, b, c = span(slots[0], first, last), span(slots[1], first, last), span(slots[2], first, last)
        call(rule.update, (hyper, n, p, g, a, b, c))
    elif slots.shape[0] == 4:
        a, b, c = span(slots[0], first, last), span(slots[1], first, last), span(slots[2], first, last)
        call(rule.update, (hyper, n, p, g, a, b, c, span(slots[3], first, last)))


@inner
def decayed(hyper: Hyperparameters, parameters: np.ndarray, gradients: np.ndarray, j: int) -> Any:
    """Return LANES numbers of the clipped gradient with weight decay added, for an optimizer's update."""
    return fma(load(parameters, j), hyper.decay, load(gradients, j) * hyper.scale)
