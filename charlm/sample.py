"""Text that a model writes: characters drawn one after the other, each fed back."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .errors import ConfigurationError
from .kernels.buffers import Plan
from .network import Network, useful_threads
from .parameters import Parameters

_FIRST_PIECE, _LARGEST_PIECE = 16, 512  # characters drawn before they are shown: few at first, then more at once
_BLOCK = 64


@dataclass(frozen=True)
class Draw:
    """How a character is chosen. temperature 0: the most likely; top_k 0 and top_p 1: from all characters."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0.0 <= self.temperature < float("inf")):
            raise ConfigurationError(f"temperature {self.temperature}: must be 0 (the most likely) or above")
        if self.top_k < 0:
            raise ConfigurationError(f"top-k {self.top_k}: must be 0 (all) or above")
        if not (0.0 < self.top_p <= 1.0):
            raise ConfigurationError(f"top-p {self.top_p}: must be in (0, 1]")
        if not (0 <= self.seed < 2**63):
            raise ConfigurationError(f"seed {self.seed}: must be in [0, 2**63)")


def sample(
    parameters: Parameters, prime: np.ndarray, count: int, length: int, how: Draw, threads: int = 1
) -> Iterator[np.ndarray]:
    """Yields pieces (n, count) int32 of `count` texts of `length` characters that continue `prime` (ids, at least one).

    The texts differ by their draws; a text does not depend on how many others are drawn beside it.
    """
    net = Network(parameters, count, _BLOCK, threads=useful_threads(threads, count))
    if len(prime) > 1:
        _read(net, prime)
    last = np.full(count, prime[-1], np.int32)
    piece, done = _FIRST_PIECE, 0
    while done < length:
        n = min(piece, length - done)
        drawn = net.draw(last, n, done, how.temperature, how.top_k, how.top_p, how.seed)
        yield drawn
        last, done, piece = drawn[-1], done + n, min(2 * piece, _LARGEST_PIECE)


def _read(net: Network, prime: np.ndarray) -> None:
    """Brings every stream's state to where it is before it reads the last character of the prime."""
    n = len(prime) - 1
    starts = np.arange(0, n, _BLOCK)
    unused = np.zeros(len(starts))
    net.score(
        Plan(
            ids=np.repeat(np.asarray(prime, np.int32)[:, None], net.streams, 1),
            resets=np.zeros((n, net.streams), np.uint8), first_step=0, epoch_base=0, start=starts,
            steps=np.minimum(_BLOCK, n - starts), window=starts, losses=starts, weight=unused, learning_rate=unused,
            number=starts,
        )
    )  # fmt: skip
