"""Beam search: the most likely continuation of a text among a limited number of hypotheses."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..tbptt.resets import ends_with
from .sampling import Context


class Hypothesis(NamedTuple):
    """A continuation: ids (n,), the loss of each in nats (n,), and whether it ended with the stop text."""

    ids: np.ndarray
    nats: np.ndarray
    ended: bool


def search(
    context: Context,
    width: int,
    length: int,
    stop: np.ndarray,
    min_length: int = 0,
    on_done: Callable[[int], None] = lambda n: None,
) -> list[Hypothesis]:
    """Return the most likely continuations found, at most `width`, the likeliest first (beam search: Lowerre 1976).

    A continuation ends with `stop` (ids; empty: none) or after `length` characters. The `width` likeliest unfinished ones
    are kept at each step; the result is exact if that is all V^length of them. min_length: characters required before the
    stop text. on_done: called with 1 after each step. Losses only add up, so the search ends as soon as no unfinished
    continuation can enter the result.
    """
    net, resets = context.network(width, 1), context.resets
    prime = np.asarray(context.ids, np.int64)
    text = np.repeat(prime[None], width, 0)
    nats = np.zeros((width, 0))
    total = np.full(width, np.inf)
    total[0] = 0.0  # all streams hold the same text so far: one of them counts
    finished: list[Hypothesis] = []
    for _ in range(length):
        reset = resets.following(text[:, :-1], text[:, -1:], text.shape[1] - 1)[:, 0]
        losses = total[:, None] - net.step(text[:, -1], reset)
        best = np.argsort(losses, axis=None, kind="stable")[: 2 * width]
        best = best[np.isfinite(losses.ravel()[best])]
        source, character = np.divmod(best, losses.shape[1])
        grown = np.concatenate([text[source], character[:, None]], 1)
        cost = np.concatenate([nats[source], (losses.ravel()[best] - total[source])[:, None]], 1)
        ended = ends_with(grown[:, len(prime) :], stop)[:, -1]
        if grown.shape[1] - len(prime) - len(stop) >= min_length:
            finished += [Hypothesis(grown[i, len(prime) :], cost[i], True) for i in np.flatnonzero(ended)]
        live = np.flatnonzero(~ended)[:width]
        if len(live) == 0:
            return _likeliest(finished, width)
        live = live[np.minimum(np.arange(width), len(live) - 1)]
        text, nats = grown[live], cost[live]
        total = np.where(np.arange(width) < len(np.unique(live)), nats.sum(1), np.inf)
        net.choose_streams(source[live])
        on_done(1)
        found = _likeliest(finished, width)
        if len(found) == width and found[-1].nats.sum() <= total.min():
            return found
    unfinished = [Hypothesis(text[i, len(prime) :], nats[i], False) for i in np.flatnonzero(np.isfinite(total))]
    return _likeliest(finished + unfinished, width)


def _likeliest(found: list[Hypothesis], n: int) -> list[Hypothesis]:
    return sorted(found, key=lambda each: float(each.nats.sum()))[:n]
