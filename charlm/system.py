"""The machine: its system, its processors and its free memory."""

import math
import os
import sys
from pathlib import Path
from typing import Any

from .errors import ResourceError

POSIX = os.name == "posix"
_FAST_PROCESSORS = b"hw.perflevel0.logicalcpu"  # macOS: how many processors are not efficiency cores


def thread_count(asked: int | None = None, sharers: int = 1) -> int:
    """Return the number of threads to use: as asked, else as many as this process has processors of the fastest kind.

    Threads wait for each other, so those on slower processors would hold up the rest. sharers: processes that use the same
    processors.
    """
    if asked:
        return asked
    return max(1, _fast_processors(len(processors())) // sharers)


def processors() -> set[int]:
    """The processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _fast_processors(count: int) -> int:
    """Return how many of so many processors are of the fastest kind. Only macOS says; elsewhere it is all of them."""
    if sys.platform != "darwin":
        return count
    import ctypes

    number, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    failed = _c_library().sysctlbyname(_FAST_PROCESSORS, ctypes.byref(number), ctypes.byref(size), None, 0)
    return count if failed or number.value < 1 else min(count, number.value)  # Macs of one kind do not know the name


def _c_library() -> Any:
    import ctypes

    return ctypes.CDLL(None)


def free_memory() -> float:
    """Return the number of bytes that programs can still take; infinity if the system does not say.

    Linux and Windows say what is free. Elsewhere it is all that the machine has.
    """
    if not POSIX:
        return _free_on_windows()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return math.inf


def _free_on_windows() -> float:
    import ctypes

    status = (ctypes.c_uint64 * 8)(64)  # MEMORYSTATUSEX: its size and the load, all memory, free memory, ...
    return float(status[2]) if _kernel32().GlobalMemoryStatusEx(ctypes.byref(status)) else math.inf


def _kernel32() -> Any:
    import ctypes

    return ctypes.windll.kernel32  # type: ignore[attr-defined]


def require_memory(needed: int) -> None:
    """Raise ResourceError for a run that cannot fit. Arrays of zeros take memory only when written to, which is too late."""
    free = free_memory()
    if needed > free:
        raise ResourceError(
            f"training would take {needed / 2**30:.1f} GiB of memory, this machine has {free / 2**30:.1f} free: "
            "use a smaller --k1, --k2, --streams, --hidden or --layers"
        )
