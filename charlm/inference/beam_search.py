"""Beam search: the most likely continuation of a text, as far as a beam of hypotheses finds it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..nn.network import Network
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from .sampling import read_prime


class Hypothesis(NamedTuple):
    """A continuation: ids (n,), the loss of each in nats (n,), and whether it ended with the stop text."""

    ids: np.ndarray
    nats: np.ndarray
    ended: bool


def search(
    parameters: Parameters,
    resets: Resets,
    prime: np.ndarray,
    width: int,
    length: int,
    stop: np.ndarray,
    least: int = 0,
    threads: int = 1,
    on_done: Callable[[int], None] = lambda n: None,
) -> list[Hypothesis]:
    """The likeliest continuations of `prime` (ids, at least one) that were found, at most `width`, the likeliest first.

    A continuation ends with `stop` (ids; empty: none) or after `length` characters. Of those that go on, the `width`
    likeliest are kept at each step (beam search: Lowerre 1976); with a width of all V^length of them the result is exact.
    least: characters that there must be before a stop. Losses add up, so nothing that goes on can become likelier: the
    search ends when none of it could still enter the result. on_done is told each character of depth.
    """
    net = Network(parameters, width, 1, threads=threads)
    prime = np.asarray(prime, np.int64)
    read_prime(net, resets, prime)
    text = np.repeat(prime[None], width, 0)
    nats = np.zeros((width, 0))
    total = np.full(width, np.inf)
    total[0] = 0.0  # all streams hold the same so far
    finished: list[Hypothesis] = []
    for _ in range(length):
        losses = total[:, None] - net.step(text[:, -1], _resets(resets, text))
        best = np.argsort(losses, axis=None, kind="stable")[: 2 * width]
        best = best[np.isfinite(losses.ravel()[best])]
        source, character = np.divmod(best, losses.shape[1])
        grown = np.concatenate([text[source], character[:, None]], 1)
        cost = np.concatenate([nats[source], (losses.ravel()[best] - total[source])[:, None]], 1)
        ended = _ends_with(grown[:, len(prime) :], stop)
        enough = grown.shape[1] - len(prime) - len(stop) >= least
        finished += [Hypothesis(grown[i, len(prime) :], cost[i], True) for i in np.flatnonzero(ended) if enough]
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
    rest = [Hypothesis(text[i, len(prime) :], nats[i], False) for i in np.flatnonzero(np.isfinite(total))]
    return _likeliest(finished + rest, width)


def _likeliest(found: list[Hypothesis], n: int) -> list[Hypothesis]:
    return sorted(found, key=lambda each: float(each.nats.sum()))[:n]


def _ends_with(text: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Which rows of `text` (B, n) end with the ids `end`; none, where that is empty."""
    if len(end) == 0 or text.shape[1] < len(end):
        return np.zeros(len(text), bool)
    return (text[:, -len(end) :] == end).all(1)


def _resets(resets: Resets, text: np.ndarray) -> np.ndarray:
    """Whether the state is reset before the last character of each row of `text` (B, n) is read."""
    if resets.period:
        return np.full(len(text), (text.shape[1] - 1) % resets.period == 0)
    return _ends_with(text, resets.separator)
