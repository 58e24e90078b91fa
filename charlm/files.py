"""Files that are complete or absent, and a lock that admits one writer per directory."""

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # without flock nothing keeps two writers apart
    fcntl = None  # type: ignore[assignment]

_WAITS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)  # seconds between attempts to replace a file that another program has open
_OPEN_ELSEWHERE = (5, 32)  # Windows: access denied, sharing violation


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
            _replace(temporary, path)
            _sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = "another program has it open" if _is_open_elsewhere(error) else error.strerror or error
        raise CheckpointError(f"{path}: could not be written: {reason}") from error


def _replace(temporary: Path, path: Path) -> None:
    """Rename over `path`. Windows refuses that while another program reads the file: wait for it, for three seconds."""
    for wait in _WAITS:
        try:
            os.replace(temporary, path)  # noqa: PTH105  one system call, by its name
        except OSError as error:
            if not _is_open_elsewhere(error):
                raise
            time.sleep(wait)
        else:
            return
    os.replace(temporary, path)  # noqa: PTH105


def _is_open_elsewhere(error: OSError) -> bool:
    return getattr(error, "winerror", None) in _OPEN_ELSEWHERE


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
        """Return whether the lock keeps others out; it does not on Windows and on a file system without locks."""
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
