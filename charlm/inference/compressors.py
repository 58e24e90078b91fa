"""General-purpose compressors, to compare with a model's code length. Standard library only."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable
from typing import Protocol


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


# Each at its strongest setting, in its own file format.
COMPRESSORS: dict[str, Callable[[], _Compressor]] = {
    "xz": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
    "bzip2": lambda: bz2.BZ2Compressor(9),
    "gzip": lambda: zlib.compressobj(9, wbits=31),
}


def code_lengths(pieces: Iterable[bytes], names: list[str]) -> dict[str, int]:
    """Return the compressed size in bytes of a text, given in pieces, for each compressor named.

    >>> code_lengths([b"rain ", b"rain "] * 1000, ["gzip", "xz"])["xz"] < 200
    True
    """
    compressors = {name: COMPRESSORS[name]() for name in names}
    sizes = dict.fromkeys(names, 0)
    for piece in pieces:
        for name, compressor in compressors.items():
            sizes[name] += len(compressor.compress(piece))
    return {name: size + len(compressors[name].flush()) for name, size in sizes.items()}
