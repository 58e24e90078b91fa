"""The present format: every leaf under its path, and no array that is not the one that was written."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.errors import CheckpointError
from charlm.storage.checkpoint import load, load_meta
from charlm.storage.npz import read_archive
from charlm.tree import LeafError, join, split, take_array, take_count, take_list, take_number

from ..cli.conftest import SMALL, Result

Run = Callable[..., Result]


@pytest.fixture
def last(run: Run, corpus: Path) -> Path:
    """last.npz of a small run with two layers of the same shapes."""
    assert run("train", "corpus.txt", *SMALL[:-2], "--layers", 3, "--updates", 5, "-q", "--run", "r").code == 0
    return Path("r/last.npz")


def write(path: Path, entries: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in entries.items():
            file.writestr(name, data)


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_leaves_have_their_paths(last: Path, run: Run) -> None:
    with np.load(last, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        assert {name for name in file.files if not name.startswith("param/")} == {
            "meta",
            "state/optimizer/slots",
            "state/metrics_log/norms",
            "state/network/state_h",
            "state/network/state_c",
        } | {name for name in file.files if name.startswith("state/network/window_")}
        assert meta["arrays"].keys() == set(file.files) - {"meta"}
        assert file["state/network/state_h"].shape[:2] == (3, 6), "layers, streams"
    assert meta.keys() == {"format", "config", "vocabulary", "progress", "state", "arrays"}
    assert meta["format"] == 2
    assert meta["state"].keys() >= {"trainer", "schedule", "truncation", "metrics_log", "diagnostics"}
    assert meta["state"]["trainer"]["updates"] == meta["progress"]["updates"] == 5
    assert {*load_meta(last)._fields} == {"format", "config", "vocabulary", "progress", "parameters"}
    assert json.loads(run("info", last, "--json").out).keys() >= {"format", "config", "vocabulary", "progress"}


def test_arrays_that_are_not_those_that_were_written_are_noticed(last: Path) -> None:
    """Each with a checksum of zip's that is right."""
    good = entries_of(last)
    one, two = "param/rnn.weight_hh_l1.npy", "param/rnn.weight_hh_l2.npy"
    slots = "state/optimizer/slots.npy"
    for changed, message in (
        ({**good, one: good[two], two: good[one]}, "param/rnn.weight_hh_l1: expected checksum "),
        ({**good, one: good[two]}, "param/rnn.weight_hh_l1: expected checksum "),
        ({name: data for name, data in good.items() if name != slots}, "state/optimizer/slots: expected checksum "),
        ({**good, "param/more.npy": good[one]}, "param/more: expected no such array, found checksum "),
        ({name.replace("slots", "slits"): data for name, data in good.items()}, "state/optimizer/slits: expected no such"),
    ):
        write(last, changed)
        for read in (load, load_meta):
            with pytest.raises(CheckpointError, match="the file was changed after it was written") as caught:
                read(last)
            assert f"{last}: {message}" in str(caught.value)
    write(last, good)
    assert load(last).state["trainer"]["updates"] == 5


def test_arrays_of_another_checkpoint_of_the_same_run_are_noticed(last: Path, run: Run) -> None:
    shutil.copy(last, "before.npz")
    assert run("train", "corpus.txt", "--run", "r", "--resume", "--updates", 6, "-q").code == 0
    write(last, {**entries_of(last), "param/out.bias.npy": entries_of(Path("before.npz"))["param/out.bias.npy"]})
    with pytest.raises(CheckpointError, match=r"param/out.bias: expected checksum [0-9a-f]{8}, found checksum"):
        load(last)


def test_what_is_written_is_what_numpy_writes(last: Path) -> None:
    archive = read_archive(last)
    np.savez("again.npz", **archive.arrays)  # type: ignore[arg-type]
    assert entries_of(Path("again.npz")) == entries_of(last)


def test_a_tree_is_taken_apart_and_put_together() -> None:
    tree = {"a": {"b": np.arange(3), "c": 1.5, "d": {"e": np.zeros(2)}}, "f": [1, 2], "g": {}}
    values, arrays = split(tree)
    assert values == {"a": {"c": 1.5, "d": {}}, "f": [1, 2], "g": {}}
    assert arrays.keys() == {"a/b", "a/d/e"}
    assert json.loads(json.dumps(values)) == values
    again = join(values, arrays)
    assert again["a"]["d"]["e"] is tree["a"]["d"]["e"]  # type: ignore[index]
    assert split(again)[1].keys() == arrays.keys()
    for path in ("a/c", "a/c/x", "f/x"):
        with pytest.raises(LeafError):
            join(values, {path: np.zeros(1)})


def test_errors_name_the_leaf_what_was_expected_and_what_was_found() -> None:
    state = {"n": -1, "x": None, "t": True, "l": [1, "a"], "a": np.zeros((2, 3)), "nan": np.full(3, np.nan, np.float32)}
    for attempt, message in (
        (lambda: take_count(state, "n"), "n: expected a whole number of 0 or more, found -1"),
        (lambda: take_count(state, "n", 1, 5), "n: expected a whole number from 1 to 5, found -1"),
        (lambda: take_count(state, "t"), "t: expected a whole number of 0 or more, found True"),
        (lambda: take_count(state, "no"), "no: expected a whole number of 0 or more, found nothing"),
        (lambda: take_number(state, "x"), "x: expected a finite number, found None"),
        (lambda: take_number(state, "l", 0.0), "l: expected a finite number or null, found [1, 'a']"),
        (lambda: take_list(state, "l", str, "lines"), "l: expected a list of lines, found [1, 'a']"),
        (lambda: take_array(state, "a", (3, 2)), "a: expected float32 (3, 2), found float64 (2, 3)"),
        (lambda: take_array(state, "n", (3, 2)), "n: expected float32 (3, 2), found -1"),
        (lambda: take_array(state, "nan", (3,)), "nan: expected finite numbers, found nan; the file is damaged"),
    ):
        with pytest.raises(LeafError) as caught:
            attempt()
        assert str(caught.value) == message
        assert str(pickle.loads(pickle.dumps(caught.value))) == message
        assert str(caught.value.under("top")) == f"top/{message}"
