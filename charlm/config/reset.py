"""The settings of resets: when the state of the network becomes zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from .checks import MOST_STEPS, require
from .declare import Declared, declarations, setting
from .groups import TRUNCATION

_CHOSEN = ("never", "epoch", "block", "line")
_IMPLIED = {"reset_every": "every", "reset_after": "after"}  # policies that follow from a setting of their own
RESETS = (*_CHOSEN, *_IMPLIED.values())


@dataclass(frozen=True)
class ResetConfig(Declared, group=TRUNCATION):
    """When the state is reset to zero. Resets are independent of truncation.

    every: characters between resets, for the policy "every". after: the separator text, for the policy "after".
    """

    policy: str = setting(
        "epoch",
        name="reset",
        choices=_CHOSEN,
        implied=tuple(_IMPLIED.values()),
        derived=True,
        default_text="epoch",
        help="Reset the whole state to zero at the start of each epoch, at each block of k1 steps, at each line end, or "
        "never.",
    )
    every: int | None = setting(
        None, name="reset_every", bounds=(1, MOST_STEPS), help="Reset the state every N characters of a stream instead."
    )
    after: str = setting(
        "", name="reset_after", derived=True, unit="TEXT", help="Reset the state after each occurrence of TEXT instead."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.policy != "every" or self.every is not None, "--reset-every: give the number of characters")
        require(self.policy != "after" or self.after != "", "--reset-after: the separator text is empty")

    @property
    def separator(self) -> str:
        """The text that ends a sequence of its own; empty for policies without one."""
        return {"line": "\n", "after": self.after}.get(self.policy, "")

    @classmethod
    def from_settings(cls, given: Mapping[str, Any], **more: Any) -> Self:
        """Return the resets that the settings ask for. Raises ConfigurationError for more than one policy."""
        asked = [each for each in declarations(cls) if given.get(each.name) is not None]
        require(len(asked) < 2, f"{' and '.join(f'--{each.option}' for each in asked)}: give one of them")
        policy = next((_IMPLIED[each.name] for each in asked if each.name in _IMPLIED), given.get("reset"))
        return super().from_settings({**given, "reset": policy}, **more)

    def to_settings(self) -> dict[str, Any]:
        """Return the one setting that asks for these resets; the others are None."""
        asked = {"reset": self.policy, "reset_every": self.every, "reset_after": self.after}
        source = {policy: name for name, policy in _IMPLIED.items()}.get(self.policy, "reset")
        return {name: value if name == source else None for name, value in asked.items()}
