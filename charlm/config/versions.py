"""Versions of a configuration's JSON: convert what an earlier charlm wrote to today's form."""

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError

VERSION = 2

# Version 1 kept the settings of all truncation methods side by side, with zeros for the methods that were not used, and a
# zero for the period of resets if there was none.
_SETTINGS_IN_1 = {
    "artbp": ("mean_length", "tail", "max_length"),
    "adaptive": ("bias_tolerance", "max_k2"),
}


def current(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a configuration in today's form, without its version. Raises ConfigurationError for a later one."""
    found = {name: value for name, value in data.items() if name != "version"}
    version = data.get("version", 1)
    if version not in (1, VERSION):
        raise ConfigurationError(f"version {version} of the settings; this charlm reads versions up to {VERSION}")
    return found if version == VERSION else _from_1(found)


def _from_1(data: dict[str, Any]) -> dict[str, Any]:
    cut = dict(data["truncation"])
    own = {kind: {name: cut.pop(name) for name in names if name in cut} for kind, names in _SETTINGS_IN_1.items()}
    reset = data["reset"]
    return {
        **data,
        "truncation": {**cut, "settings": own.get(cut.get("kind", "newest"), {})},
        "reset": {**reset, "every": reset["every"] or None},
    }
