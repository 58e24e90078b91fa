"""How simd/masks.py is made of instructions."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..jit import LANES
from ..simd.masks import keep
from .instructions import filled, spread
from .numba_types import INT, VECTOR, lanes

_BITS = ir.VectorType(INT, LANES)


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
