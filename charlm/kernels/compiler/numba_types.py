"""The Numba types of what kernels work on: records, arrays, rows, vectors; and access to what is in them."""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import (
    infer_getattr,
    lower_builtin,
    lower_getattr,
    lower_getattr_generic,
    models,
    register_model,
    type_callable,
)

from ..jit import LANES
from ..records import ROW, SLOT, ArrayKind, ByValue, fields, is_record
from ..simd.memory import PAD
from .numba_internals import AttributeTemplate

FLOAT = ir.FloatType()
INT = ir.IntType(32)
LONG = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
VECTOR = ir.VectorType(FLOAT, LANES)
row = types.CPointer(types.float32)


class VectorType(types.Type):
    """A vector of `count` float32 numbers."""

    def __init__(self, count: int) -> None:
        super().__init__(name=f"float32x{count}")
        self.count = count


lanes = VectorType(LANES)
block = VectorType(PAD)  # the same type if LANES is PAD


class ArrayType(types.Type):
    """A C-contiguous array: its address and its shape. Indices are not checked, and do not count from the end."""

    def __init__(self, dtype: Any, dimensions: int) -> None:
        super().__init__(name=f"array({dtype}, {dimensions})")
        self.dtype, self.dimensions = dtype, dimensions


class RecordType(types.Type):
    """A record, by its address: see records.py."""

    def __init__(self, record: type) -> None:
        super().__init__(name=f"record({record.__module__}.{record.__qualname__})")
        self.record = record
        self.kinds = {name: numba_type(field.kind) for name, field in fields(record).items()}


def numba_type(kind: Any) -> Any:
    """Return the Numba type of a kind: see records.py."""
    if isinstance(kind, ArrayKind):
        return ArrayType(getattr(types, kind.dtype), kind.dimensions)
    if isinstance(kind, ByValue):
        return types.NamedTuple([numba_type(field.kind) for field in fields(kind.kind).values()], kind.kind)
    if is_record(kind):
        return RecordType(kind)
    return {int: types.int64, float: types.float64, bool: types.boolean, ROW: row}[kind]


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.VectorType(FLOAT, kind.count))


@register_model(RecordType)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, BYTES)


@register_model(ArrayType)
class _ArrayModel(models.StructModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        sizes = [(f"n{i}", types.int64) for i in range(kind.dimensions)]
        super().__init__(manager, kind, [("data", types.CPointer(kind.dtype)), *sizes])


def _loaded(builder: Any, address: Any, kind: Any) -> Any:
    """Load what does not change as long as a kernel runs, so that it need not be loaded again after a store."""
    found = builder.load(builder.bitcast(address, kind.as_pointer()))
    found.set_metadata("invariant.load", builder.module.add_metadata([]))
    return found


@infer_getattr
class _Fields(AttributeTemplate):
    key = RecordType

    def generic_resolve(self, record: Any, name: str) -> Any:  # type: ignore[override]
        return record.kinds.get(name)


@lower_getattr_generic(RecordType)
def _get_field(context: Any, builder: Any, kind: Any, value: Any, name: str) -> Any:
    slot, _ = fields(kind.record)[name]
    at = lambda slot: builder.gep(value, [ir.Constant(LONG, SLOT * slot)])  # noqa: E731
    field = kind.kinds[name]
    if isinstance(field, RecordType):
        return at(slot)
    if isinstance(field, ArrayType):
        data, *sizes = context.get_value_type(field).elements
        parts = [_loaded(builder, at(slot + i), part) for i, part in enumerate((data, *sizes))]
        return _array(context, builder, field, parts)
    return _loaded(builder, at(slot), context.get_value_type(field))


def _array(context: Any, builder: Any, kind: Any, parts: list[Any]) -> Any:
    """Return an array of this address and shape."""
    value = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for i, part in enumerate(parts):
        value = builder.insert_value(value, part, i)
    return value


@infer_getattr
class _Shape(AttributeTemplate):
    key = ArrayType

    def resolve_shape(self, array: Any) -> Any:
        return types.UniTuple(types.int64, array.dimensions)


@lower_getattr(ArrayType, "shape")
def _get_shape(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    sizes = [builder.extract_value(value, 1 + i) for i in range(kind.dimensions)]
    return context.make_tuple(builder, types.UniTuple(types.int64, kind.dimensions), sizes)


def address(context: Any, builder: Any, value: Any, indices: list[Any]) -> Any:
    """Return the address of array[indices], as a pointer to its type."""
    offset = indices[0] if indices else ir.Constant(LONG, 0)
    dimensions = len(value.type.elements) - 1
    for i in range(1, dimensions):
        offset = builder.mul(offset, builder.extract_value(value, 1 + i))
        if i < len(indices):
            offset = builder.add(offset, indices[i])
    return builder.gep(builder.extract_value(value, 0), [offset])


def as_indices(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    """Return whole numbers of any type as int64."""
    return [context.cast(builder, value, kind, types.int64) for kind, value in zip(kinds, values, strict=True)]


def _split(kind: Any) -> Any:
    """Return the types of one or several indices; None if they are none."""
    kinds: Any = list(getattr(kind, "types", [kind]))
    return kinds if all(isinstance(each, types.Integer) for each in kinds) else None


@type_callable(operator.getitem)
def _type_getitem(context: Any) -> Callable:
    def typer(array: Any, index: Any) -> Any:
        kinds = _split(index) if isinstance(array, ArrayType) else None
        if kinds is None or len(kinds) > array.dimensions:
            return None
        left = array.dimensions - len(kinds)
        return ArrayType(array.dtype, left) if left else array.dtype

    return typer


def _places(context: Any, builder: Any, kind: Any, index: Any) -> list[Any]:
    kinds = _split(kind)
    values = [builder.extract_value(index, i) for i in range(len(kinds))] if isinstance(kind, types.BaseTuple) else [index]
    return as_indices(context, builder, kinds, values)


@lower_builtin(operator.getitem, ArrayType, types.Integer)
@lower_builtin(operator.getitem, ArrayType, types.BaseTuple)
def _lower_getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    places = _places(context, builder, sig.args[1], args[1])
    at = address(context, builder, args[0], places)
    if isinstance(sig.return_type, ArrayType):
        sizes = [builder.extract_value(args[0], 1 + i) for i in range(len(places), sig.args[0].dimensions)]
        return _array(context, builder, sig.return_type, [at, *sizes])
    return context.unpack_value(builder, sig.return_type, at)


@type_callable(operator.setitem)
def _type_setitem(context: Any) -> Callable:
    def typer(array: Any, index: Any, value: Any) -> Any:
        kinds = _split(index) if isinstance(array, ArrayType) else None
        return types.none if kinds is not None and len(kinds) == array.dimensions else None

    return typer


@lower_builtin(operator.setitem, ArrayType, types.Integer, types.Any)
@lower_builtin(operator.setitem, ArrayType, types.BaseTuple, types.Any)
def _lower_setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    array, index, value = sig.args
    at = address(context, builder, args[0], _places(context, builder, index, args[1]))
    context.pack_value(builder, array.dtype, context.cast(builder, args[2], value, array.dtype), at)
    return context.get_dummy_value()
