"""Text that a model writes: characters drawn one after the other, each fed back; and whether it is new."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ..config.run import DrawConfig
from ..nn.network import Network
from ..nn.parameters import Parameters
from ..tbptt.resets import Resets
from ..tbptt.streams import Streams

_FIRST_PIECE, _LARGEST_PIECE = 16, 512  # characters drawn before they are shown: few at first, then more at once
_BLOCK = 64


class Drawn(NamedTuple):
    """Characters drawn one after the other: ids (n, count) int32, and their losses in nats (n, count), or (0, count)."""

    ids: np.ndarray
    nats: np.ndarray


def sample(
    parameters: Parameters,
    resets: Resets,
    prime: np.ndarray,
    count: int,
    length: int,
    how: DrawConfig,
    threads: int = 1,
    first: int = 0,
    scored: bool = False,
) -> Iterator[Drawn]:
    """Yields pieces of `count` texts of `length` characters that continue `prime` (ids, at least one).

    The state is reset where `resets` says so, in the prime and in what is drawn. The texts differ by their draws; a text
    does not depend on how many others are drawn beside it. first: the number of the first draw; with another one, other
    texts are drawn from the same seed. scored: whether losses are wanted: -log of the probability that the model gives a
    character, whatever the temperature.
    """
    net = Network(parameters, count, _BLOCK, threads=threads)
    prime = np.asarray(prime, np.int32)
    read_prime(net, resets, prime)
    recent = max(1, len(resets.separator))
    known = np.repeat(np.concatenate([np.full(recent, -1, np.int32), prime])[-recent:, None], count, 1)
    piece, done = _FIRST_PIECE, 0
    while done < length:
        n = min(piece, length - done)
        drawn = net.draw(known, n, len(prime) - 1 + done, first + done, resets.period, resets.separator, how, scored)
        yield Drawn(*drawn)
        known, done, piece = np.concatenate([known, drawn[0]])[-recent:], done + n, min(2 * piece, _LARGEST_PIECE)


def read_prime(net: Network, resets: Resets, prime: np.ndarray) -> None:
    """Has every stream read all of `prime` (ids) but the last character, which is for what comes next to read."""
    if len(prime) > 1:
        reset = resets.read(Streams(len(prime), 1), prime, 0, len(prime) - 1)
        net.score(np.repeat(prime[:, None], net.streams, 1), np.repeat(reset, net.streams, 1))


class Seen:
    """The sequences that a separator divides a text into, to ask whether one is among them; eight bytes each."""

    def __init__(self, pieces: Iterable[str], separator: str) -> None:
        """pieces: the text, cut anywhere."""
        found, rest = [], ""
        for piece in pieces:
            *whole, rest = (rest + piece).split(separator)
            found.append(np.fromiter(map(hash, whole), np.int64, len(whole)))
        self._hashes = np.unique(np.concatenate([*found, np.array([hash(rest)])]))

    def __contains__(self, sequence: str) -> bool:
        """Whether this is one of them; without its separator."""
        at = int(np.searchsorted(self._hashes, hash(sequence)))
        return at < len(self._hashes) and bool(self._hashes[at] == hash(sequence))
