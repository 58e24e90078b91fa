"""Files -> one memory-mapped sequence of ids, split into a training and a validation part.

Text is read twice in pieces (which characters are there; their ids), so memory does not grow with the corpus. The ids
are kept in the user's cache, keyed by the files' names, sizes and times; standard input and pipes are copied there. An
entry of the cache that is damaged is made anew, and what was not used for long is removed: see cache.py.
"""

import codecs
import hashlib
import json
import mmap
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CorpusError, OtherTextError
from . import cache
from .sources import STANDARD_INPUT, is_regular, open_source, read_piece
from .vocabulary import Vocabulary, code_points, id_type

_PIECE = 1 << 20  # bytes read at a time
_CODE_POINTS = 0x110000
_MARK = "\ufeff"  # at a file's start it says how it is encoded, and is none of its text


@dataclass(frozen=True)
class Corpus:
    """One long sequence and its split.

    ids: (N,) unsigned integers, memory-mapped. vocabulary: what they mean. digest: of the text, to recognise it again.
    train, validation: slices of ids that share no character; validation may be empty.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    digest: str
    train: np.ndarray
    validation: np.ndarray

    def release(self) -> None:
        """Gives back the memory of the text's pages that were read; the next reader gets them from the file again.

        Without it the memory of a long run would grow to the size of the corpus.
        """
        forget(self.ids)


def forget(ids: np.ndarray) -> None:
    """Gives back the memory of a mapped file's pages."""
    mapped = getattr(ids, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def read_corpus(
    paths: tuple[str, ...],
    use_bytes: bool = False,
    val_file: str | None = None,
    val_fraction: float = 0.1,
    on_read: Callable[[int], None] = lambda n: None,
    least_distinct: int = 2,
    verify: bool = True,
    expected: str | None = None,
) -> Corpus:
    """Reads text files ("-": standard input) in order as one sequence.

    val_file: validation text of its own; else the last val_fraction of the corpus is held out. on_read is called with
    the number of bytes of every piece read; all are read twice, if they are not in the cache. least_distinct: with 1, a
    text of one character, repeated or not, is no error. verify: whether the checksum of what lies in the cache is
    computed, for which all of it is read. expected: the digest that the text must have; nothing is kept of another one.
    Raises CorpusError.
    """
    sources = (*paths, *([val_file] if val_file is not None else []))
    if sources.count(STANDARD_INPUT) > 1:
        raise CorpusError("standard input (-) can be read only once: name it once")
    directory = cache.private_directory("corpora")
    with cache.incoming(directory) as scratch:
        files = [_regular_file(name, scratch / str(i)) for i, name in enumerate(sources)]
        entry = directory / _key(files, scratch, use_bytes)
        found = _cached(entry, verify)
        if found is None:
            _encode(files, sources, use_bytes, scratch / "entry", on_read, least_distinct, expected)
            _install(scratch / "entry", entry)
            found = _cached(entry)
            if found is None:
                raise CorpusError(f"{entry}: the cache's file is damaged as soon as it is written: is the disk sound?")
    cache.evict(directory, keep=entry)
    cache.evict_kernels()
    _require_digest(found[1]["digest"], expected, sources)
    return _split(*found, paths, val_file, val_fraction, least_distinct)


def require_shareable(paths: tuple[str, ...]) -> None:
    """Refuses what only one of several ranks could read: standard input, a pipe. Raises CorpusError."""
    for name in paths:
        if Path(name).exists() and not is_regular(name) or name == STANDARD_INPUT:
            raise CorpusError(f"{name}: only one rank could read it; name a file that all can")


def _regular_file(name: str, spool: Path) -> Path:
    """The file itself, or a copy of what can be read only once: standard input, a pipe."""
    with open_source(name) as source:
        return Path(name) if is_regular(name) else _copy(name, source, spool)


def _copy(name: str, source: BufferedReader, spool: Path) -> Path:
    """Copies a source as far as it may fill the disk."""
    most, size = cache.room(spool.parent), 0
    with spool.open("wb") as out:
        while piece := read_piece(source, _PIECE):
            size += len(piece)
            _require_room(name, size, most)
            out.write(piece)
    return spool


def _require_room(name: str, size: int, most: int) -> None:
    if size > most:
        shown = "standard input" if name == STANDARD_INPUT else name
        raise CorpusError(
            f"{shown}: {size / 1e9:.1f} GB and more do not fit into half of the free disk at {cache.root()}: does it ever "
            "end? For a longer text set CHARLM_CACHE to a directory on a larger disk"
        )


def _require_digest(found: str, expected: str | None, sources: tuple[str, ...]) -> None:
    if expected is not None and found != expected:
        raise OtherTextError(f"{' '.join(sources)}: not the text that the run was trained on: its contents have changed")


def _key(files: list[Path], scratch: Path, use_bytes: bool) -> str:
    """The cache entry's name: what identifies the files without reading them; copies in `scratch` by their content."""
    digest = hashlib.sha256(f"charlm corpus 2 {use_bytes}".encode())
    for path in files:
        if path.parent == scratch:
            with path.open("rb") as file:
                identity = _hash(file)
        else:
            status = path.stat()
            identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
        digest.update(f"\0{identity}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path, name: str, use_bytes: bool, on_read: Callable[[int], None]) -> Iterator[tuple[bytes, np.ndarray]]:
    """The file piece by piece, as raw bytes and as codes: code points, or bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    offset = 0
    with path.open("rb") as file:
        while True:
            raw = file.read(_PIECE)
            on_read(len(raw))
            if use_bytes:
                codes = np.frombuffer(raw, np.uint8)
            else:
                held = len(decoder.getstate()[0])  # bytes of a character that the last piece cut in two
                try:
                    text = decoder.decode(raw, final=not raw)
                    codes = code_points(text.removeprefix(_MARK) if offset == 0 else text)
                except UnicodeDecodeError as error:
                    raise CorpusError(
                        f"{name}: not UTF-8 at byte {offset - held + error.start}; convert it (iconv), or train on its "
                        "bytes with --bytes"
                    ) from None
            yield raw, codes
            if not raw:
                return
            offset += len(raw)


def _encode(
    files: list[Path],
    sources: tuple[str, ...],
    use_bytes: bool,
    target: Path,
    on_read: Callable[[int], None],
    least_distinct: int,
    expected: str | None,
) -> None:
    """Writes ids.npy, one sequence over all files, and meta.json into the new directory `target`."""
    least = sum(path.stat().st_size for path in files) // (1 if use_bytes else 4)  # a character has four bytes at most
    _require_room(" ".join(sources), least, cache.room(target.parent))
    seen = np.zeros(_CODE_POINTS, bool)
    lengths, digest = [], hashlib.sha256()
    before = [_state(path) for path in files]
    for path, name in zip(files, sources, strict=True):
        length = 0
        for raw, codes in _pieces(path, name, use_bytes, on_read):
            seen[codes] = True
            digest.update(raw)
            length += len(codes)
        lengths.append(length)
        digest.update(b"\0%d" % length)
    _require_digest(digest.hexdigest(), expected, sources)
    known = np.flatnonzero(seen)
    if not use_bytes and len(known) == 1 < least_distinct and sum(lengths) > 1:
        raise CorpusError(f"{' '.join(sources)}: all characters are {chr(known[0])!r}; there is nothing to learn")
    characters = None if use_bytes else [chr(c) for c in known]
    size = 256 if use_bytes else len(known)
    table = np.arange(_CODE_POINTS) if use_bytes else np.cumsum(seen) - 1
    table = table.astype(id_type(size))
    target.mkdir(mode=0o700)
    total = sum(lengths)
    _require_room(" ".join(sources), total * table.itemsize, cache.room(target.parent))
    at = checksum = 0
    with (target / "ids.npy").open("wb") as out:  # not memory-mapped: pages written there would count as ours
        header = {"descr": np.lib.format.dtype_to_descr(table.dtype), "fortran_order": False, "shape": (total,)}
        np.lib.format.write_array_header_1_0(out, header)
        for path, name in zip(files, sources, strict=True):
            for _, codes in _pieces(path, name, use_bytes, on_read):
                if at + len(codes) > total:
                    raise CorpusError(f"{name}: grew while it was read; run again when it is complete")
                ids = table[codes].tobytes()
                out.write(ids)
                checksum = zlib.crc32(ids, checksum)
                at += len(codes)
    for path, name, state in zip(files, sources, before, strict=True):
        if _state(path) != state:
            raise CorpusError(f"{name}: changed while it was read; run again when it is complete")
    if at != total:
        raise CorpusError(f"{sources[-1]}: shrank while it was read; run again when it is complete")
    meta = json.dumps({"characters": characters, "lengths": lengths, "digest": digest.hexdigest(), "crc32": checksum})
    # The first line is the checksum of the second.
    (target / "meta.json").write_text(f"{zlib.crc32(meta.encode())}\n{meta}", encoding="utf-8")


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file is written to."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _install(built: Path, entry: Path) -> None:
    """Moves a complete entry to its place, in place of a damaged one; another process's that came first is as good."""
    try:
        built.rename(entry)
    except OSError:
        if _cached(entry) is None:
            shutil.rmtree(entry, ignore_errors=True)
            built.rename(entry)


def _cached(entry: Path, verify: bool = True) -> tuple[np.ndarray, dict[str, Any]] | None:
    """The ids, memory-mapped, and the meta data of a cache's entry; None where there is none or it is damaged."""
    try:
        checksum, _, text = (entry / "meta.json").read_text(encoding="utf-8").partition("\n")
        if int(checksum) != zlib.crc32(text.encode()):
            return None
        meta = json.loads(text)
        ids = np.load(entry / "ids.npy", mmap_mode="r")
        characters = meta["characters"]
        size = 256 if characters is None else len(Vocabulary(characters))
        sound = ids.dtype == id_type(size) and ids.ndim == 1 and len(ids) == sum(meta["lengths"])
        if not sound or not isinstance(meta["digest"], str):
            return None
        if verify and _checksum(entry / "ids.npy", ids) != meta["crc32"]:
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError, CorpusError):
        return None
    cache.touch(entry)
    return ids, meta


def _checksum(path: Path, ids: np.ndarray) -> int:
    """CRC-32 of the numbers at the file's end: read, not mapped, since mapped pages would all count as ours."""
    found = 0
    with path.open("rb") as file:
        file.seek(-ids.nbytes, os.SEEK_END)
        while piece := file.read(_PIECE):
            found = zlib.crc32(piece, found)
    return found


def _split(
    ids: np.ndarray,
    meta: dict[str, Any],
    paths: tuple[str, ...],
    val_file: str | None,
    val_fraction: float,
    least_distinct: int,
) -> Corpus:
    what = " ".join(paths)
    corpus_length = sum(meta["lengths"][: len(paths)])
    if corpus_length == 0:
        raise CorpusError(f"{what}: is empty: it has no characters")
    if corpus_length == 1 < least_distinct:
        raise CorpusError(f"{what}: the corpus is one character long; two are the least, one to read and one to predict")
    held_out = 0 if val_file is not None else corpus_length - int(corpus_length * (1.0 - val_fraction))
    if held_out == 1:
        held_out = 0  # one character predicts nothing
    train = ids[: corpus_length - held_out]
    validation = ids[corpus_length - held_out :]
    if val_file is not None and len(validation) < 2:
        raise CorpusError(f"{val_file}: validation text needs at least two characters")
    if len(train) < min(2, least_distinct):
        raise CorpusError(f"{what}: holding out {val_fraction:g} leaves fewer than two characters; use --val-fraction 0")
    vocabulary = Vocabulary(meta["characters"])
    if len(vocabulary) < least_distinct:
        raise CorpusError(f"{what}: all characters are {meta['characters'][0]!r}; there is nothing to learn")
    return Corpus(ids, vocabulary, meta["digest"], train, validation)
