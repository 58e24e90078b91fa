"""Dropout masks from random bits that need no state: a hash of a key and a unit's number."""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..jit import LANES
from .vector import INT, VECTOR, filled, lanes, spread

_BITS = ir.VectorType(INT, LANES)


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


def _emit_mix(builder: Any, bits: Any) -> Any:
    number = lambda value: filled(_BITS, value)  # noqa: E731
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = builder.mul(builder.xor(bits, builder.lshr(bits, number(shift))), number(factor))
    return builder.xor(bits, builder.lshr(bits, number(16)))


@type_callable(keep)
def _type_keep(context: Any) -> Callable:
    return lambda key, column, threshold: lanes


@lower_builtin(keep, types.Integer, types.Integer, types.Integer)
def _lower_keep(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    key, column, threshold = (
        spread(builder, context.cast(builder, value, kind, types.uint32), _BITS)
        for kind, value in zip(sig.args, args, strict=True)
    )
    position = builder.add(column, ir.Constant(_BITS, list(range(LANES))))
    bits = builder.add(builder.mul(position, filled(_BITS, 0x9E3779B9)), key)
    bits = _emit_mix(builder, builder.xor(_emit_mix(builder, bits), key))
    return builder.uitofp(builder.icmp_unsigned("<", bits, threshold), VECTOR)
