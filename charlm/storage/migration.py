"""Checkpoints of earlier formats, turned into the present one. Only this module knows how they were laid out.

A new format needs a function that makes it of the one before, and a line in _STEPS.
"""

from typing import Any

import numpy as np

FORMAT = 2  # the one that is written
_Contents = tuple[dict[str, Any], dict[str, np.ndarray]]  # meta data and arrays by name, as in checkpoint.py

# Format 1: where the values of a list go, and what was kept in the progress although nobody but the trainer reads it.
_TALLY = ("nats", "chars", "steps", "updates", "clipped", "longest")
_VALIDATIONS = ("validations", "worse", "validated_at")
_PLACE = ("epoch", "step", "epoch_base", "timed_chars", "rollbacks", "sampled")
_INTERNAL = (*_PLACE, "coded", "validations", "journal", "schedule")


def readable(number: Any) -> bool:
    """Return whether this version reads a format."""
    return type(number) is int and (number == FORMAT or number in _STEPS)


def upgrade(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> _Contents:
    """Return meta data and arrays as the present format has them; meta["format"] stays the file's own.

    Values that are missing or of another kind stay so, and are refused by whoever needs them.
    """
    for number in range(meta["format"], FORMAT):
        meta, arrays = _STEPS[number](meta, arrays)
    return meta, arrays


def _from_1(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> _Contents:
    """Move state out of the progress, and arrays from resume/ into the tree."""
    progress, config = meta.get("progress"), meta.get("config")
    if not isinstance(progress, dict) or not isinstance(config, dict):
        return {**meta, "state": {}}, arrays
    journal = progress.get("journal")
    journal = journal if isinstance(journal, dict) else {}
    state = {
        "trainer": {
            "sampled": 0,  # early files lack it
            **_picked(progress, *_PLACE, "updates", "seconds", "val_nats", "best_val_nats"),
            **_named(_VALIDATIONS, progress.get("validations")),
            **_named(("chars", "nats"), progress.get("coded")),
        },
        "schedule": _named(("factor", "stale"), progress.get("schedule")),
        "truncation": _picked(progress, "k2") if _chooses_k2(config) else {},
        "metrics_log": _metrics_log(journal),
        "metrics_file": _picked(journal, "lines", "waiting"),
        "diagnostics": {"norms": [], "told": []},  # was not kept
    }
    kept = {name: value for name, value in progress.items() if name not in _INTERNAL}
    moved = {_moved(name): _by_stream(name, array, config.get("streams")) for name, array in arrays.items()}
    moved["state/metrics_log/norms"] = np.zeros(0)  # was not kept
    return {**meta, "progress": kept, "state": state}, moved


def _chooses_k2(config: dict[str, Any]) -> bool:
    """Return whether k2 was state; it was kept for all truncation methods."""
    truncation = config.get("truncation")
    return isinstance(truncation, dict) and truncation.get("kind") == "adaptive"


def _metrics_log(journal: dict[str, Any]) -> dict[str, Any]:
    return {
        **_picked(journal, "complete_nats", "longest"),
        "tally": _named(_TALLY, journal.get("tally")),
        "unvalidated": _named(("nats", "chars"), journal.get("unvalidated", [0.0, 0])),  # early files lack it
    }


def _moved(name: str) -> str:
    """Return an array's present name."""
    if name == "resume/optimizer":
        return "state/optimizer/slots"
    return name.replace("resume/", "state/network/", 1) if name.startswith("resume/") else name


def _by_stream(name: str, array: np.ndarray, streams: Any) -> np.ndarray:
    """Return what the network carried with an axis for the streams: its rows were steps or layers times streams."""
    carried = name.startswith("resume/") and name != "resume/optimizer" and array.ndim > 1
    if not carried or type(streams) is not int or streams < 1 or array.shape[-2] % streams:
        return array
    return array.reshape(*array.shape[:-2], array.shape[-2] // streams, streams, array.shape[-1])


def _picked(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return those of the values that are there."""
    return {name: values[name] for name in names if name in values}


def _named(names: tuple[str, ...], values: Any) -> dict[str, Any]:
    """Return a list's values by names; none of what is no list of that length."""
    return dict(zip(names, values, strict=True)) if isinstance(values, list) and len(values) == len(names) else {}


_STEPS = {1: _from_1}
