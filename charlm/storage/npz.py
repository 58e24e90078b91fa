"""NumPy archives (.npz), read with suspicion: no memory is allocated and no code is run because a file says so.

Entries are never compressed, so together they cannot be larger than the file: no zip bombs. An array's header must claim
exactly the bytes that follow it. Objects, which would be pickles, are refused. Zip's CRC-32 notices every changed byte.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import CheckpointError

_MOST_ENTRIES = 10_000
_KINDS = "fiuU"  # of dtypes: numbers, and text for the meta data
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Archive(NamedTuple):
    """The arrays of a file by their names, read-only, and the CRC-32 of each as it is stored, its header included."""

    arrays: dict[str, np.ndarray]
    checksums: dict[str, int]


def write_array(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> int:
    """Append an array to an archive opened for writing, as np.savez does. Return its CRC-32."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
        np.lib.format.write_array(entry, array, allow_pickle=False)
    return archive.getinfo(f"{name}.npy").CRC


def read_archive(path: Path) -> Archive:
    """Read an .npz file. Raises CheckpointError that says what is wrong with it."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: not a regular file")
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            _check(entries, size)
            named = {entry.filename.removesuffix(".npy"): entry for entry in entries}
            arrays = {name: _array(file, entry) for name, entry in named.items()}
            return Archive(arrays, {name: entry.CRC for name, entry in named.items()})
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except Exception as error:  # noqa: BLE001  whatever a damaged file makes a parser raise
        told = isinstance(error, ValueError | zipfile.BadZipFile) and not isinstance(error, UnicodeError)
        reason = getattr(error, "strerror", None) or (str(error) if told else "its structure is broken")
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); it may be damaged") from None


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if len(entries) > _MOST_ENTRIES or len(set(names)) < len(names):
        raise ValueError(f"{len(entries):,} entries, {len(set(names)):,} different ones")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{entry.filename} is compressed or encrypted, which charlm never writes")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries claim to be larger than the file")


def _array(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    data = file.read(entry)
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{entry.filename} has array format {version}")
    shape, by_columns, dtype = _HEADERS[version](stream, max_header_size=10_000)
    if dtype.hasobject or dtype.kind not in _KINDS or dtype.fields or by_columns and len(shape) > 1:
        raise ValueError(f"{entry.filename} holds {dtype}, which charlm never writes")
    if math.prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise ValueError(f"{entry.filename} claims to be {dtype} {shape}, which is not what is there")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(shape)
