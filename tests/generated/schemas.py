"""The page of schemas: the fields of records that charlm writes or hands out, from their dataclasses.

A field is described by its metadata: dataclasses.field(metadata={"help": "..."}).
"""

import dataclasses
import importlib
import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

from charlm.registry import TRUNCATIONS
from charlm.tbptt.method import Realised

from .options import item

INTRODUCTION = """# Records: JSON results, metrics.jsonl and events

This page is generated from the declared records by `make generated`. Names of fields are keys of JSON objects, or
attributes of events. JSON leaves out an optional field that has no value.
"""

# Title, what is in it, module whose dataclasses are its records.
SECTIONS = (
    ("Results", "`--json` prints these objects, one a line.", "charlm.cli.results"),
    (
        "Training",
        "Lines of `metrics.jsonl`, and the object that `charlm train --json` prints. Losses are in nats per character.",
        "charlm.training.records",
    ),
    (
        "Events",
        "`charlm.train(..., on_event=function)` calls the function with these objects. They are attributes of `charlm`.",
        "charlm.events",
    ),
)
METHODS = "Some methods add these fields to TrainingRecord and TrainSummary."
_NAMES = {int: "integer", float: "number", str: "text", bool: "true or false", type(None): "null", Any: "any value"}


def schemas() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for title, about, module in SECTIONS:
        parts.append(f"## {title}\n\n{about}\n")
        parts.extend(map(record, declared(module)))
    parts.append(f"## Truncation methods\n\n{METHODS}\n")
    modules = dict.fromkeys(method.__module__ for method in TRUNCATIONS.values())
    parts.extend(record(kind) for module in modules for kind in declared(module) if issubclass(kind, Realised))
    return "\n".join(parts)


def declared(module: str) -> Iterator[type]:
    """Yield the public dataclasses that a module defines, in the order of their definition."""
    for name, kind in vars(importlib.import_module(module)).items():
        if (
            isinstance(kind, type)
            and kind.__module__ == module
            and not name.startswith("_")
            and dataclasses.is_dataclass(kind)
        ):
            yield kind


def record(kind: type) -> str:
    """Return a dataclass as a section: its docstring and a list of its fields."""
    hints = typing.get_type_hints(kind)
    lines = []
    for field in dataclasses.fields(kind):
        about = field.metadata.get("help", "")
        if field.metadata.get("inline"):
            lines.append(item(f"- {about}"))
            continue
        type_name = json_type(hints[field.name])
        if field.default is None:
            type_name = type_name.removesuffix(" or null") + ", optional"
        lines.append(item(f"- `{field.name}` ({type_name})" + (f": {about}" if about else "")))
    return f"### {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n" + "".join(lines)


def json_type(hint: Any) -> str:
    """Return a type as readers of JSON call it.

    >>> json_type(float | None), json_type(list[int]), json_type(dict[str, float])
    ('number or null', 'array of integer', 'object of number')
    """
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(json_type, inside))
    if origin is typing.Literal:
        return " or ".join(f'"{each}"' for each in inside)
    if origin in (list, tuple):
        return f"array of {' and '.join(_inner(each) for each in inside if each is not ...)}"
    if origin is dict:
        return f"object of {_inner(inside[1])}"
    return _NAMES.get(hint) or {list: "array", tuple: "array", dict: "object"}.get(hint) or hint.__name__


def _inner(hint: Any) -> str:
    """Return the type of what an array or object holds, in parentheses if it is a choice of types."""
    name = json_type(hint)
    return (
        f"({name})" if " or " in name and typing.get_origin(hint) not in (list, tuple, dict) and hint is not bool else name
    )
