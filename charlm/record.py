"""Records: dataclasses whose fields are the keys of a JSON object. metadata["help"] describes each field."""

from dataclasses import MISSING, fields
from typing import Any


def to_dict(record: Any) -> dict[str, Any]:
    """Return the names and values of a record. A field with a default is left out if it is None.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Found:
    ...     loss: float | None
    ...     k2: int | None = None
    >>> to_dict(Found(None)), to_dict(Found(1.5, 64))
    ({'loss': None}, {'loss': 1.5, 'k2': 64})
    """
    return {
        each.name: value
        for each in fields(record)
        if (value := getattr(record, each.name)) is not None or each.default is MISSING
    }
