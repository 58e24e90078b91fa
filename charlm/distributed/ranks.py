"""The processes that make one run, or read one text, together: by default this one alone. mpi.py has those of MPI.

Ranks, as MPI calls them, run the same program and do the same things in the same order. Each has some of the streams;
what one of them decides or fails at the others must hear of, or they would wait for it forever. Everything here that
exchanges something is to be called by all ranks, in the same order.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import numpy as np

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


class Exchange(Protocol):
    """Sums gradients over the ranks while kernels run that ring (kernels/parallel.py): bell, answer are theirs."""

    bell: int
    answer: int

    def serve(self, running: Sequence[Future]) -> None:
        """Sums each update's gradient as soon as it is complete, until the kernels have ended."""


class Ranks:
    """This process alone: whatever several would exchange is its own."""

    rank = 0
    size = 1
    sharers = 1  # ranks that have the same processors
    first_on_node = True  # whether it is the first rank of its machine, which has the caches checked and filled

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes, prints and decides."""
        return self.rank == 0

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first rank makes, for all of them. An error of its making is raised on all."""
        return make()

    def on_first(self, do: Callable[[], T]) -> T | None:
        """Has something done on the first rank only, which gets the result. An error is raised on all."""
        return do()

    def everywhere(self, do: Callable[[], T], node_first: bool = False) -> T:
        """Has all ranks do something; an error of one is raised on all. node_first: on a machine one before the others."""
        return do()

    def table(self, numbers: np.ndarray) -> np.ndarray:
        """The numbers (n,) float64 of all ranks, (ranks, n), the same everywhere."""
        return numbers[None]

    def largest(self, number: float) -> float:
        """The largest of the numbers that the ranks have, the same everywhere."""
        return float(self.table(np.array([float(number)])).max())

    def gather(self, value: T) -> list[T]:
        """The values of all ranks in their order on the first one; an empty list elsewhere."""
        return [value]

    def scatter(self, values: list[T] | None) -> T:
        """One of the first rank's values, one for each rank. values: None elsewhere."""
        assert values is not None
        return values[0]

    def average(self, *arrays: np.ndarray) -> None:
        """Replaces float32 arrays by their mean over the ranks."""

    def exchange(self, flat: np.ndarray, layers: list[list[np.ndarray]]) -> Exchange | None:
        """Return what sums the gradient `flat` over the ranks; None for a single rank.

        layers: the stretches of `flat` that a backward pass completes, layer by layer from the top.
        """
        return None

    def require_same(self, what: str, value: Any) -> None:
        """Raises ResourceError where a rank has another value than the first one."""

    def joint(self, error: E) -> E:
        """An error that all ranks raise, at the same place: it is told once, and nobody waits for anybody."""
        error.joint = True  # type: ignore[attr-defined]
        return error

    def abort(self, code: int) -> None:
        """Ends all ranks at once, after an error that this one has alone."""
