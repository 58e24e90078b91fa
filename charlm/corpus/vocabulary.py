"""Characters or bytes <-> ids."""

import codecs
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

import numpy as np

from ..errors import CorpusError

_CODE_POINTS = 0x110000
_UNKNOWN = np.uint32(0xFFFFFFFF)
_LISTED = 5  # unknown characters listed in a message, besides the first
_SIMILAR = {"\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "\t": " "}


class Vocabulary:
    """The characters that a model knows, in id order (by code point), or the 256 bytes.

    An id is a position in `characters`. A vocabulary of bytes encodes text as UTF-8.

    >>> known = Vocabulary("abc")
    >>> known.encode("cab").tolist(), known.decode(known.encode("cab"))
    ([2, 0, 1], 'cab')
    >>> known.look_up("a-b").tolist()
    [0, -1, 1]
    """

    def __init__(self, characters: Iterable[str] | None) -> None:
        """characters: distinct single characters in id order; None: bytes."""
        self.characters = None if characters is None else list(characters)
        if self.characters is not None:
            codes = np.array([ord(c) for c in self.characters], np.uint32)
            if len(set(codes.tolist())) != len(codes):
                raise CorpusError("vocabulary: a character occurs twice")
            self._codes = codes
            self._ids = np.full(_CODE_POINTS, _UNKNOWN, np.uint32)
            self._ids[codes] = np.arange(len(codes), dtype=np.uint32)

    @property
    def uses_bytes(self) -> bool:
        """True if ids are bytes."""
        return self.characters is None

    def to_json(self) -> list[str] | Literal["bytes"]:
        """Return the characters in the order of their ids, or "bytes": how files hold a vocabulary."""
        return "bytes" if self.characters is None else self.characters

    @classmethod
    def from_json(cls, listed: Any) -> Self:
        """Return the vocabulary that `to_json` described so. Raises CorpusError, or TypeError for other than characters."""
        if listed != "bytes" and not (isinstance(listed, list) and listed):
            raise CorpusError('it is no list of characters, nor "bytes"')
        return cls(None if listed == "bytes" else listed)

    def __len__(self) -> int:
        return 256 if self.characters is None else len(self.characters)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    __hash__ = None  # type: ignore[assignment]

    def encode(self, text: str, what: str = "text") -> np.ndarray:
        """Return the ids of a text, (n,) uint32. Raise CorpusError for unknown characters. what: names the text."""
        ids = self.look_up(text)
        missing = np.flatnonzero(ids < 0)
        if len(missing):
            raise CorpusError(self._unknown_message(text, missing.tolist(), what))
        return ids.astype(np.uint32)

    def _unknown_message(self, text: str, missing: list[int], what: str) -> str:
        """Name the unknown characters at positions `missing` of a text, and suggest a fix."""
        at = missing[0]
        others = list(dict.fromkeys(text[i] for i in missing if text[i] != text[at]))
        more = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in others[:_LISTED]) + (" and others" if others[_LISTED:] else "")
        near = [
            c
            for c in _SIMILAR.get(text[at], "") + unicodedata.normalize("NFKD", text[at])[:1] + text[at].swapcase()[:1]
            if c in (self.characters or [])
        ]
        nor, fix = f"; nor are {more}" if more else "", f"write {near[0]!r} for it" if near else "leave it out"
        return (
            f"{what}: {text[at]!r} (U+{ord(text[at]):04X}) at position {at} is not in the model's vocabulary{nor}: {fix}, "
            "or train with --bytes, which knows every text"
        )

    def encode_known(self, text: str) -> tuple[np.ndarray, int]:
        """Return the ids of a text without its unknown characters, and the number of these."""
        ids = self.look_up(text)
        known = ids >= 0
        return ids[known].astype(np.uint32), int(len(ids) - known.sum())

    def look_up(self, text: str) -> np.ndarray:
        """Return the ids of a text, (n,) int64, -1 for unknown characters. With bytes n counts those of its UTF-8 form."""
        if self.characters is None:
            return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8).astype(np.int64)
        ids = self._ids[code_points(text)]
        return np.where(ids == _UNKNOWN, -1, ids.astype(np.int64))

    def encode_each(self, other: "Vocabulary") -> np.ndarray:
        """Return this vocabulary's id for each character of another one, (len(other),) int64; -1 if it is unknown."""
        if self.characters is None or other.characters is None:
            return np.arange(256) if self == other else np.full(len(other), -1)
        ids = self._ids[other._codes].astype(np.int64)
        return np.where(ids == _UNKNOWN, -1, ids)

    def decode(self, ids: np.ndarray) -> str:
        """Return the text of ids (n,). Bytes that are not valid UTF-8 become U+FFFD."""
        if self.characters is None:
            return np.asarray(ids, np.uint8).tobytes().decode("utf-8", "replace")
        return self._codes[ids].astype("<u4").tobytes().decode("utf-32-le")

    def decoder(self) -> Callable[[np.ndarray], str]:
        """Return a function like `decode` for a text in pieces. The bytes of a character may span two pieces."""
        if self.characters is not None:
            return self.decode
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        return lambda ids: decoder.decode(np.asarray(ids, np.uint8).tobytes())

    def id_bytes(self) -> np.ndarray:
        """Return the number of UTF-8 bytes that each id stands for, (V,) int64."""
        if self.characters is None:
            return np.ones(256, np.int64)
        return np.array([len(c.encode("utf-8", "surrogatepass")) for c in self.characters], np.int64)


def code_points(text: str) -> np.ndarray:
    """Return the code points of a text, (n,) uint32. Lone surrogates, which no vocabulary has, are included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def id_type(size: int) -> np.dtype:
    """Return the smallest unsigned integer type for ids below `size`."""
    return np.dtype(np.uint8 if size <= 1 << 8 else np.uint16 if size <= 1 << 16 else np.uint32)
