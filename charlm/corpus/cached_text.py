"""Encoded texts in the cache: a directory with ids.npy and meta.json for each."""

import json
import mmap
import os
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CorpusError
from . import cache
from .vocabulary import Vocabulary, id_type

IDS = "ids.npy"
_META = "meta.json"
_PIECE = 1 << 20  # bytes read at a time


@dataclass(frozen=True)
class CachedText:
    """One text from the cache.

    ids: (N,) unsigned integers, memory-mapped. vocabulary: the characters that the ids stand for. lengths: the number of
    characters from each source file. digest: SHA-256 of the source files.
    """

    ids: np.ndarray
    vocabulary: Vocabulary
    lengths: list[int]
    digest: str


def load(entry: Path, verify: bool = True) -> CachedText | None:
    """Return the text of a cache entry, or None if it is missing or damaged. verify: compare the checksum of all ids."""
    try:
        checksum, _, text = (entry / _META).read_text(encoding="utf-8").partition("\n")
        if int(checksum) != zlib.crc32(text.encode()):
            return None
        meta = json.loads(text)
        ids = np.load(entry / IDS, mmap_mode="r")
        vocabulary = Vocabulary(meta["characters"])
        sound = ids.dtype == id_type(len(vocabulary)) and ids.ndim == 1 and len(ids) == sum(meta["lengths"])
        if not sound or not isinstance(meta["digest"], str):
            return None
        if verify and _checksum(entry / IDS, ids) != meta["crc32"]:
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RecursionError, CorpusError):
        return None
    cache.touch(entry)
    return CachedText(ids, vocabulary, meta["lengths"], meta["digest"])


def write_meta(entry: Path, vocabulary: Vocabulary, lengths: list[int], digest: str, checksum: int) -> None:
    """Write the description of an entry's ids; its first line is the CRC-32 of its second. checksum: CRC-32 of the ids."""
    meta = json.dumps({"characters": vocabulary.characters, "lengths": lengths, "digest": digest, "crc32": checksum})
    (entry / _META).write_text(f"{zlib.crc32(meta.encode())}\n{meta}", encoding="utf-8")


def install(built: Path, entry: Path) -> None:
    """Move a complete entry to its final place and replace a damaged one there.

    An intact entry stays: another process has encoded the same text.
    """
    try:
        built.rename(entry)
    except OSError:
        if load(entry) is None:
            shutil.rmtree(entry, ignore_errors=True)
            built.rename(entry)


def release_pages(ids: np.ndarray) -> None:
    """Release the memory of a mapped file's pages; the next access reads them from the file again."""
    mapped = getattr(ids, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


def _checksum(path: Path, ids: np.ndarray) -> int:
    """Return the CRC-32 of the ids at the end of a file. Read the file: pages of a map would count as our memory."""
    found = 0
    with path.open("rb") as file:
        file.seek(-ids.nbytes, os.SEEK_END)
        while piece := file.read(_PIECE):
            found = zlib.crc32(piece, found)
    return found
