"""The set of sequences in a text, to tell whether a generated sequence is new."""

from collections.abc import Iterable

import numpy as np


class SequenceSet:
    """The sequences of a text, divided by a separator. Only their hashes are stored, eight bytes each.

    >>> names = SequenceSet(["anna\\nb", "ea\\n"], "\\n")
    >>> "bea" in names, "an" in names
    (True, False)
    """

    def __init__(self, pieces: Iterable[str], separator: str) -> None:
        """pieces: the text in pieces of any size, in order."""
        hashes, rest = [], ""
        for piece in pieces:
            *whole, rest = (rest + piece).split(separator)
            hashes.append(np.fromiter(map(hash, whole), np.int64, len(whole)))
        self._hashes = np.unique(np.concatenate([*hashes, np.array([hash(rest)])]))

    def __contains__(self, sequence: str) -> bool:
        """Return whether a sequence, given without its separator, is in the text."""
        at = int(np.searchsorted(self._hashes, hash(sequence)))
        return at < len(self._hashes) and bool(self._hashes[at] == hash(sequence))
