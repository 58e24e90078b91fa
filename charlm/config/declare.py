"""Settings declared once: default, bounds, unit, help text and group, as a field of a frozen dataclass.

Options, their help, the keys of TOML files and the checks of values are all made from the declarations.
"""

from __future__ import annotations

import functools
import typing
from dataclasses import MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import Any

from .checks import between, require, whole

_KEY = "setting"


@dataclass(frozen=True)
class Declaration:
    """All facts about one setting.

    name: of the field. type: int, float, str or bool. optional: whether None is allowed. default_text: how help shows the
    default. low, high, excluded: bounds of a number, and the ends that are not allowed. unit: the metavar in help.
    """

    name: str
    type: type
    optional: bool
    default: Any
    default_text: str
    help: str
    group: str
    low: float | None
    high: float | None
    excluded: tuple[float, ...]
    unit: str | None

    @property
    def option(self) -> str:
        """The name of the option, without dashes."""
        return self.name.replace("_", "-")

    def check(self, value: Any) -> None:
        """Raise ConfigurationError for a value of another type or outside the bounds."""
        if value is None and self.optional:
            return
        if self.type is str:
            require(isinstance(value, str), f"--{self.option} {value}: must be a text")
        elif self.type is bool:
            require(isinstance(value, bool), f"--{self.option} {value}: must be true or false")
        elif self.low is not None and self.high is not None:
            if self.type is int:
                whole(self.option, value, int(self.low), int(self.high))
            else:
                between(self.option, value, self.low, self.high, self.excluded)


def setting(
    default: Any,
    *,
    help: str,
    group: str = "",
    bounds: tuple[float, float] | None = None,
    excluded: tuple[float, ...] = (),
    unit: str | None = None,
    default_text: str | None = None,
) -> Any:
    """Declare a setting: a dataclass field with all that is known about it. See Declaration."""
    low, high = bounds or (None, None)
    facts = {
        "help": help,
        "group": group,
        "low": low,
        "high": high,
        "excluded": excluded,
        "unit": unit,
        "default_text": default_text,
    }
    return field(default=default, metadata={_KEY: facts})


def declarations(cls: type) -> tuple[Declaration, ...]:
    """Return the settings that a dataclass declares, in order. Fields without `setting` have types but no facts."""
    return _declarations(cls)


@functools.cache
def _declarations(cls: Any) -> tuple[Declaration, ...]:
    hints = typing.get_type_hints(cls)
    found = []
    for each in fields(cls):
        kinds = typing.get_args(hints[each.name]) if isinstance(hints[each.name], UnionType) else (hints[each.name],)
        facts = dict(
            each.metadata.get(_KEY, {"help": "", "group": "", "low": None, "high": None, "excluded": (), "unit": None})
        )
        default = None if each.default is MISSING else each.default
        text = facts.pop("default_text", None)
        shown = text if text is not None else f"{default:g}" if isinstance(default, float) else str(default)
        plain = [kind for kind in kinds if kind is not NoneType]
        found.append(Declaration(each.name, plain[0], NoneType in kinds, default, shown, **facts))
    return tuple(found)


@dataclass(frozen=True)
class Declared:
    """A base of dataclasses whose values are checked against their declarations when they are made."""

    def __post_init__(self) -> None:
        for each in declarations(type(self)):
            each.check(getattr(self, each.name))
