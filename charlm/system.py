"""The machine: its processors and its free memory."""

import math
import os
from pathlib import Path

from .errors import ResourceError


def thread_count(asked: int | None = None, sharers: int = 1) -> int:
    """Return the number of threads to use: as asked, else as many as this process has processors.

    sharers: processes that use the same processors.
    """
    if asked:
        return asked
    return max(1, len(processors()) // sharers)


def processors() -> set[int]:
    """The processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def free_memory() -> float:
    """Return the number of bytes that programs can still take; infinity if the system does not say (only Linux does)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def require_memory(needed: int) -> None:
    """Raise ResourceError for a run that cannot fit. Arrays of zeros take memory only when written to, which is too late."""
    free = free_memory()
    if needed > free:
        raise ResourceError(
            f"training would take {needed / 2**30:.1f} GiB of memory, this machine has {free / 2**30:.1f} free: "
            "use a smaller --k1, --k2, --streams, --hidden or --layers"
        )
