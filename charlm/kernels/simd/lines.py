"""Masks of a cache line of 64-bit numbers: a bit for each of the eight, number 0 the lowest."""

from typing import Any

import numpy as np

from ..table_sizes import LINE


def same(array: np.ndarray, row: int, column: int, shift: int, value: int) -> Any:
    """Return where n >> shift is `value`, for the numbers n = array[row, column : column + 8] of a uint64 array."""
    equal = array[row, column : column + LINE] >> np.uint64(shift) == np.uint64(value)
    return np.uint64(sum(1 << i for i in range(LINE) if equal[i]))


def lowest(mask: Any) -> Any:
    """Return the number of the lowest bit of a mask that is not 0."""
    return (int(mask) & -int(mask)).bit_length() - 1


def highest(mask: Any) -> Any:
    """Return the number of the highest bit of a mask that is not 0."""
    return int(mask).bit_length() - 1
