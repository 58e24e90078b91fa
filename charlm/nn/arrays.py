"""Arrays as kernels need them: rows padded, memory aligned."""

import math
import mmap

import numpy as np

from ..kernels.simd import PAD

_ALIGNMENT = 64  # bytes; vectors that straddle cache lines cost up to half the speed
_LARGE = 1 << 22  # bytes


def padded(n: int) -> int:
    """Round n up to a multiple of PAD."""
    return -(-n // PAD) * PAD


def aligned_zeros(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return C-contiguous zeros that begin at a multiple of 64 bytes (np.zeros promises 16), with 64 more behind them."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 2 * _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def large_zeros(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """Return zeros for an array that is read at random, in large pages if the system has them: few fit into its caches."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size < _LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return aligned_zeros(shape, dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # shared memory has small pages
    memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Return float32 numbers rounded to bfloat16, the upper half of a float32: to nearest, ties to even."""
    bits = values.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1)) & np.uint32(0xFFFF0000)
    return np.where(np.isfinite(values), rounded.view(np.float32), values)
