"""The store of machine code on disk: kernels are compiled into it once per machine, by this process or by a helper.

The directory carries a digest of every file in kernels/ and of the versions of Numba and NumPy, and the width of vectors:
after any change the old code is simply not found. A damaged file, a full disk, a directory that others may write to: in each
case a kernel is compiled anew, and charlm starts more slowly, no more.

Numba's compiler uses one processor. Where there are more, a helper process compiles half of the kernels that are missing:
both go through the list, from its two ends, and a lock on each file says who is at it.
"""

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llvmlite import binding

_HELPER = "CHARLM_COMPILES"  # environment variable of a helper, which starts none itself


class Code(NamedTuple):
    """An object file with one function for others to call."""

    returns: str  # "none", "int64", "float64" or "float32"
    machine_code: bytes


def cache_root() -> Path:
    """Return the user's cache directory for charlm: $CHARLM_CACHE, else charlm/ under $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CHARLM_CACHE")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def source_digest() -> str:
    """Return a digest of all that decides what kernels compute: their sources, the versions of Numba and NumPy."""
    version = importlib.metadata.version
    digest = hashlib.sha256(f"{version('numba')} {version('numpy')}".encode())
    folder = Path(__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:24]


DIGEST = source_digest()  # of what this process has loaded


@functools.cache
def processor() -> str:
    """Return what code is compiled for; Numba's own variables may name another processor than this one."""
    name, features = os.environ.get("NUMBA_CPU_NAME"), os.environ.get("NUMBA_CPU_FEATURES")
    found = binding.get_host_cpu_features().flatten() if features is None else features
    return f"{name or binding.get_host_cpu_name()} {found}"


def symbol_of(function: Callable, kinds: tuple[Any, ...]) -> str:
    """Return a name for a function's code that no other has: by where and how it is defined, for what it is compiled."""
    try:
        source = Path(function.__code__.co_filename).read_bytes()
    except OSError:
        source = function.__code__.co_code
    named = function.__module__, function.__qualname__, closed_over(function), [_described(kind) for kind in kinds]
    digest = hashlib.sha256(json.dumps([*named, processor()]).encode() + source)
    return f"{function.__name__}_{digest.hexdigest()[:24]}"


def closed_over(function: Any) -> tuple[str, ...]:
    """Describe the values that a nested function closes over: functions by their names, the rest by what they are."""
    return tuple(_described(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ())


def _described(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    return repr(value) if name is None else f"{getattr(value, '__module__', '')}.{name}{closed_over(value)}"


class Store:
    """Code for vectors of one width."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._kept: dict[str, Code] = {}  # what cannot be read from disk

    @property
    def directory(self) -> Path:
        """The place of the code."""
        return cache_root() / "kernels" / f"{DIGEST}-{self._lanes}"

    def _path(self, symbol: str) -> Path:
        return self.directory / f"{symbol}.o"

    def is_shared(self) -> bool:
        """Return whether other processes can use what this one makes, and the other way round."""
        try:
            self._make_directory()
        except OSError:
            return False
        return os.access(self.directory, os.W_OK) and not _writable_by_others(self.directory)

    def holds(self, symbol: str) -> bool:
        """Return whether there is code for a symbol, which may yet be damaged."""
        return symbol in self._kept or self._path(symbol).exists()

    def read(self, symbol: str) -> Code | None:
        """Return the code of a symbol; None if there is none, or it is damaged, or somebody else might have put it there."""
        if symbol in self._kept:
            return self._kept[symbol]
        path = self._path(symbol)
        if _writable_by_others(path.parent):
            return None
        try:
            digest, _, rest = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            return None
        returns, _, code = rest.partition(b"\n")
        return Code(returns.decode(), code)

    def write(self, symbol: str, code: Code) -> None:
        """Keep code for other processes, or, if it cannot be read again, for this one."""
        rest = code.returns.encode() + b"\n" + code.machine_code
        path = self._path(symbol)
        temporary = path.with_name(f"{symbol}.{os.getpid()}")
        try:
            self._make_directory()
            temporary.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if self.read(symbol) != code:
            self._kept[symbol] = code

    def _make_directory(self) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def lock(self, symbol: str, wait: bool) -> Iterator[bool]:
        """Hold a symbol's lock while the context lasts, so that no other process compiles it meanwhile.

        wait: until a process that holds it lets go; otherwise yield False at once. Yields True too where nothing can be
        locked.
        """
        try:
            import fcntl

            self._make_directory()
            file = (self.directory / f"{symbol}.lock").open("w")
        except (ImportError, OSError):
            yield True
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            except OSError:  # a file system without locks
                pass
            yield True

    def all_made(self, symbols: list[str], make: Callable[[str], None]) -> None:
        """Make the code of symbols that are missing, in order, where no other process does. Wait for what others make."""
        left = []
        for symbol in symbols:
            with self.lock(symbol, wait=False) as mine:
                if not mine:
                    left.append(symbol)
                elif self.read(symbol) is None:
                    make(symbol)
        for symbol in left:
            with self.lock(symbol, wait=True):
                if self.read(symbol) is None:
                    make(symbol)


def start_helper(later: list[str], now: list[str]) -> None:
    """Let another process compile kernels, named as module:kernel, if there is a processor for it."""
    if _processors() < 2 or _HELPER in os.environ or not sys.executable or not hasattr(os, "posix_spawn"):
        return
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in range(3)]
    command = [sys.executable, "-m", f"{__package__}.helper", *later, "--now", *now]
    with contextlib.suppress(OSError):
        os.posix_spawn(sys.executable, command, {**os.environ, _HELPER: "1"}, file_actions=silent)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _writable_by_others(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_uid != os.getuid() or bool(status.st_mode & 0o022) if hasattr(os, "getuid") else False
