"""Settings declared once: default, bounds, choices, unit, help text and group, as a field of a frozen dataclass.

Options, their help, the keys of TOML files, the library's keywords, the checks of values and the reference page are all
made from the declarations.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Self, TypedDict, Unpack

from .checks import between, choice, require, whole

_KEY = "setting"
Words = str | Callable[[], str]  # a text, or a function that returns it, for what depends on a registry


class Facts(TypedDict, total=False):
    """Facts about a setting that may be left out.

    name: of the option and the keyword, if it is not the field's. spelled: the option's spellings, if they are not the
    name with dashes. group: the section of help, if it is not the class's. unit: the metavar in help. bounds, excluded: of
    a number, and the ends that are not allowed. choices: the allowed texts, or a function that returns them. implied: more
    texts, which follow from other settings and cannot be asked for. path: the text names a file, or any path.
    may_be_empty: of a text. default_text: how help shows the default. once: the default with --once, a number, if it is
    another. derived: the default depends on other settings or on the text, so that None may be asked for and means "not
    given". internal: no option and no keyword.

    The metavar is N for a whole number and X for another number, unless unit says otherwise.
    """

    name: str
    spelled: tuple[str, ...]
    group: str
    unit: str
    bounds: tuple[float, float]
    excluded: tuple[float, ...]
    choices: Iterable[str] | Callable[[], Iterable[str]]
    implied: tuple[str, ...]
    path: Literal["file", "any"]
    may_be_empty: bool
    default_text: Words
    once: float
    derived: bool
    internal: bool


@dataclass(frozen=True)
class Declaration:
    """All facts about one setting; see Facts. attribute: the field. optional: whether it may be None."""

    attribute: str
    type: type
    optional: bool
    default: Any
    help: Words
    name: str
    group: str
    spelled: tuple[str, ...] = ()
    unit: str | None = None
    bounds: tuple[float, float] | None = None
    excluded: tuple[float, ...] = ()
    choices: Iterable[str] | Callable[[], Iterable[str]] | None = field(default=None, hash=False)
    implied: tuple[str, ...] = ()
    path: Literal["file", "any"] | None = None
    may_be_empty: bool = False
    default_text: Words = ""
    once: float | None = None
    derived: bool = False
    internal: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """The spellings of the option."""
        return self.spelled or ("--" + self.name.replace("_", "-"),)

    @property
    def option(self) -> str:
        """The first long spelling of the option, without dashes."""
        return next(each for each in self.spellings if each.startswith("--"))[2:]

    @property
    def asked_default(self) -> Any:
        """The value of the option and the keyword if it is not given."""
        return None if self.derived else self.default

    @property
    def metavar(self) -> str | None:
        """The name of the value in help; None leaves it to click (flags, choices, paths, texts)."""
        numbers = {int: "N", float: "X"} if self.choices is None else {}
        return self.unit or numbers.get(self.type)

    @property
    def shown_help(self) -> str:
        """The help text."""
        return _said(self.help)

    @property
    def shown_default(self) -> str:
        """The default as help shows it; empty for none, an empty text and a flag."""
        if self.default_text or self.default is None or self.type is bool:
            shown = _said(self.default_text)
        else:
            shown = f"{self.default:g}" if isinstance(self.default, float) else str(self.default)
        once = "" if self.once is None else f"{self.once:g} with --once"
        return "; ".join(each for each in (shown, once) if each)

    @property
    def annotation(self) -> str:
        """The type of the keyword as source text."""
        return self.type.__name__ + (" | None" if self.optional or self.derived else "")

    def names(self) -> tuple[str, ...]:
        """Return the texts that can be chosen; empty if any text can."""
        return tuple((self.choices() if callable(self.choices) else self.choices) or ())

    def check(self, value: Any) -> None:
        """Raise ConfigurationError for a value of another type, outside the bounds or not among the choices."""
        if value is None and self.optional:
            return
        if self.choices is not None:
            if value not in self.implied:
                choice(self.option, value, self.names())
        elif self.type is str:
            require(isinstance(value, str), f"--{self.option} {value}: must be a text")
        elif self.type is bool:
            require(isinstance(value, bool), f"--{self.option} {value}: must be true or false")
        elif self.bounds is not None and self.type is int:
            whole(self.option, value, int(self.bounds[0]), int(self.bounds[1]))
        elif self.bounds is not None:
            between(self.option, value, *self.bounds, self.excluded)


def _said(words: Words) -> str:
    return words() if callable(words) else words


def setting(default: Any, *, help: Words, **facts: Unpack[Facts]) -> Any:
    """Declare a setting: a dataclass field with all that is known about it. See Facts."""
    return field(default=default, metadata={_KEY: {"help": help, **facts}})


@dataclass(frozen=True)
class Declared:
    """A base of dataclasses of settings, which are checked against their declarations when they are made.

    group: the section of help for the settings of the class. A field whose type is Declared is a part; its settings are
    asked for side by side with the others.
    """

    _group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        cls._group = group or cls._group

    def __post_init__(self) -> None:
        for each in declarations(type(self)):
            each.check(getattr(self, each.attribute))

    @classmethod
    def declared(cls) -> tuple[Declaration, ...]:
        """Return the settings that can be asked for, those of parts included, in the order of the fields."""
        own = {each.attribute: (each,) for each in declarations(cls) if not each.internal}
        inner = {name: part.declared() for name, part in parts(cls).items()}
        return tuple(found for each in fields(cls) for found in {**own, **inner}.get(each.name, ()))

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return an object made from settings by name. Other names are ignored; what is not given has its default.

        more: values of fields that are no settings. Raises ConfigurationError.
        """
        values = {name: part.from_settings(given) for name, part in parts(cls).items()}
        for each in declarations(cls):
            if each.name in given and not (each.derived and given[each.name] is None):
                values[each.attribute] = given[each.name]
        return cls(**values, **more)

    def to_settings(self) -> dict[str, Any]:
        """Return the settings by name from which `from_settings` makes an equal object."""
        found = {each.name: getattr(self, each.attribute) for each in declarations(type(self)) if not each.internal}
        for name in parts(type(self)):
            found |= getattr(self, name).to_settings()
        return found


def declarations(cls: type) -> tuple[Declaration, ...]:
    """Return the settings that the fields of a class declare, without those of parts."""
    return _fields_of(cls)[0]


def parts(cls: type) -> dict[str, type[Declared]]:
    """Return the fields of a class that are made of settings themselves."""
    return _fields_of(cls)[1]


@functools.cache
def _fields_of(cls: Any) -> tuple[tuple[Declaration, ...], dict[str, type[Declared]]]:
    """Return the declarations and the parts among the fields of a class. A field of neither kind is not a setting."""
    hints = typing.get_type_hints(cls)
    settings: list[Declaration] = []
    inner: dict[str, type[Declared]] = {}
    for each in fields(cls):
        hint = hints[each.name]
        if _KEY in each.metadata:
            kinds = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
            (plain,) = [kind for kind in kinds if kind is not NoneType]
            facts = {"name": each.name, "group": cls._group, **each.metadata[_KEY]}
            settings.append(Declaration(each.name, plain, NoneType in kinds, each.default, **facts))
        elif isinstance(hint, type) and issubclass(hint, Declared):
            inner[each.name] = hint
    return tuple(settings), inner
