"""The user's cache directory: private to the user, and never larger or older than it is worth."""

import os
import shutil
import stat
import time
from pathlib import Path

from .errors import CorpusError

_DAYS = 60.0  # since it was last used, after which an entry is removed
_LARGEST = 20e9  # bytes of all entries together; the ones that were not used for longest go first


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
