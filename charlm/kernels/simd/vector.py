"""The type of a vector, and the instructions that all operations on vectors are built from."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from ..jit import LANES
from ..numba_internals import declared_function, item_pointer

FLOAT = ir.FloatType()
INT = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
BITS = ir.VectorType(INT, LANES)


class VectorType(types.Type):
    """The Numba type of a vector of LANES float32 numbers."""

    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


lanes = VectorType()


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, VECTOR)


def pointer(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    """Return the address of array[indices] as a pointer to a vector; no bounds check, no wraparound."""
    return builder.bitcast(item_pointer(context, builder, array_type, array, indices), VECTOR.as_pointer())


def spread(builder: Any, scalar: Any, kind: Any = VECTOR) -> Any:
    """Return a vector with `scalar` in every lane. kind: VECTOR, or BITS for an integer."""
    undefined = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(BITS, [0] * LANES))


def call(builder: Any, name: str, *arguments: Any) -> Any:
    """Return the value of an LLVM intrinsic on vectors, such as fma."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * len(arguments))
    return builder.call(declared_function(builder.module, kind, f"llvm.{name}.v{LANES}f32"), arguments)
