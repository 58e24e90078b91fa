"""Where text comes from: files, pipes, standard input. What never ends or is no text is refused before it is read."""

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
_WAIT_SECONDS = 0.5  # for input, before a signal's handler gets its turn
_SMALL_FILE = 1 << 26  # bytes of a file that is held in memory, at most


@contextlib.contextmanager
def open_source(name: str) -> Iterator[BufferedReader]:
    """Opens a file, a pipe or standard input ("-") to be read. Raises CorpusError that says why it cannot be."""
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
    """Reads what there is, at most so many bytes; none at the end.

    A signal that comes just before the system is asked to wait would be handled only after it; so nothing waits for long.
    """
    with contextlib.suppress(OSError, ValueError):  # what is no file of the system's never waits
        while not select.select([source], [], [], _WAIT_SECONDS)[0]:
            pass
    return source.read1(most)


def is_regular(name: str) -> bool:
    """Returns whether a name is that of a regular file, which can be read more than once."""
    return name != STANDARD_INPUT and Path(name).is_file()


def read_small(name: str) -> bytes:
    """Returns all of a source that is to be held in memory. Raises CorpusError for more than 64 MiB."""
    data = b""
    with open_source(name) as source:
        while len(data) <= _SMALL_FILE and (piece := read_piece(source, _SMALL_FILE)):
            data += piece
    if len(data) > _SMALL_FILE:
        raise CorpusError(f"{name}: more than {_SMALL_FILE:,} bytes: too much for what it is read as")
    return data


def _standard_input() -> BufferedReader:
    stream: Any = sys.stdin
    if stream is None:
        raise CorpusError("standard input (-) is closed: name a file, or pipe a text in")
    with contextlib.suppress(OSError, ValueError):  # a caller's own object has no number
        number = stream.fileno()
        if not os.isatty(number):
            _require_an_end("/dev/stdin", os.fstat(number))
    return stream.buffer


def _require_an_end(name: str, status: os.stat_result) -> None:
    """Refuses devices of characters, such as /dev/zero, but for the null device and terminals, where Ctrl-D ends a text."""
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev == Path(os.devnull).stat().st_rdev:
        return
    with contextlib.suppress(OSError):
        handle = os.open(name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            if os.isatty(handle):
                return
        finally:
            os.close(handle)
    raise CorpusError(f"{name}: is a device, which may never end: pipe a part of it in, as `head -c 100M DEVICE |` does")
