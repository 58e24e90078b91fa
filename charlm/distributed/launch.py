"""The ranks that this process was started with: itself alone, or several started by mpiexec."""

import os
from typing import TYPE_CHECKING

from ..errors import ResourceError
from ..system import POSIX

if TYPE_CHECKING:
    from .ranks import Ranks

# Variables in which launchers pass a rank's number and the number of ranks: Open MPI, MPICH and Intel MPI, Slurm's PMIx.
_LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)

_joined: "Ranks | None" = None


def launched() -> tuple[int, int]:
    """Return (rank, ranks) from the environment: (0, 1) for a process that was started alone."""
    for rank, size in _LAUNCHERS:
        numbers = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(number.isdecimal() for number in numbers):
            return int(numbers[0]), int(numbers[1])
    return 0, 1


def joined() -> "Ranks | None":
    """Return the ranks that this process has joined, if any."""
    return _joined


def join() -> "Ranks":
    """Join the ranks that this process was started with, and return them. Raises ResourceError."""
    global _joined
    if _joined is None:
        rank, size = launched()
        if size > 1:
            if not POSIX:
                raise ResourceError(
                    f"started as {size} processes: several that train together need a POSIX system such as Linux or macOS"
                )
            from .mpi import MPIRanks

            _joined = MPIRanks(size)
        else:
            from .ranks import Ranks

            _joined = Ranks()
    return _joined


def is_joint(error: BaseException) -> bool:
    """Return whether all ranks raise this error at the same place: see Ranks.joint."""
    return getattr(error, "joint", False)
