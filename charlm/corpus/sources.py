"""Sources of text: files, pipes, standard input. Directories and endless devices are refused before reading."""

import contextlib
import os
import select
import stat
import sys
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from ..errors import CorpusError

STANDARD_INPUT = "-"
_WAIT_SECONDS = 0.5  # between checks for signals while waiting for input
_SMALL_FILE = 1 << 26  # bytes; the largest file that is held in memory


@contextlib.contextmanager
def open_source(name: str) -> Iterator[BufferedReader]:
    """Open a file, a pipe or standard input ("-") for reading. Raise CorpusError with the reason if that fails."""
    if name == STANDARD_INPUT:
        yield _standard_input()
        return
    path = Path(name)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CorpusError(f"{name}: is a directory; name the text files in it")
        _require_an_end(name, status)
        file = path.open("rb")
    except PermissionError:
        raise CorpusError(f"{name}: no permission to read it") from None
    except FileNotFoundError:
        raise CorpusError(f"{name}: no such file") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    with file:
        yield file


def read_piece(source: BufferedReader, most: int) -> bytes:
    """Read the bytes that are available, at most `most`; return no bytes at the end.

    Python handles a signal that arrives just before a system call only after the call, so each wait is short.
    """
    with contextlib.suppress(OSError, ValueError):  # an object without a file descriptor never waits
        while not select.select([source], [], [], _WAIT_SECONDS)[0]:
            pass
    return source.read1(most)


def is_regular(name: str) -> bool:
    """Return whether a name is that of a regular file, which can be read more than once."""
    return name != STANDARD_INPUT and Path(name).is_file()


def display_name(name: str) -> str:
    """Return a source's name for a message."""
    return "standard input" if name == STANDARD_INPUT else name


def require_shareable(names: tuple[str, ...]) -> None:
    """Raise CorpusError for sources that only one of several ranks could read: standard input and pipes."""
    for name in names:
        if Path(name).exists() and not is_regular(name) or name == STANDARD_INPUT:
            raise CorpusError(f"{name}: only one rank could read it; name a file that all can")


def read_small(name: str) -> bytes:
    """Return the whole content of a source. Raise CorpusError if it is larger than 64 MiB."""
    data = b""
    with open_source(name) as source:
        while len(data) <= _SMALL_FILE and (piece := read_piece(source, _SMALL_FILE)):
            data += piece
    if len(data) > _SMALL_FILE:
        raise CorpusError(f"{name}: more than {_SMALL_FILE:,} bytes, which is too large for this use")
    return data


def _standard_input() -> BufferedReader:
    stream: Any = sys.stdin
    if stream is None:
        raise CorpusError("standard input (-) is closed: name a file, or pipe a text in")
    with contextlib.suppress(OSError, ValueError):  # a replaced sys.stdin may have no file descriptor
        number = stream.fileno()
        if not os.isatty(number):
            _require_an_end("/dev/stdin", os.fstat(number))
    return stream.buffer


def _require_an_end(name: str, status: os.stat_result) -> None:
    """Raise CorpusError for a character device such as /dev/zero. The null device and terminals are allowed: they end."""
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev == Path(os.devnull).stat().st_rdev:
        return
    with contextlib.suppress(OSError):
        handle = os.open(name, os.O_RDONLY | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_NONBLOCK", 0))  # not on Windows
        try:
            if os.isatty(handle):
                return
        finally:
            os.close(handle)
    raise CorpusError(f"{name}: is a device, which may never end: pipe a part of it in, as `head -c 100M DEVICE |` does")
