"""Records: groups of numbers and arrays, as compiled code finds them in memory.

A record is a NamedTuple that declares what its fields hold. Compiled code is handed the address of a record, and finds the
fields there in order, 8 bytes a number: an integer, a floating-point number, an array as its address and its shape; a record
in a record lies in its place. It reads what it needs when it needs it. Handed every number one by one, as Numba would, a
network of 130 arrays took half a minute to compile through all functions that pass it on.
"""

import functools
import struct
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_type_hints

import numpy as np

_T = TypeVar("_T", bound=np.generic)
# C-contiguous arrays, by their number of dimensions.
Array1 = np.ndarray[tuple[int], np.dtype[_T]]
Array2 = np.ndarray[tuple[int, int], np.dtype[_T]]
Array3 = np.ndarray[tuple[int, int, int], np.dtype[_T]]
Array5 = np.ndarray[tuple[int, int, int, int, int], np.dtype[_T]]
Array6 = np.ndarray[tuple[int, int, int, int, int, int], np.dtype[_T]]

ROW = "row"
Row = Annotated[np.ndarray, ROW]  # float32 numbers that a step is handed by their address alone: see steps.py
SLOT = 8  # bytes
_APART = 16  # slots: a record has two cache lines, or four, ..., for itself, since others may write to what lies beside it


class ArrayKind(NamedTuple):
    """The type of an array's numbers, and how many dimensions it has."""

    dtype: str
    dimensions: int


class ByValue(NamedTuple):
    """A NamedTuple that is handed field by field, and lies nowhere."""

    kind: type


def by_value(group: Any) -> Any:
    """Declare that a NamedTuple is handed by value: one that kernels make themselves."""
    group.by_value = True
    return group


class Field(NamedTuple):
    """A field of a record. kind: int, float, an ArrayKind, or the class of a record."""

    slot: int
    kind: Any


@functools.cache
def fields(record: type) -> dict[str, Field]:
    """Return the fields of a record's class. Raises TypeError for one that compiled code cannot read."""
    found, slot = {}, 0
    for name, hint in get_type_hints(record, include_extras=True).items():
        kind = kind_of_hint(hint)
        if kind is None:
            raise TypeError(f"{record.__name__}.{name}: compiled code cannot read {hint}")
        found[name] = Field(slot, kind)
        slot += slots(kind)
    return found


def kind_of_hint(hint: Any) -> Any:
    """Return the kind that an annotation stands for; None if it is none."""
    if is_record(hint) and hasattr(hint, "by_value"):
        return ByValue(hint)
    if hint in (int, float, bool) or is_record(hint):
        return hint
    if hint is Row:
        return ROW
    if getattr(hint, "__origin__", None) is np.ndarray:
        shape, dtype = get_args(hint)
        return ArrayKind(np.dtype(get_args(dtype)[0]).name, len(get_args(shape)))
    return None


def is_record(kind: Any) -> bool:
    """Return whether a kind is the class of a record."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def slots(kind: Any) -> int:
    """Return how many slots of memory a kind takes."""
    if isinstance(kind, ArrayKind):
        return 1 + kind.dimensions
    return sum(slots(each.kind) for each in fields(kind).values()) if is_record(kind) else 1


def flattened(kind: Any, value: Any) -> list[int]:
    """Return the slots of a value, each as the 64-bit integer with its bits. Raises TypeError for another array."""
    if isinstance(kind, ArrayKind):
        if value.dtype.name != kind.dtype or value.ndim != kind.dimensions or not value.flags.c_contiguous:
            raise TypeError(f"{kind} expected, not {value.dtype} of {value.ndim} dimensions, strides {value.strides}")
        return [value.__array_interface__["data"][0], *value.shape]
    if kind is float:
        return list(struct.unpack("<q", struct.pack("<d", value)))
    if kind in (int, bool):
        return [(int(value) + (1 << 63)) % (1 << 64) - (1 << 63)]
    return [slot for field, each in zip(fields(kind).values(), value, strict=True) for slot in flattened(field.kind, each)]


class Handed:
    """A record laid out for compiled code, once for many calls. Its arrays stay the same; what they hold may change."""

    def __init__(self, record: Any) -> None:
        self.record = record
        self.kind = type(record)

    @functools.cached_property
    def _memory(self) -> np.ndarray:
        slots = flattened(self.kind, self.record)
        room = np.zeros(len(slots) + 2 * _APART, np.int64)
        begin = -room.__array_interface__["data"][0] % (SLOT * _APART) // SLOT
        memory = room[begin : begin + len(slots) + -len(slots) % _APART]
        memory[: len(slots)] = slots
        return memory

    @property
    def address(self) -> int:
        """The address of its fields."""
        return int(self._memory.__array_interface__["data"][0])


def kind_of(value: Any) -> Any:
    """Return the kind of an argument."""
    if isinstance(value, Handed):
        return value.kind
    if isinstance(value, np.ndarray):
        return ArrayKind(value.dtype.name, value.ndim)
    if is_record(type(value)):
        return type(value)
    return float if isinstance(value, float | np.floating) else int
