"""Text that a model writes: characters drawn one after the other, each fed back."""

from collections.abc import Iterator

import numpy as np

from .config import DrawConfig
from .network import Network
from .parameters import Parameters

_FIRST_PIECE, _LARGEST_PIECE = 16, 512  # characters drawn before they are shown: few at first, then more at once
_BLOCK = 64


def sample(
    parameters: Parameters, prime: np.ndarray, count: int, length: int, how: DrawConfig, threads: int = 1
) -> Iterator[np.ndarray]:
    """Yields pieces (n, count) int32 of `count` texts of `length` characters that continue `prime` (ids, at least one).

    The texts differ by their draws; a text does not depend on how many others are drawn beside it.
    """
    net = Network(parameters, count, _BLOCK, threads=threads)
    if len(prime) > 1:  # all but the last character, which the first draw reads
        net.score(np.repeat(np.asarray(prime, np.int32)[:, None], count, 1), np.zeros((len(prime) - 1, count), np.uint8))
    last = np.full(count, prime[-1], np.int32)
    piece, done = _FIRST_PIECE, 0
    while done < length:
        n = min(piece, length - done)
        drawn = net.draw(last, n, done, how.temperature, how.top_k, how.top_p, how.seed)
        yield drawn
        last, done, piece = drawn[-1], done + n, min(2 * piece, _LARGEST_PIECE)
