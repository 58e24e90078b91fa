"""The counts of tables as a state of two arrays. Imports no Numba, so that a checkpoint can be checked without."""

import numpy as np

from ..kernels.table_sizes import CHARACTER_AT, REGIONS, TABLE_CHARACTERS, places, room
from ..tree import LeafError, StateDict, take_array


def packed(counts: np.ndarray) -> StateDict:
    """Return the entries (n,) uint64 in order, and a bit (.,) uint8 for each place, set where there is one."""
    occupied = counts != 0
    return {"entries": counts[occupied], "occupied": np.packbits(occupied)}


def unpacked(state: StateDict, megabytes: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which places (REGIONS, n) of a table are occupied, and the entries there, from what `packed` returned.

    vocabulary: V. Raises LeafError for what kernels could not read: they rely on empty places, and on known characters.
    """
    n = places(megabytes)
    bits = take_array(state, "occupied", (REGIONS * n // 8,), np.uint8)
    occupied = np.unpackbits(bits).astype(bool).reshape(REGIONS, n)
    used = occupied.sum(1)
    if (used > room(n)).any():
        raise LeafError("occupied", "at most three quarters of a region's places", f"{int(used.max()):,} of {n:,}")
    entries = take_array(state, "entries", (int(used.sum()),), np.uint64)
    characters = (entries >> np.uint64(CHARACTER_AT)) & np.uint64(TABLE_CHARACTERS - 1)
    if len(entries) and int(characters.max()) >= vocabulary:
        raise LeafError("entries", f"characters below {vocabulary:,}", f"character {int(characters.max()):,}")
    return occupied, entries
