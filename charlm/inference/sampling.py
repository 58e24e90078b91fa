"""Sampling: draw characters from a model one after the other and feed each back."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..config.sampling import DrawConfig
from ..nn.network import Network
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Streams

_FIRST_PIECE, _LARGEST_PIECE = 16, 512  # characters per piece: few at first, so that text appears soon
_BLOCK = 64


class Context(NamedTuple):
    """A model and the text that it continues.

    resets: when the state is set to zero, in this text and in its continuation. ids: (n,), at least one. threads: processor
    threads to use; results do not depend on them.
    """

    parameters: Parameters
    resets: Resets
    ids: np.ndarray
    threads: int = 1

    def network(self, streams: int, block: int) -> Network:
        """Return a network whose streams have all read the context except its last character, which is read next."""
        net = Network(self.parameters, streams, block, threads=self.threads, fixed=True)
        ids = np.asarray(self.ids, np.int32)
        if len(ids) > 1:
            reset = self.resets.read(Streams(len(ids), 1), ids, 0, len(ids) - 1)
            net.score(np.repeat(ids[:, None], streams, 1), np.repeat(reset, streams, 1))
        return net


class Drawn(NamedTuple):
    """Characters drawn for `count` texts: ids (n, count) int32, and losses in nats (n, count), or (0, count) if unscored."""

    ids: np.ndarray
    nats: np.ndarray


def sample(
    context: Context, count: int, length: int, how: DrawConfig, first: int = 0, scored: bool = False
) -> Iterator[Drawn]:
    """Yield `count` texts of `length` characters that continue the context, piece by piece.

    Each text has random numbers of its own and does not depend on how many others are drawn beside it. first: the number
    of the first draw; other numbers give other texts for the same seed. scored: also compute losses, -log of the model's
    probability at temperature 1, whatever temperature is drawn with.
    """
    net, resets = context.network(count, _BLOCK), context.resets
    ids = np.asarray(context.ids, np.int32)
    recent = max(1, len(resets.separator))
    known = np.repeat(np.concatenate([np.full(recent, -1, np.int32), ids])[-recent:, None], count, 1)
    piece, done = _FIRST_PIECE, 0
    while done < length:
        n = min(piece, length - done)
        drawn = net.draw(known, n, len(ids) - 1 + done, first + done, resets, how, scored)
        yield Drawn(*drawn)
        known, done, piece = np.concatenate([known, drawn[0]])[-recent:], done + n, min(2 * piece, _LARGEST_PIECE)
