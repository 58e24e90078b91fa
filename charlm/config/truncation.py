"""The settings of truncated backpropagation: those of every method, and those that one method declares."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ..registry import TRUNCATIONS
from .checks import MOST_STEPS, require
from .declare import Declaration, Declared, declarations, setting
from .groups import TRUNCATION

_K1 = 64
_ONCE_K1 = 32  # of a run that reads its corpus a single time


@dataclass(frozen=True)
class TruncationConfig(Declared, group=TRUNCATION):
    """TBPTT(k1, k2): an update every k1 steps, from which errors go back k2 steps.

    kind: the method's name. memory: MB that a block's activations may take; a longer block is computed in pieces
    (0: no limit). settings: what the method itself declares, as a mapping or as its Settings; its defaults if left out.
    """

    k1: int = setting(
        _K1,
        bounds=(1, MOST_STEPS),
        derived=True,
        default_text=f"{_K1}; {_ONCE_K1} with --once",
        help="Steps per update. artbp takes --mean-length instead.",
    )
    k2: int = setting(
        _K1,
        bounds=(1, MOST_STEPS),
        derived=True,
        default_text="k1",
        help="Steps that errors go back from the end of an update's block. adaptive starts with this k2; artbp takes none.",
    )
    kind: str = setting(
        "newest",
        name="truncation",
        choices=TRUNCATIONS,
        help="Which losses an update uses: those of the newest k1 steps (newest) or of the whole window of k2 steps "
        "(window). artbp cuts at random and is unbiased. adaptive is newest with a k2 that it chooses by measurement.",
    )
    memory: int = setting(
        0,
        bounds=(0, 1_000_000_000),
        unit="MB",
        default_text="0, no limit",
        help="Memory for activations. A block that needs more is split, and its forward pass is computed twice. Needs "
        "newest with k2 up to k1, or artbp.",
    )
    settings: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        method = TRUNCATIONS[self.kind]
        if self.settings is None or isinstance(self.settings, Mapping):
            object.__setattr__(self, "settings", method.settings_for(self.k1, dict(self.settings or {})))
        elif not isinstance(self.settings, method.Settings):
            raise TypeError(f"settings of {self.kind} are {method.Settings.__qualname__}, not {type(self.settings)}")
        method.check(self)

    @property
    def label(self) -> str:
        """The method's name with its main settings."""
        return str(TRUNCATIONS[self.kind].label(self))

    @classmethod
    def declared(cls) -> tuple[Declaration, ...]:
        """Return the settings of every method, then those that registered methods declare."""
        return *super().declared(), *(replace(each, derived=True) for each in _of_methods().values())

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return the truncation that the settings ask for. Raises ConfigurationError for settings of another method."""
        kind = given.get("truncation", cls.kind)
        method = TRUNCATIONS[kind]
        known = {each.name: each.attribute for each in declarations(method.Settings)}
        asked = [each for name, each in _of_methods().items() if given.get(name) is not None]
        for each in asked:
            owners = [name for name in TRUNCATIONS if each.name in _own_names(name)]
            require(each.name in known, f"--{each.option} belongs to --truncation {' or '.join(owners)}, not {kind}")
        own = {known[each.name]: given[each.name] for each in asked}
        usual = _ONCE_K1 if given.get("once") else _K1
        k1, k2 = method.k1_and_k2(given.get("k1"), given.get("k2"), own, usual)
        return super().from_settings({**given, "k1": k1, "k2": k2}, settings=own, **more)

    def to_settings(self) -> dict[str, Any]:
        """Return the settings that ask for this truncation; those of other methods are None."""
        found = {**super().to_settings(), **dict.fromkeys(_of_methods()), **self.settings.to_settings()}
        return found if TRUNCATIONS[self.kind].takes_k1 else {**found, "k1": None, "k2": None}


def _own_names(method: str) -> set[str]:
    """Return the names of the settings that one method declares."""
    return {each.name for each in declarations(TRUNCATIONS[method].Settings)}


def _of_methods() -> dict[str, Declaration]:
    """Return the settings that truncation methods declare, by name."""
    return {each.name: each for method in TRUNCATIONS.values() for each in declarations(method.Settings)}
