"""Files that are complete or absent, and a lock that admits one writer per directory."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # without flock nothing keeps two writers apart
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Fill a temporary file beside `path` with write(file), force it to the disk and rename it over `path`.

    After a crash at any step, `path` has either its old or its new contents. SQLite takes the same steps. Raises
    CheckpointError.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with temporary.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105  one system call, by its name
            _sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise CheckpointError(f"{path}: could not be written: {error.strerror or error}") from error


def parse_json(text: str) -> Any:
    """Parse JSON. Raises ValueError for anything else, including NaN and infinity, which Python would accept."""

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def _sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk."""
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of writers that were killed. Call it only while nobody else writes there."""
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)


class Lock:
    """A lock on a directory for one writer. It is the kernel's (flock), so it ends with its process, however that ends."""

    def __init__(self, directory: Path) -> None:
        """Raise CheckpointError, naming the process, if another one holds the lock."""
        self._handle = -1
        if fcntl is None:
            return
        try:
            self._handle = os.open(directory, os.O_RDONLY)
        except OSError as error:
            raise CheckpointError(f"{directory}: {error.strerror or error}") from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(self._handle)
            self.release()
            raise CheckpointError(
                f"{directory} is being written by {holder}: wait for it or stop it, or name another directory with --run"
            ) from None
        except OSError:  # a file system without locks
            self.release()

    @property
    def held(self) -> bool:
        """Return whether the lock keeps others out; it does not on a file system without locks."""
        return self._handle >= 0

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __del__(self) -> None:
        self.release()


def _holder(handle: int) -> str:
    """Return the process that holds the lock on an open file, as far as Linux tells."""
    status = os.fstat(handle)
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return "another process"
    for fields in map(str.split, lines):
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place:
            return f"process {fields[4]} on {socket.gethostname()}"
    return "another process"
