"""Records: dataclasses whose fields are the keys of a JSON object. metadata["help"] describes each field.

A field that is itself a record gives its keys to the same object if its metadata has INLINE.
"""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import Any

INLINE = {"inline": True}


def to_dict(record: Any) -> dict[str, Any]:
    """Return the names and values of a record. A field with a default is left out if it is None.

    Raises TypeError if two fields have the same name.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Found:
    ...     loss: float | None
    ...     k2: int | None = None
    >>> to_dict(Found(None)), to_dict(Found(1.5, 64))
    ({'loss': None}, {'loss': 1.5, 'k2': 64})
    """
    items = list(_items(record))
    found = dict(items)
    if len(found) < len(items):
        raise TypeError(f"{type(record).__name__} has a name twice: {', '.join(name for name, _ in items)}")
    return found


def _items(record: Any) -> Iterator[tuple[str, Any]]:
    for each in fields(record):
        value = getattr(record, each.name)
        if each.metadata.get("inline"):
            yield from _items(value)
        elif value is not None or each.default is MISSING:
            yield each.name, value
