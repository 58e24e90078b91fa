"""Dropout masks from random bits that need no state: a hash of a key and a unit's number."""

from typing import Any

import numpy as np

from ..jit import LANES


def keep(key: int, column: int, threshold: int) -> Any:
    """Return 1 where a hash of (key, column + lane) is below `threshold`, else 0: the dropout mask of LANES units.

    key and threshold are unsigned 32-bit numbers; the hash is murmur3's 32-bit finaliser over key + column * 0x9E3779B9,
    twice, which passes for independent draws at dropout's purpose and needs no state.
    """
    position = np.uint32(column) + np.arange(LANES, dtype=np.uint32)
    bits = _mix(_mix(position * np.uint32(0x9E3779B9) + np.uint32(key)) ^ np.uint32(key))
    return (bits < np.uint32(threshold)).astype(np.float32)


def _mix(bits: Any) -> Any:
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return bits ^ (bits >> np.uint32(16))
