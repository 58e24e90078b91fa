"""The types of vectors, and the instructions that all operations on vectors are built from."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from ..jit import LANES
from ..numba_internals import declared_function, item_pointer

PAD = 16  # every row's width in memory is a multiple of this many float32 (64 bytes)
FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)


class VectorType(types.Type):
    """The Numba type of a vector of `count` float32 numbers."""

    def __init__(self, count: int) -> None:
        super().__init__(name=f"float32x{count}")
        self.count = count


lanes = VectorType(LANES)
block = VectorType(PAD)  # the same type if LANES is PAD


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, ir.VectorType(FLOAT, fe_type.count))


def bits_of(value: Any) -> ir.VectorType:
    """Return the type of as many 32-bit integers as a vector has numbers."""
    return ir.VectorType(INT, value.type.count)


def filled(kind: ir.VectorType, value: float) -> ir.Constant:
    """Return a vector constant with `value` in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def pointer(context: Any, builder: Any, array_type: Any, array: Any, indices: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Return the address of array[indices] as a pointer to a vector; no bounds check, no wraparound."""
    return builder.bitcast(item_pointer(context, builder, array_type, array, indices), kind.as_pointer())


def spread(builder: Any, scalar: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Return a vector with `scalar` in every lane. kind: of float32, or of integers for an integer."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, undefined, filled(ir.VectorType(INT, kind.count), 0))


def call(builder: Any, name: str, *arguments: Any) -> Any:
    """Return the value of an LLVM intrinsic on vectors, such as fma."""
    kind = arguments[0].type
    function = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(declared_function(builder.module, function, f"llvm.{name}.v{kind.count}f32"), arguments)
