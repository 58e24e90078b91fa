"""Ranks of MPI, through mpi4py (extra `mpi`). It is imported only here, and only if mpiexec started several processes.

A gradient is summed by one Allreduce on the flat buffer. Between machines a large gradient is sent in pieces, without
blocking: the top layer's is on its way while the kernel works on the layers below.
"""

import os
import platform
import select
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from ..errors import CharlmError, ResourceError
from ..system import processors
from .ranks import Exchange, Ranks, T

_PIECES = 4 << 20  # bytes: a gradient of this size or more is sent layer by layer
# The algorithm that Open MPI chooses for a non-blocking Allreduce takes twice as long as recursive halving and doubling
# (Rabenseifner's, number 3). Other MPI libraries ignore this variable.
_ALGORITHM = ("OMPI_MCA_coll_libnbc_iallreduce_algorithm", "3")
_POLL_SECONDS = 2e-4  # between calls that let MPI make progress
_END = b"e"


class MPIRanks(Ranks):
    """All processes of MPI's world."""

    def __init__(self, size: int) -> None:
        try:
            import mpi4py

            os.environ.setdefault(*_ALGORITHM)
            mpi4py.rc.thread_level = "funneled"  # only the main thread communicates
            from mpi4py import MPI
            from mpi4py.util import pkl5
        except (ImportError, RuntimeError) as error:
            reason = "which is not installed" if isinstance(error, ModuleNotFoundError) else f"which fails: {error}"
            raise ResourceError(
                f"started as {size} processes, which takes mpi4py, {reason}: pip install 'charlm[mpi]'"
            ) from None
        self._mpi, self._world = MPI, pkl5.Intracomm(MPI.COMM_WORLD)
        self.rank, self.size = self._world.rank, self._world.size
        if self.size != size:
            library = MPI.Get_library_version().split(",")[0].strip("\0\n ")
            raise ResourceError(
                f"{size} processes were started by an mpiexec that mpi4py's MPI ({library}) knows nothing of: use the "
                "mpiexec that belongs to it"
            )
        hosts, mine = self._world.allgather(platform.node()), processors()
        # Machines can share a name, and containers of one machine can have several: a node shares both memory and name.
        shared = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
        self._node = pkl5.Intracomm(shared.Split(hosts.index(platform.node())))
        self._several_machines = self._node.size < self.size
        self.sharers = sum(bool(mine & other) for other in self._node.allgather(mine))
        self.first_on_node = self._node.rank == 0
        self._names = [f"rank {rank} on {host}" for rank, host in enumerate(hosts)]

    def from_first(self, make: Callable[[], T]) -> T:
        """Broadcast the result, or the error."""
        result, error = _tried(make) if self.first else (None, None)
        result, error = self._world.bcast((result, error))
        if error is not None:
            raise self.joint(error)
        return result

    def on_first(self, do: Callable[[], T]) -> T | None:
        """Broadcast the error only."""
        result, error = _tried(do) if self.first else (None, None)
        error = self._world.bcast(error)
        if error is not None:
            raise self.joint(error)
        return result

    def everywhere(self, do: Callable[[], T], node_first: bool = False) -> T:
        """Gather the errors of all ranks. The first rank's is raised as it is, another's with the name of its rank."""
        result: Any = None
        error: Exception | None = None
        for turn in (True, False) if node_first else (None,):
            if turn is None or turn == self.first_on_node:
                result, error = _tried(do)
            failed = [(name, each) for name, each in zip(self._names, self._world.allgather(error), strict=True) if each]
            if failed:
                name, first = failed[0]
                raise self.joint(first if name == self._names[0] else type(first)(f"{name}: {first}"))
        return result

    def table(self, numbers: np.ndarray) -> np.ndarray:
        """Gather by an Allgather."""
        found = np.empty((self.size, len(numbers)))
        self._world.Allgather(np.ascontiguousarray(numbers, np.float64), found)
        return found

    def gather(self, value: T) -> list[T]:
        """Gather values of any kind. NumPy's arrays are sent without pickling."""
        return self._world.gather(value) or []

    def scatter(self, values: list[T] | None) -> T:
        """Scatter values of any kind."""
        return self._world.scatter(values)

    def average(self, *arrays: np.ndarray) -> None:
        """Average in place by an Allreduce."""
        for array in arrays:
            if array.size:
                self._world.Allreduce(self._mpi.IN_PLACE, array.reshape(-1))
                array *= np.float32(1 / self.size)

    def exchange(self, flat: np.ndarray, layers: list[list[np.ndarray]]) -> Exchange:
        """Return the sums of gradients, see _Summing."""
        return _Summing(self._mpi, self._world, flat, layers, self._several_machines)

    def require_same(self, what: str, value: Any) -> None:
        """Compare the values of all ranks with the first one's."""
        first, *others = self._world.allgather(value)
        for name, other in zip(self._names[1:], others, strict=True):
            if other != first:
                raise self.joint(ResourceError(f"{what}: {first} on {self._names[0]}, {other} on {name}"))

    def abort(self, code: int) -> None:
        """Call MPI_Abort."""
        self._mpi.COMM_WORLD.Abort(code)


class _Summing:
    """Sums of gradients over the ranks: all at once, or layer by layer.

    On one machine a sum is a copy in memory. Polling for several at once would cost the kernel more than it gains, so there
    is a single Allreduce. Between machines the calls do not block.
    """

    def __init__(
        self, mpi: Any, world: Any, flat: np.ndarray, layers: list[list[np.ndarray]], several_machines: bool
    ) -> None:
        self._mpi, self._world, self._several_machines = mpi, world, several_machines
        in_pieces = several_machines and flat.nbytes >= _PIECES
        self._layers = layers if in_pieces else [*[[]] * (len(layers) - 1), [flat.reshape(-1)]]
        self._rings, self.bell = os.pipe()
        self.answer, self._answers = os.pipe()

    def serve(self, running: Sequence[Future]) -> None:
        """Sum a layer each time the kernel rings, until it has ended, which is another ring."""
        running[0].add_done_callback(lambda done: os.write(self.bell, _END))
        complete = 0
        under_way: list[Any] = []
        while self._hear(under_way) != _END:
            for piece in self._layers[complete]:
                if self._several_machines:
                    under_way.append(self._world.Iallreduce(self._mpi.IN_PLACE, piece))
                else:
                    self._world.Allreduce(self._mpi.IN_PLACE, piece)
            complete += 1
            if complete == len(self._layers):
                self._mpi.Request.Waitall(under_way)
                complete, under_way = 0, []
                os.write(self._answers, b"g")

    def _hear(self, under_way: list[Any]) -> bytes:
        """Wait for the kernel, and let MPI make progress on what is under way."""
        while under_way and not select.select([self._rings], [], [], _POLL_SECONDS)[0]:
            self._mpi.Request.Testall(under_way)
        return os.read(self._rings, 1)

    def __del__(self) -> None:
        for pipe in (self._rings, self.bell, self.answer, self._answers):
            os.close(pipe)


def _tried(do: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return the result, or an error that is meant for users. Any other error is a defect and ends the job."""
    try:
        return do(), None
    except (CharlmError, OSError) as error:
        return None, error
