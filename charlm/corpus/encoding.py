"""Encode text files as one sequence of ids.

The files are read twice, in pieces: once to find the characters and lengths, once to write the ids. Memory use does not
depend on the size of the text.
"""

import codecs
import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ..errors import CorpusError, OtherTextError
from . import cache
from .cached_text import IDS, write_meta
from .sources import display_name
from .vocabulary import Vocabulary, code_points, id_type

_PIECE = 1 << 20  # bytes read at a time
_CODE_POINTS = 0x110000
_BYTE_ORDER_MARK = "\ufeff"
_LONGEST_CHARACTER = 4  # bytes in UTF-8


@dataclass(frozen=True)
class SourceFiles:
    """Regular files that are encoded as one text, in order.

    paths: the files to read; pipes and standard input have been copied to temporary files. names: the files' names as the
    user gave them, for messages. use_bytes: read bytes instead of UTF-8 characters. on_read: called with the number of
    bytes in each piece read.
    """

    paths: list[Path]
    names: tuple[str, ...]
    use_bytes: bool
    on_read: Callable[[int], None]

    @property
    def label(self) -> str:
        """All names, for a message."""
        return " ".join(self.names)

    @property
    def size(self) -> int:
        """The total size in bytes."""
        return sum(path.stat().st_size for path in self.paths)

    def require_digest(self, found: str, expected: str | None) -> None:
        """Raise OtherTextError if a digest is expected and the text has another one."""
        if expected is not None and found != expected:
            raise OtherTextError(f"{self.label}: not the text that the run was trained on: its contents have changed")

    def require_room(self, size: int, directory: Path) -> None:
        """Raise CorpusError if `size` bytes would take too much of the free space on the directory's disk."""
        cache.require_room(display_name(self.label), size, cache.room(directory))

    def states(self) -> list[tuple[int, int]]:
        """Return the size and modification time of each file."""
        return [(status.st_size, status.st_mtime_ns) for status in (path.stat() for path in self.paths)]

    def named(self) -> Iterator[tuple[Path, str]]:
        """Yield each file's path and name."""
        return zip(self.paths, self.names, strict=True)

    def pieces(self, path: Path, name: str) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield one file in pieces, each as raw bytes and as code points (or byte values) (n,).

        A byte-order mark at the start is stripped. Raise CorpusError if the file is not UTF-8.
        """
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        offset = 0
        with path.open("rb") as file:
            while True:
                raw = file.read(_PIECE)
                self.on_read(len(raw))
                if self.use_bytes:
                    codes = np.frombuffer(raw, np.uint8)
                else:
                    pending = len(decoder.getstate()[0])  # bytes of a character that the previous piece cut in two
                    try:
                        text = decoder.decode(raw, final=not raw)
                        codes = code_points(text.removeprefix(_BYTE_ORDER_MARK) if offset == 0 else text)
                    except UnicodeDecodeError as error:
                        raise CorpusError(
                            f"{name}: not UTF-8 at byte {offset - pending + error.start}; convert it (iconv), or train on "
                            "its bytes with --bytes"
                        ) from None
                yield raw, codes
                if not raw:
                    return
                offset += len(raw)


class _Survey(NamedTuple):
    """Findings of the first pass: which code points occur (0x110000,) bool, characters per file, digest of the text."""

    seen: np.ndarray
    lengths: list[int]
    digest: str


def encode(files: SourceFiles, target: Path, least_distinct: int, expected: str | None) -> None:
    """Encode the files into a new cache entry, the directory `target`.

    least_distinct: how many distinct characters the text must have. expected: the digest that the text must have. Raise
    CorpusError if the text is unsuitable, too large for the disk, or changed by another process meanwhile.
    """
    files.require_room(files.size // (1 if files.use_bytes else _LONGEST_CHARACTER), target.parent)
    before = files.states()
    survey = _survey(files)
    files.require_digest(survey.digest, expected)
    known = np.flatnonzero(survey.seen)
    if not files.use_bytes and len(known) == 1 < least_distinct and sum(survey.lengths) > 1:
        raise CorpusError(f"{files.label}: all characters are {chr(known[0])!r}; there is nothing to learn")
    vocabulary = Vocabulary(None if files.use_bytes else [chr(c) for c in known])
    table = np.arange(_CODE_POINTS) if files.use_bytes else np.cumsum(survey.seen) - 1
    table = table.astype(id_type(len(vocabulary)))
    target.mkdir(mode=0o700)
    total = sum(survey.lengths)
    files.require_room(total * table.itemsize, target.parent)
    written, checksum = _write_ids(files, table, total, target / IDS)
    for name, state, now in zip(files.names, before, files.states(), strict=True):
        if now != state:
            raise CorpusError(f"{name}: changed while it was read; run again when it is complete")
    if written != total:
        raise CorpusError(f"{files.names[-1]}: shrank while it was read; run again when it is complete")
    write_meta(target, vocabulary, survey.lengths, survey.digest, checksum)


def _survey(files: SourceFiles) -> _Survey:
    """Read all files once. Return the code points that occur, the lengths and the digest."""
    seen = np.zeros(_CODE_POINTS, bool)
    lengths, digest = [], hashlib.sha256()
    for path, name in files.named():
        length = 0
        for raw, codes in files.pieces(path, name):
            seen[codes] = True
            digest.update(raw)
            length += len(codes)
        lengths.append(length)
        digest.update(b"\0%d" % length)
    return _Survey(seen, lengths, digest.hexdigest())


def _write_ids(files: SourceFiles, table: np.ndarray, total: int, target: Path) -> tuple[int, int]:
    """Write the ids of all files to a .npy file. Return their number and CRC-32.

    table: the id of each code point. total: the expected number of ids; more are a CorpusError.
    """
    written = checksum = 0
    with target.open("wb") as out:  # not memory-mapped: dirty pages of a map would count as our memory
        header = {"descr": np.lib.format.dtype_to_descr(table.dtype), "fortran_order": False, "shape": (total,)}
        np.lib.format.write_array_header_1_0(out, header)
        for path, name in files.named():
            for _, codes in files.pieces(path, name):
                if written + len(codes) > total:
                    raise CorpusError(f"{name}: grew while it was read; run again when it is complete")
                ids = table[codes].tobytes()
                out.write(ids)
                checksum = zlib.crc32(ids, checksum)
                written += len(codes)
    return written, checksum


def entry_name(files: SourceFiles, scratch: Path) -> str:
    """Return the name of the cache entry for these files.

    It depends on each file's path, size, modification time and inode, which identify a file without reading it. Copies in
    the directory `scratch` are identified by their content.
    """
    digest = hashlib.sha256(f"charlm corpus 2 {files.use_bytes}".encode())
    for path in files.paths:
        if path.parent == scratch:
            with path.open("rb") as file:
                identity = _content_digest(file)
        else:
            status = path.stat()
            identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        digest.update(f"\0{identity}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _content_digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
