"""The user's cache directory: private to the user, limited in size and age."""

import contextlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError, CorpusError
from ..files import Lock

_DAYS = 60.0  # without use, after which an entry is removed
_LARGEST = 20e9  # bytes of all entries together; the least recently used are removed first
_INCOMING = "incoming-"  # prefix of directories in which an entry is being made
_ABANDONED_SECONDS = 86400.0  # age at which one counts as abandoned if the file system has no locks
_ATTEMPTS = 100  # at making one
_FREE_SHARE = 0.5  # of the free disk space that a new entry may take


def root() -> Path:
    """Return $CHARLM_CACHE, else charlm/ under $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CHARLM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def private_directory(name: str) -> Path:
    """Return a directory in the cache that only this user can read or write; create it if needed.

    Raise CorpusError if it belongs to another user or is a link: following one could write text to a place of an
    attacker's choice.
    """
    path = root() / name
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.lstat()
    except OSError as error:
        raise CorpusError(
            f"{path}: {error.strerror or error}: set CHARLM_CACHE to a directory of yours, for encoded texts"
        ) from None
    if hasattr(os, "getuid") and (not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid()):
        raise CorpusError(f"{path}: is a link or another user's: set CHARLM_CACHE to a directory of yours")
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


@contextlib.contextmanager
def incoming(directory: Path) -> Iterator[Path]:
    """Yield a new temporary directory in which an entry can be made, and remove it at the end.

    Directories left by killed processes are removed too. A directory in use is locked; the operating system releases the
    lock however the process ends.
    """
    _remove_abandoned(directory)
    path, lock = _new_incoming(directory)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def _new_incoming(directory: Path) -> tuple[Path, Lock]:
    problem: object = "another process keeps removing it"
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=directory))
        try:
            lock = Lock(path)
        except CheckpointError as error:  # another process considers it abandoned and removes it
            problem = error
        else:
            if path.exists():
                return path, lock
            lock.release()
        shutil.rmtree(path, ignore_errors=True)
    raise CorpusError(f"{directory}: cannot make a temporary directory: {problem}")


def _remove_abandoned(directory: Path) -> None:
    for path in directory.glob(f"{_INCOMING}*"):
        try:
            lock = Lock(path)
            if lock.held or time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
            lock.release()
        except (CheckpointError, OSError):
            continue  # in use, or just removed


def room(directory: Path) -> int:
    """Return how many bytes may be written to a directory: a share of its disk's free space."""
    return int(_FREE_SHARE * shutil.disk_usage(directory).free)


def require_room(name: str, size: int, most: int) -> None:
    """Raise CorpusError if a text of this size in bytes, or what has been read of it, exceeds `most`. name: the text's."""
    if size > most:
        raise CorpusError(
            f"{name}: {size / 1e9:.1f} GB and more do not fit into half of the free disk at {root()}: if the text has an "
            "end, set CHARLM_CACHE to a directory on a larger disk"
        )


def touch(entry: Path) -> None:
    """Mark an entry as used now."""
    try:
        os.utime(entry)
    except OSError:
        return  # another user's, or removed


def evict(directory: Path, keep: Path) -> None:
    """Remove entries unused for a long time, then the least recently used until the rest is small enough; never `keep`."""
    entries = []
    for path in directory.iterdir():
        if path.name.startswith(_INCOMING):
            continue  # being made
        try:
            files = [file.stat() for file in path.iterdir()] if path.is_dir() else [path.stat()]
            entries.append((path.stat().st_mtime, sum(status.st_size for status in files), path))
        except OSError:
            continue  # another process has just removed it
    _evict(entries, keep)


def evict_kernels() -> None:
    """Remove compiled kernels of versions unused for a long time, judged by the files' access times."""
    entries = []
    for path in (root() / "kernels").glob("*"):
        try:
            files = [file.stat() for file in path.iterdir()]
            used = max((max(status.st_atime, status.st_mtime) for status in files), default=path.stat().st_mtime)
            entries.append((used, sum(status.st_size for status in files), path))
        except OSError:
            continue
    _evict(entries)


def _evict(entries: list[tuple[float, int, Path]], keep: Path | None = None) -> None:
    """Remove old entries, then the least recently used above the size limit. entries: (last used, bytes, directory)."""
    oldest, total = time.time() - 86400 * _DAYS, sum(size for _, size, _ in entries)
    for used, size, path in sorted(entries):
        if path != keep and (used < oldest or total > _LARGEST):
            shutil.rmtree(path, ignore_errors=True)
            total -= size
