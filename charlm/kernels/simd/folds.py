"""One number from a block, by a fixed tree: the order of the additions is the same whatever LANES is."""

import operator
from collections.abc import Callable
from typing import Any


def total(value: Any) -> Any:
    """Return the sum of a block, as float32."""
    return _fold(value, operator.add)


def largest(value: Any) -> Any:
    """Return the largest number of a block, as float32."""
    return _fold(value, max)


def _fold(value: Any, combine: Callable) -> Any:
    parts = list(value)
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [combine(a, b) for a, b in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]
