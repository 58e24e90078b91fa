"""`charlm eval --by` and `--html`: a row for each line or character of a text, as it comes, and a page of all."""

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ..corpus.sources import open_source, read_piece
from ..errors import CorpusError

if TYPE_CHECKING:
    from ..inference.line_scoring import Scored

_PIECE = 1 << 18  # bytes read at a time, at most; less where less is there
_LONGEST_LINE = 1 << 26  # bytes
_SHOWN = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}  # characters in rows of their own


def incoming(names: tuple[str, ...], on_read: Callable[[int], None]) -> Iterator[list[str]]:
    """The lines of the files, in order as one text, with their ends: as many at a time as there are to be read.

    Bytes that are no UTF-8 become lone surrogates, as Python has it for file names; a file's byte order mark is none of
    its text. on_read: is told the bytes read. Raises CorpusError for a line without end.
    """
    rest, held, count = [b""], 0, 0  # what there is of a line that has not ended
    for name in names:
        with open_source(name) as source:
            at_start = True
            while piece := read_piece(source, _PIECE):
                on_read(len(piece))
                if at_start:
                    piece = piece.removeprefix(codecs.BOM_UTF8)
                at_start = False
                first, *others = piece.split(b"\n")
                rest.append(first)
                held += len(first)
                if others:
                    count += len(others)
                    whole = [b"".join(rest), *others[:-1]]
                    rest, held = [others[-1]], len(others[-1])
                    yield [line.decode("utf-8", "surrogateescape") + "\n" for line in whole]
                if held > _LONGEST_LINE:
                    raise CorpusError(f"line {count + 1:,} has more than {_LONGEST_LINE:,} bytes: break it up (fold)")
    if held:
        yield [b"".join(rest).decode("utf-8", "surrogateescape")]


def rows(scored: "Scored", by: str, as_json: bool, in_bytes: bool) -> Iterator[str]:
    """The rows of a line: one, or one for each of its characters."""
    if by == "line":
        yield _row(scored.bits, "line", scored.line.removesuffix("\n"), {"chars": scored.chars}, as_json)
        return
    characters = [f"\\x{b:02x}" for b in scored.line.encode("utf-8", "surrogateescape")] if in_bytes else scored.line
    for bits, character in zip(scored.each.tolist(), characters, strict=True):
        yield _row(bits, "char", character, {}, as_json)


def _row(bits: float, what: str, text: str, more: dict[str, Any], as_json: bool) -> str:
    if as_json:
        shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return json.dumps({"bits": bits, **more, what: shown}, ensure_ascii=False) + "\n"
    columns = [f"{bits:.3f}", *map(str, more.values()), _SHOWN.get(text, text) if what == "char" else text]
    return "\t".join(columns) + "\n"


class Page:
    """A page that is being written, as far as it may fill the disk: its text may never end."""

    def __init__(self, file: IO[str], path: Path, most: int) -> None:
        self._file, self._path, self._left = file, path, most

    def write(self, text: str) -> None:
        """Writes a piece. Raises CorpusError where it would be too much."""
        self._left -= len(text.encode("utf-8", "backslashreplace"))
        if self._left < 0:
            raise CorpusError(f"{self._path}: the page would take more than half of the free disk: does the text ever end?")
        self._file.write(text)


@contextmanager
def page_file(path: Path) -> Iterator[Page]:
    """A text file that is there under its name when all of it was written."""
    from ..corpus.cache import room

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
            yield Page(file, path, room(path.parent))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
