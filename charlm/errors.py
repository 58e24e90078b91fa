"""The errors that charlm raises on purpose. Each message says what, where, and what to do; the command line prints it."""

import difflib
import math
from collections.abc import Iterable
from typing import Any


class CharlmError(Exception):
    """The base of all of them."""


class CorpusError(CharlmError):
    """A text that cannot be used: missing, empty, not UTF-8, with unknown characters."""


class OtherTextError(CorpusError):
    """A text that is not the one that a run was trained on."""


class ConfigurationError(CharlmError):
    """A setting outside what is allowed, or two that contradict each other."""


class ResourceError(CharlmError):
    """Something that this machine has too little of for what is asked: memory, an installed package."""


class CheckpointError(CharlmError):
    """A run or checkpoint that is missing, damaged or does not fit."""


class DivergenceError(CharlmError):
    """Training produced a loss or gradient that is not finite."""


class GateError(CharlmError):
    """A result that is worse than what was asked for: no failure of charlm's."""


def not_among(option: str, value: Any, names: Iterable[str]) -> ConfigurationError:
    """Return the error for a value that is none of the names an option chooses from. option: without its dashes."""
    return ConfigurationError(f"--{option} {value}: choose from {', '.join(names)}")


def perhaps(word: str, known: Iterable[str]) -> str:
    """Return a suggestion to append to the message about an unknown word; empty if no known word is near."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def finite(number: float, what: str) -> float:
    """Return a number that a model's arithmetic gave. Raise CharlmError if it is not finite: it would mean nothing."""
    if not math.isfinite(number):
        raise CharlmError(f"{what} is not a finite number: the model's parameters are too large to compute with")
    return number
