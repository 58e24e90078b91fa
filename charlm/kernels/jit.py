"""Compiling kernels: one set of flags, and a cache that cannot be stale.

Numba checks a cached function against its own source file only, so an edit of a file that it calls would go
unnoticed. Here the cache directory carries a digest of every file in kernels/ and of the versions of Numba and
NumPy, and the width of vectors: after any change the old code is simply not found. Only the outermost kernels are
cached; what they call is linked into them.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy
from llvmlite import binding
from numba.extending import register_jitable

from .numba_internals import (
    JIT,
    NO_REFERENCE_COUNTS,
    ONLY_CALLED_BY_KERNELS,
    InnerCompiler,
    KernelCompiler,
    Locator,
    cache_class,
    closed_over,
    compiled_callback,
    keep_on_disk,
)

# No fastmath: contract would fuse what one processor can fuse and another cannot, arcp and afn would approximate, reassoc
# would add in an order that depends on the unrolling of a loop, nnan and ninf would fold isnan() to False. Without them
# results are the same bits on every processor, and a diverging run is noticed.
_OPTIONS: dict[str, Any] = {"fastmath": False, "error_model": "numpy", "nogil": True, **NO_REFERENCE_COUNTS}
# Inner functions are called by kernels only: what would let Python call them costs half the time of compiling.
_INNER_OPTIONS: dict[str, Any] = {**_OPTIONS, **ONLY_CALLED_BY_KERNELS, "pipeline_class": InnerCompiler}
OVERLOAD_OPTIONS: Any = {name: value for name, value in _INNER_OPTIONS.items() if name != "nogil"}

LANE_COUNTS = (4, 8, 16)


def _lane_count() -> int:
    """Return how many float32 numbers a vector has: $CHARLM_SIMD, to try another processor's code, else this one's."""
    forced = os.environ.get("CHARLM_SIMD")
    if forced is not None:
        if forced not in map(str, LANE_COUNTS):
            raise ValueError(f"CHARLM_SIMD={forced}: choose from {', '.join(map(str, LANE_COUNTS))}")
        return int(forced)
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") else 8 if features.get("avx2") else 4


LANES = _lane_count()
_ARM64 = binding.get_process_triple().split("-")[0] in ("aarch64", "arm64")
REGISTERS = 32 * 4 // LANES if _ARM64 else 32 if LANES == 16 else 16  # how many vectors of LANES numbers they hold

# Called with a kernel's name when it is about to be compiled, not loaded, and when it has been.
on_compile: list[Callable[[str], None]] = []
on_compiled: list[Callable[[str], None]] = []


def cache_root() -> Path:
    """Return the user's cache directory for charlm: $CHARLM_CACHE, else charlm/ under $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CHARLM_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def source_digest() -> str:
    """Return a digest of all that decides what kernels compute: their sources, the versions of Numba and NumPy."""
    digest = hashlib.sha256(f"{numba.__version__} {numpy.__version__}".encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


DIGEST = source_digest()  # of what this process has loaded


class _Locator(Locator):
    """Code of this process's sources, versions and width of vectors lies in a directory of its own."""

    digest = DIGEST

    def get_cache_path(self) -> str:
        return str(cache_root() / "kernels" / f"{self.digest}-{LANES}")


class _KernelCache(cache_class(_Locator)):
    """Numba's cache with every fault (truncated file, full disk, no permission) turned into a miss."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            if _writable_by_others(Path(self.cache_path)):
                found = None
            else:
                found = super().load_overload(sig, target_context)
        except Exception:  # noqa: BLE001  whatever a damaged file raises, compiling anew is the answer
            found = None
        if found is None:
            self._tell(on_compile)
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):  # an uncached kernel is slower to start, not wrong
            super().save_overload(sig, data)
        self._tell(on_compiled)

    def _tell(self, listeners: list[Callable[[str], None]]) -> None:
        for listener in listeners:
            listener(self._py_func.__name__)


def _writable_by_others(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid != os.getuid() or bool(status.st_mode & 0o022) if hasattr(os, "getuid") else False


def inner(function: Callable) -> Any:
    """Compile a function that other kernels call; nothing happens when Numba's JIT is disabled."""
    return numba.njit(**_INNER_OPTIONS)(function)


def plain(function: Callable) -> Any:
    """Let kernels call a function that stays an ordinary one for Python."""
    return register_jitable(**OVERLOAD_OPTIONS)(function)


def kernel(function: Callable) -> Any:
    """Compile an outermost kernel, the kind that Python calls, and keep its code on disk."""
    dispatcher = numba.njit(**_OPTIONS, pipeline_class=KernelCompiler)(function)
    return keep_on_disk(dispatcher, _KernelCache(function)) if JIT else dispatcher


_steps: list[Any] = []  # their machine code lives as long as they do


def step_address(function: Callable, *arguments: Any) -> Any:
    """Compile a function for these types of arguments, keep the code on disk, and return its address.

    Without the compiler return the function itself.
    """
    if not JIT:
        return function
    # The name is its symbol's too. Two functions from one factory must not share it: see numba_internals about #10486.
    closed = hashlib.sha256(repr(closed_over(function)).encode()).hexdigest()[:12]
    own = type(function)(function.__code__, function.__globals__, function.__name__, None, function.__closure__)
    own.__qualname__, own.__module__ = f"{function.__qualname__}_{closed}", function.__module__
    compiled = compiled_callback(own, arguments, _OPTIONS, _KernelCache(own))
    _steps.append(compiled)
    return compiled.address
