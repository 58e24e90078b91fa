"""State as one tree: nested dictionaries whose leaves are arrays or JSON values.

Everything that remembers something has `state_dict()`, which returns its part of the tree, and `load_state_dict(state)`,
which takes it back. What is loaded may come from a file that anybody wrote, so each leaf is taken out with one of the
functions below: it raises LeafError, which names the leaf, what was expected and what was found.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .errors import CheckpointError
from .lazy import np

if TYPE_CHECKING:
    import numpy.typing as npt

StateDict = dict[str, Any]
_MOST = 1 << 62  # of a count: int64 holds it, and sums of two


class Stateful(Protocol):
    """An object that remembers something."""

    def state_dict(self) -> StateDict:
        """Return what it remembers."""
        ...

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        ...


class LeafError(CheckpointError):
    """A leaf of a state tree that is missing, or not what it should be."""

    def __init__(self, leaf: str, expected: str, found: str) -> None:
        """leaf: its path, such as "optimizer/slots"."""
        super().__init__(leaf, expected, found)
        self.leaf, self.expected, self.found = leaf, expected, found

    def __str__(self) -> str:
        return f"{self.leaf}: expected {self.expected}, found {self.found}"

    def under(self, branch: str) -> LeafError:
        """Return the same error for a tree that has this one as a branch."""
        return LeafError(f"{branch}/{self.leaf}", self.expected, self.found)


def gather_state(parts: Mapping[str, Stateful]) -> StateDict:
    """Return the tree with one branch for each part."""
    return {name: part.state_dict() for name, part in parts.items()}


def load_state(parts: Mapping[str, Stateful], state: StateDict) -> None:
    """Hand each part its branch, in the parts' order. Raises LeafError."""
    for name, part in parts.items():
        branch = take_branch(state, name)
        try:
            part.load_state_dict(branch)
        except LeafError as error:
            raise error.under(name) from None


def take(state: StateDict, name: str, expected: str, fits: Callable[[Any], bool]) -> Any:
    """Return the leaf of this name. Raises LeafError unless it is there and fits; expected: says in words what does."""
    if name not in state:
        raise LeafError(name, expected, "nothing")
    if not fits(state[name]):
        raise LeafError(name, expected, describe(state[name]))
    return state[name]


def take_branch(state: StateDict, name: str) -> StateDict:
    """Return a branch; one without leaves may be missing."""
    found = state.get(name, {})
    if not isinstance(found, dict):
        raise LeafError(name, "named leaves", describe(found))
    return found


def take_array(state: StateDict, name: str, shape: tuple[int, ...], dtype: npt.DTypeLike = "float32") -> np.ndarray:
    """Return an array of this shape and type whose numbers are all finite."""
    kind = np.dtype(dtype)
    array = take(
        state,
        name,
        f"{kind} {shape}",
        lambda found: isinstance(found, np.ndarray) and (found.shape, found.dtype) == (shape, kind),
    )
    if kind.kind == "f" and not np.isfinite(array).all():
        raise LeafError(name, "finite numbers", f"{array[~np.isfinite(array)][0]}; the file is damaged")
    return array


def take_count(state: StateDict, name: str, least: int = 0, most: int = _MOST) -> int:
    """Return a whole number within bounds."""
    bounds = f"from {least:,} to {most:,}" if most < _MOST else f"of {least:,} or more"
    return int(take(state, name, f"a whole number {bounds}", lambda found: _is_whole(found) and least <= found <= most))


def take_number(state: StateDict, name: str, missing: float | None = None) -> float:
    """Return a finite number. missing: what null stands for, if it is allowed."""
    expected = "a finite number" if missing is None else "a finite number or null"
    found = take(state, name, expected, lambda found: _is_number(found) or (found is None and missing is not None))
    return float(found) if found is not None or missing is None else missing


def take_list(state: StateDict, name: str, kind: type, expected: str) -> list[Any]:
    """Return a list of items of one kind; expected: says in words what it holds."""
    fits = {float: _is_number, int: _is_whole}.get(kind, lambda item: isinstance(item, kind))
    found = take(state, name, f"a list of {expected}", lambda found: isinstance(found, list) and all(map(fits, found)))
    return list(found)


def describe(value: Any) -> str:
    """Return a leaf's kind, or its value in a few words."""
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else reprlib.repr(value)


def split(tree: StateDict) -> tuple[StateDict, dict[str, np.ndarray]]:
    """Return the tree without its arrays, and the arrays by their paths, such as "optimizer/slots"."""
    values: StateDict = {}
    arrays: dict[str, np.ndarray] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            values[name], below = split(value)
            arrays |= {f"{name}/{path}": array for path, array in below.items()}
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            values[name] = value
    return values, arrays


def join(values: StateDict, arrays: Mapping[str, np.ndarray]) -> StateDict:
    """Put arrays into the tree that `split` took them from, and return it. Raises LeafError for one without a place."""
    for path, array in arrays.items():
        *branches, name = path.split("/")
        place = values
        for depth, branch in enumerate(branches):
            place = place.setdefault(branch, {})
            if not isinstance(place, dict):
                raise LeafError("/".join(branches[: depth + 1]), "named leaves", describe(place))
        if name in place:
            raise LeafError(path, "one leaf", "several")
        place[name] = array
    return values


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e300 < value < 1e300 and math.isfinite(value)
