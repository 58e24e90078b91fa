"""Arrays as kernels need them: rows padded, memory aligned."""

import math

import numpy as np

from ..kernels.simd import PAD

_ALIGNMENT = 64  # bytes; vectors that straddle cache lines cost up to half the speed


def padded(n: int) -> int:
    """Round n up to a multiple of PAD."""
    return -(-n // PAD) * PAD


def aligned_zeros(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Return C-contiguous zeros that begin at a multiple of 64 bytes (np.zeros promises 16), with 64 more behind them."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 2 * _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)
