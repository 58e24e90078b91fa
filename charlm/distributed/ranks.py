"""The processes that train one run, or read one text, together: by default this one alone. mpi.py has those of MPI.

Ranks, as MPI calls them, run the same program and do the same things in the same order. Each has some of the streams. If
one of them decides something or fails, the others must hear of it, or they would wait for it forever. Every method that
exchanges data must be called by all ranks, in the same order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import numpy as np

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class Exchange(Protocol):
    """Sums gradients over the ranks while kernels run. bell, answer: pipes of the kernels, see kernels/parallel.py."""

    bell: int
    answer: int

    def serve(self, running: Sequence[Future]) -> None:
        """Sum each update's gradient as soon as it is complete, until the kernels have ended."""


class Ranks:
    """A single process, which exchanges data with itself only."""

    rank = 0
    size = 1
    sharers = 1  # ranks that use the same processors
    first_on_node = True  # whether this is the first rank of its machine, which checks and fills the caches

    @property
    def first(self) -> bool:
        """Return whether this is the rank that writes, prints and decides."""
        return self.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """Return, on all ranks, the result of make() on the first one. Its error is raised on all."""
        return make()

    def on_first(self, do: Callable[[], T]) -> T | None:
        """Call do() on the first rank only, which gets the result. An error is raised on all ranks."""
        return do()

    def everywhere(self, do: Callable[[], T], node_first: bool = False) -> T:
        """Call do() on all ranks; an error of one is raised on all. node_first: one rank of each machine goes first."""
        return do()

    def table(self, numbers: np.ndarray) -> np.ndarray:
        """Return the numbers (n,) float64 of all ranks as an array (ranks, n), the same everywhere."""
        return numbers[None]

    def largest(self, number: float) -> float:
        """Return the largest of the ranks' numbers, the same everywhere."""
        return float(self.table(np.array([float(number)])).max())

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order, on the first rank; an empty list on the others."""
        return [value]

    def scatter(self, values: list[T] | None) -> T:
        """Return this rank's share of the first rank's values, one for each rank. values: None on other ranks."""
        assert values is not None
        return values[0]

    def average(self, *arrays: np.ndarray) -> None:
        """Replace float32 arrays by their mean over the ranks."""

    def exchange(self, flat: np.ndarray, layers: list[list[np.ndarray]]) -> Exchange | None:
        """Return what sums the gradient `flat` over the ranks; None for a single rank.

        layers: the stretches of `flat` that a backward pass completes, layer by layer from the top.
        """
        return None

    def require_same(self, what: str, value: Any) -> None:
        """Raise ResourceError if some rank has another value than the first one. what: begins the message."""

    def joint(self, error: E) -> E:
        """Mark an error that all ranks raise at the same place, and return it. It is reported once, and no rank waits."""
        error.joint = True  # type: ignore[attr-defined]
        return error

    def abort(self, code: int) -> None:
        """End all ranks at once, after an error of this rank alone."""
