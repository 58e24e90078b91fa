"""Arithmetic lane by lane, beside + - * / between vectors, or a vector and a number.

Each is one operation of IEEE 754, rounded once, on every processor.
"""

from typing import Any

import numpy as np


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, lane by lane, rounded once. (The plain twin rounds to float64 and then to float32.)"""
    return (np.asarray(a, np.float64) * b + c).astype(np.float32)


def sqrt(value: Any) -> Any:
    """Return the square root, lane by lane."""
    return np.sqrt(value)


def nearest(value: Any) -> Any:
    """Return the nearest whole number, ties to even, lane by lane, for |value| < 2**22."""
    return np.rint(value)


def power_of_two(value: Any) -> Any:
    """Return 2**value for whole numbers in [-126, 127], by writing the exponent's bits."""
    return ((value.astype(np.int32) + 127) << 23).view(np.float32)


def exponent(value: Any) -> Any:
    """Return n of value = 2**n m with 1 <= m < 2, lane by lane, for normal numbers above 0."""
    return ((value.view(np.int32) >> 23) - 127).astype(np.float32)


def mantissa(value: Any) -> Any:
    """Return m of value = 2**n m with 1 <= m < 2, lane by lane, for normal numbers above 0."""
    return ((value.view(np.int32) & 0x7FFFFF) | 0x3F800000).view(np.float32)


def pair(left: Any, right: Any) -> Any:
    """Return words whose lower halves are the upper halves of one vector's numbers, their upper halves those of another."""
    return (right.view(np.uint32) & np.uint32(0xFFFF0000) | left.view(np.uint32) >> np.uint32(16)).view(np.float32)


def above(value: Any, bound: Any) -> Any:
    """Return 1 where value > bound, else 0 (a NaN gives 0), lane by lane."""
    return (value > bound).astype(np.float32)


def larger(a: Any, b: Any) -> Any:
    """Return the larger of two vectors, lane by lane; b where either is NaN."""
    return np.where(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """Return the smaller of two vectors, lane by lane; b where either is NaN."""
    return np.where(a < b, a, b)
