"""Read lines as they arrive, and write them as rows or as a page, for `charlm eval --by` and `--html`."""

import codecs
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ..corpus.sources import open_source, read_piece
from ..errors import CorpusError
from .results import CharacterRow, LineRow, to_json

if TYPE_CHECKING:
    from ..inference.line_scoring import Scored

_PIECE = 1 << 18  # bytes to read at once, at most; a pipe may return fewer
_LONGEST_LINE = 1 << 26  # bytes
_SHOWN = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\"}  # how --by char writes these characters


def incoming(names: tuple[str, ...], on_read: Callable[[int], None]) -> Iterator[list[str]]:
    """Yield the lines of files, read in order as one text, with their line ends. Each item is all lines available by then.

    Bytes that are not UTF-8 become lone surrogates (surrogateescape). A leading byte-order mark is stripped. on_read:
    called with the number of bytes in each read. Raise CorpusError for a line that is too long.
    """
    rest, held, count = [b""], 0, 0  # pieces of the line in progress, their bytes, complete lines
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
    """Yield the rows of a scored line. by: "line" for one row, "char" for one per character (per byte if in_bytes)."""
    if by == "line":
        line = scored.line.removesuffix("\n")
        if as_json:
            yield to_json(LineRow(scored.bits, scored.chars, _printable(line))) + "\n"
        else:
            yield f"{scored.bits:.3f}\t{scored.chars}\t{line}\n"
        return
    characters = [f"\\x{b:02x}" for b in scored.line.encode("utf-8", "surrogateescape")] if in_bytes else scored.line
    for bits, character in zip(scored.each.tolist(), characters, strict=True):
        if as_json:
            yield to_json(CharacterRow(bits, _printable(character))) + "\n"
        else:
            yield f"{bits:.3f}\t{_SHOWN.get(character, character)}\n"


def _printable(text: str) -> str:
    """Return a text with U+FFFD in place of bytes that are not UTF-8, which JSON cannot hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


class Page:
    """A page in progress, with a limit on its size: its text may never end."""

    def __init__(self, file: IO[str], path: Path, most: int) -> None:
        """most: the limit in bytes."""
        self._file, self._path, self._left = file, path, most

    def write(self, text: str) -> None:
        """Write a piece. Raise CorpusError if the page would exceed its limit."""
        self._left -= len(text.encode("utf-8", "backslashreplace"))
        if self._left < 0:
            raise CorpusError(f"{self._path}: the page would take more than half of the free disk: does the text ever end?")
        self._file.write(text)


@contextmanager
def page_file(path: Path) -> Iterator[Page]:
    """Yield a page. It takes its name when it is complete, and is removed if an error ends it."""
    from ..corpus.cache import room

    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            yield Page(file, path, room(path.parent))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
