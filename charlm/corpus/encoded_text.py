"""A text in a model's ids, encoded slice by slice so that memory does not grow with it."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from .cached_text import release_pages

_PIECE = 1 << 18  # characters encoded at a time
_STRETCH = 1 << 12  # characters per entry of the index of known characters
_MAPPED = 1 << 22  # characters of a mapped file that are read before its memory is released


class EncodedText:
    """A text in a model's ids: an opening character, then the characters of the text that the model knows.

    Indexing and slicing return ids, int32. The length includes the opening. Unknown characters are left out.

    chars: all characters of the text. unknown: how many of them the model does not know.
    """

    def __init__(self, opening: int, ids: np.ndarray, sizes: np.ndarray, table: np.ndarray | None = None) -> None:
        """ids: (N,) integers, possibly memory-mapped. sizes: the number of UTF-8 bytes that each id stands for.

        table: the model's id for each id, -1 if unknown; without it ids are already the model's.
        """
        self._opening, self._ids, self._table, self._sizes = opening, ids, table, sizes
        self.chars, self.unknown, self._read_since_release = len(ids), 0, 0
        if table is not None:
            # The number of known characters before each stretch: a slice is found without reading all text before it.
            self._known_before = np.cumsum(
                [0, *(n for piece in self._pieces() for n in _stretch_sums(table[piece] >= 0, _STRETCH))]
            )
            self.unknown = self.chars - int(self._known_before[-1])

    def _pieces(self) -> Iterator[np.ndarray]:
        return (self._read(at, at + _PIECE) for at in range(0, self.chars, _PIECE))

    @functools.cached_property
    def bytes(self) -> int:
        """The size of the text in UTF-8."""
        return sum(int(self._sizes[piece].sum()) for piece in self._pieces())

    def __len__(self) -> int:
        return 1 + self.chars - self.unknown

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return self[index : index + 1][0]
        first, last, _ = index.indices(len(self))
        body = self._known(max(0, first - 1), max(0, last - 1))
        return np.concatenate([np.full(1, self._opening, np.int32), body]) if first == 0 < last else body

    def _known(self, first: int, last: int) -> np.ndarray:
        """Return known characters number first to last - 1."""
        if self._table is None:
            return self._read(first, last).astype(np.int32)
        if self.unknown == 0:
            return self._table[self._read(first, last)].astype(np.int32)
        if first >= last:
            return np.zeros(0, np.int32)
        begin = int(np.searchsorted(self._known_before, first, side="right")) - 1
        end = int(np.searchsorted(self._known_before, last, side="left"))
        found = []
        for at in range(begin * _STRETCH, end * _STRETCH, _PIECE):
            ids = self._table[self._read(at, min(at + _PIECE, end * _STRETCH))]
            found.append(ids[ids >= 0].astype(np.int32))
        return np.concatenate(found)[first - self._known_before[begin] : last - self._known_before[begin]]

    def _read(self, first: int, last: int) -> np.ndarray:
        """Return a copy of some source ids. Release the file's memory now and then."""
        piece = np.array(self._ids[first:last])
        self._read_since_release += len(piece)
        if self._read_since_release > _MAPPED:
            release_pages(self._ids)
            self._read_since_release = 0
        return piece


def _stretch_sums(marks: np.ndarray, stretch: int) -> list[int]:
    """Return the sum of each run of `stretch` marks."""
    return np.add.reduceat(marks.astype(np.int64), np.arange(0, len(marks), stretch)).tolist()
