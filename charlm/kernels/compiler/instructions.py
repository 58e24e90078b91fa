"""The instructions that all operations on vectors are built from."""

from typing import Any

from llvmlite import ir

from .numba_types import INT, VECTOR, address


def bits_of(value: Any) -> ir.VectorType:
    """Return the type of as many 32-bit integers as a vector has numbers."""
    return ir.VectorType(INT, value.type.count)


def filled(kind: ir.VectorType, value: float) -> ir.Constant:
    """Return a vector constant with `value` in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def vector_at(context: Any, builder: Any, array: Any, indices: Any, kind: ir.VectorType = VECTOR) -> Any:
    """Return the address of array[indices] as a pointer to a vector."""
    return builder.bitcast(address(context, builder, array, indices), kind.as_pointer())


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


def declared_function(module: ir.Module, kind: ir.FunctionType, name: str) -> Any:
    """Return a function that is defined elsewhere: an LLVM intrinsic, or one of the C library."""
    return module.globals.get(name) or ir.Function(module, kind, name)


def on_stack(builder: Any, value: ir.Constant) -> Any:
    """Return the address of a place on the stack that holds `value`."""
    with builder.goto_entry_block():
        place = builder.alloca(value.type)
    builder.store(value, place)
    return place
