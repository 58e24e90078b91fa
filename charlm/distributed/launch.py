"""Whether this process was started as one of several by mpiexec, and the ranks that it then belongs to."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ranks import Ranks

# How programs that start ranks tell each its number and how many there are: Open MPI, MPICH and Intel MPI, Slurm's PMIx.
_LAUNCHERS = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("PMIX_RANK", "SLURM_STEP_NUM_TASKS"),
)

_joined: "Ranks | None" = None


def launched() -> tuple[int, int]:
    """(rank, ranks) as the environment says it: (0, 1) for a process that was started alone."""
    for rank, size in _LAUNCHERS:
        numbers = os.environ.get(rank, ""), os.environ.get(size, "")
        if all(number.isdecimal() for number in numbers):
            return int(numbers[0]), int(numbers[1])
    return 0, 1


def joined() -> "Ranks | None":
    """The ranks that this process has joined, if it has."""
    return _joined


def join() -> "Ranks":
    """The ranks that this process was started with: itself alone, unless mpiexec started several. Raises ResourceError."""
    global _joined
    if _joined is None:
        rank, size = launched()
        if size > 1:
            from .mpi import MPIRanks

            _joined = MPIRanks(size)
        else:
            from .ranks import Ranks

            _joined = Ranks()
    return _joined


def is_joint(error: BaseException) -> bool:
    """Whether all ranks raise this error, at the same place: see Ranks.joint."""
    return getattr(error, "joint", False)
