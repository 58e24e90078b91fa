"""The user's cache directory: private to the user, and never larger or older than it is worth."""

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

_DAYS = 60.0  # since it was last used, after which an entry is removed
_LARGEST = 20e9  # bytes of all entries together; the ones that were not used for longest go first
_INCOMING = "incoming-"  # how names of directories begin in which an entry is being made
_ABANDONED_SECONDS = 86400.0  # after which one is taken for abandoned where the file system knows no locks
_ATTEMPTS = 100  # to make one
_FREE_SHARE = 0.5  # of the free disk that what comes in may take


def root() -> Path:
    """$CHARLM_CACHE, else charlm/ under $XDG_CACHE_HOME or ~/.cache."""
    own = os.environ.get("CHARLM_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def private_directory(name: str) -> Path:
    """A directory in the cache that only this user can read or write; raises CorpusError where it is another's.

    A link in its place is not followed: whoever could make one could have text written where they like.
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
    """Yields a directory in which an entry can be made, and removes it and those that killed processes left.

    A lock says that it is in use: the kernel gives that back whatever ends the process.
    """
    _remove_abandoned(directory)
    path, lock = _new_incoming(directory)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        lock.release()


def _new_incoming(directory: Path) -> tuple[Path, Lock]:
    problem: object = "another process removes it at once"
    for _ in range(_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=directory))
        try:
            lock = Lock(path)
        except CheckpointError as error:  # another process has just taken it for abandoned
            problem = error
        else:
            if path.exists():
                return path, lock
            lock.release()
        shutil.rmtree(path, ignore_errors=True)
    raise CorpusError(f"{directory}: no place for a text: {problem}")


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
    """Returns how many bytes may be written to a directory: a share of what its disk has free."""
    return int(_FREE_SHARE * shutil.disk_usage(directory).free)


def touch(entry: Path) -> None:
    """Notes that an entry was used."""
    try:
        os.utime(entry)
    except OSError:
        return  # another user's, or gone: then it ages


def evict(directory: Path, keep: Path) -> None:
    """Removes entries that were not used for long, and then more until all are small enough; never `keep`."""
    entries = []
    for path in directory.iterdir():
        if path.name.startswith(_INCOMING):
            continue  # still being made
        try:
            files = [file.stat() for file in path.iterdir()] if path.is_dir() else [path.stat()]
            entries.append((path.stat().st_mtime, sum(status.st_size for status in files), path))
        except OSError:
            continue  # another process has just removed it
    _evict(entries, keep)


def evict_kernels() -> None:
    """Removes compiled code of versions that were not used for long: as far as the times of reading tell."""
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
    """entries: (last used, bytes, directory)."""
    oldest, total = time.time() - 86400 * _DAYS, sum(size for _, size, _ in entries)
    for used, size, path in sorted(entries):
        if path != keep and (used < oldest or total > _LARGEST):
            shutil.rmtree(path, ignore_errors=True)
            total -= size
