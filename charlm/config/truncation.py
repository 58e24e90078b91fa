"""The settings of truncated backpropagation: those of every method, and those that one method declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..registry import TRUNCATIONS
from .checks import MOST_STEPS, whole
from .declare import Declared, declarations


@dataclass(frozen=True)
class TruncationConfig(Declared):
    """TBPTT(k1, k2): an update every k1 steps, from which errors go back k2 steps.

    kind: the method's name. memory: MB that a block's activations may take; a longer block is computed in pieces
    (0: no limit). settings: what the method itself declares, as a mapping or as its Settings; its defaults if left out.
    """

    k1: int = 64
    k2: int = 64
    kind: str = "newest"
    memory: int = 0
    settings: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        method = TRUNCATIONS[self.kind]
        whole("k1", self.k1, 1, MOST_STEPS)
        whole("k2", self.k2, 1, MOST_STEPS)
        whole("memory", self.memory, 0, 1_000_000_000)
        if self.settings is None or isinstance(self.settings, Mapping):
            object.__setattr__(self, "settings", method.settings_for(self.k1, dict(self.settings or {})))
        elif not isinstance(self.settings, method.Settings):
            raise TypeError(f"settings of {self.kind} are {method.Settings.__qualname__}, not {type(self.settings)}")
        method.check(self)

    @property
    def label(self) -> str:
        """The method's name with its main settings."""
        return str(TRUNCATIONS[self.kind].label(self))


def methods_by_setting() -> dict[str, list[str]]:
    """Return the names of all settings that truncation methods declare, each with the methods that it belongs to."""
    found: dict[str, list[str]] = {}
    for name, method in TRUNCATIONS.items():
        for each in declarations(method.Settings):
            found.setdefault(each.name, []).append(name)
    return found
