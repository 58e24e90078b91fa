"""Options made from the declarations of settings in charlm/config."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from ..config.declare import Declaration


class DeclaredOption(click.Option):
    """The option of a setting, in its section of help."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        super().__init__(
            [*declaration.spellings, declaration.name],
            type=_type(declaration),
            is_flag=declaration.type is bool,
            default=declaration.asked_default,
            show_default=declaration.shown_default or None,
            metavar=declaration.metavar,
            help=declaration.shown_help,
        )
        self.section = declaration.group or "Options"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return names and help, without the parentheses that click puts around a default in words."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        names, text = record
        return names, text.replace(f"[default: ({self.show_default})", f"[default: {self.show_default}")


class Names(click.Choice):
    """A choice among names that can change while the program runs, as registries do."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._names())

    @choices.setter
    def choices(self, ignored: Any) -> None:
        """Ignore what click's constructor sets."""


class Bounded(click.ParamType):
    """A number within the bounds of its declaration."""

    def __init__(self, declaration: Declaration) -> None:
        assert declaration.bounds is not None, f"{declaration.name}: declare bounds"
        self._declaration = declaration
        self.low, self.high = declaration.bounds
        self.excluded = declaration.excluded
        self.name = "integer" if declaration.type is int else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number. Raise ConfigurationError if it is outside the bounds."""
        number = (click.INT if self._declaration.type is int else click.FLOAT).convert(value, param, ctx)
        self._declaration.check(number)
        return number


def _type(declaration: Declaration) -> click.ParamType | None:
    """Return the type of an option; None for a flag."""
    if declaration.choices is not None:
        return Names(declaration.names)
    if declaration.path is not None:
        return click.Path(dir_okay=declaration.path == "any")
    if declaration.type is str:
        return click.STRING
    return None if declaration.type is bool else Bounded(declaration)


def long_names(option: click.Option) -> list[str]:
    """Return the long names of an option without dashes, such as k1 for --k1, and the name of its parameter."""
    names = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
    own = (option.name or "").replace("_", "-")
    return names if own in names or option.name == "as_json" else [*names, own]


def variable(command: str, option: str) -> str:
    """Return the environment variable of an option."""
    return f"CHARLM_{command}_{option}".upper().replace("-", "_")
