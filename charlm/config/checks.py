"""Checks of values, with one form of words for each kind of error, and the bounds that several settings share."""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from ..errors import ConfigurationError, not_among

# These only keep numbers where arithmetic is sound; memory is checked where it is allocated.
MOST_STEPS = 1_000_000_000  # of a block, a window, a segment, between resets
MOST_UPDATES = 1_000_000_000_000
LARGEST_SEED = 2**63 - 1
MOST_CHARACTERS = 0x110000  # all of Unicode
MOST_STREAMS = 1_048_576


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError with this message unless the condition holds."""
    if not condition:
        raise ConfigurationError(message)


def choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Raise ConfigurationError for a value that is not allowed. name: of the option, without dashes."""
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        raise not_among(name, value, names)


def between(name: str, value: Any, low: float, high: float, excluded: tuple[float, ...] = ()) -> None:
    """Raise ConfigurationError for anything but a number in [low, high] without the excluded ends. NaN is outside."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    but = f", {' and '.join(map(str, excluded))} excluded" if excluded else ""
    inside = number and low <= value <= high and value not in excluded
    require(inside, f"--{name} {value}: must be between {low:,} and {high:,}{but}")


def whole(name: str, value: Any, low: int, high: int) -> None:
    """Raise ConfigurationError for anything but a whole number in [low, high]."""
    between(name, value, low, high)
    require(isinstance(value, Integral), f"--{name} {value}: must be a whole number between {low:,} and {high:,}")
