"""Vectors and memory: load, store, one number in every lane, transposed squares."""

from typing import Any

import numpy as np

from ..jit import LANES

PAD = 16  # every row's width in memory is a multiple of this many float32 (64 bytes)


def load(array: Any, *place: int) -> Any:
    """Return LANES numbers from a place on: array[row, column] of a C-contiguous 2-D float32 array, or row[column]."""
    *row, column = place
    return array[(*row, slice(column, column + LANES))].copy()


def load_block(array: Any, row: int, column: int) -> Any:
    """Return PAD numbers of a 2-D array, for sums and maxima over a row: see the package's docstring."""
    return array[row, column : column + PAD].copy()


def store(array: Any, *place_and_value: Any) -> None:
    """Write a vector from a place on: store(array, row, column, value), or store(row, column, value)."""
    *row, column, value = place_and_value
    array[(*row, slice(column, column + len(value)))] = value


def splat(value: float) -> Any:
    """Return a vector with `value`, rounded to float32, in every lane."""
    return np.full(LANES, value, np.float32)


def splat_block(value: float) -> Any:
    """Return the same of PAD lanes."""
    return np.full(PAD, value, np.float32)


def prefetch(array: np.ndarray, row: int, column: int) -> None:
    """Begin to fetch the cache line of array[row, column], which is read soon."""


def transpose(source: np.ndarray, row: int, column: int, target: np.ndarray, target_row: int, at: int, stride: int) -> None:
    """Write the square source[row : row + LANES, column : column + LANES] transposed.

    Its column i goes to target[target_row, at + i * stride :]. Both arrays are C-contiguous, 2-D, float32.
    """
    for i in range(LANES):
        target[target_row, at + i * stride :][:LANES] = source[row : row + LANES, column + i]
