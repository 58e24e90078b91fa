"""Checkpoints of earlier formats: what they were written for, this charlm does with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.storage.checkpoint import load

from ..cli.conftest import Result

Run = Callable[..., Result]
HERE = Path(__file__).parent
RUNS = {"lstm": (437, 480), "gru": (213, 250)}  # the update each was stopped at, and its last one

# The numbers depend on the width of the processor's vectors, since sums are made in another order, and the charlm that
# wrote these files cannot be asked again on this machine. Where the width is the same the end is the same, bit for bit.
TOLERANCE = 1e-4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the corpus and both runs."""
    for name in ("corpus.txt", *RUNS):
        (shutil.copytree if name in RUNS else shutil.copy)(HERE / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def metrics(path: Path) -> list[dict[str, Any]]:
    """The lines, without clocks, and without samples: one character drawn otherwise makes all that follow others."""
    lines = map(json.loads, path.read_text().splitlines())
    return [{name: value for name, value in line.items() if name not in ("seconds", "sample")} for line in lines]


def numbers(value: Any) -> list[float]:
    """All numbers in a JSON value, in order."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return [float(value)] if inner is None else [number for each in inner for number in numbers(each)]


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_resumed_to_its_undisturbed_end(
    name: str,
    folder: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 400)
    result = run("train", "corpus.txt", "--run", name, "--resume", "--json", "-q")
    assert result.code == 0, result.err
    assert json.loads(result.out)["updates"] == RUNS[name][1]
    found = load(Path(name) / "last.npz").parameters.state_dict()
    with np.load(Path(name) / "end.npz") as expected:
        assert {f"param/{parameter}" for parameter in found} == set(expected.files)
        for parameter, array in found.items():
            np.testing.assert_allclose(array, expected[f"param/{parameter}"], TOLERANCE, TOLERANCE, err_msg=parameter)
    lines, end = metrics(Path(name) / "metrics.jsonl"), metrics(Path(name) / "end.jsonl")
    assert [line.keys() for line in lines] == [line.keys() for line in end]
    np.testing.assert_allclose(numbers(lines), numbers(end), 10 * TOLERANCE, TOLERANCE)
    with np.load(Path(name) / "last.npz") as file:
        assert json.loads(str(file["meta"]))["format"] == 2
        assert "state/optimizer/slots" in file.files


@pytest.mark.parametrize("file", ["last.npz", "best.npz"])
@pytest.mark.parametrize("name", RUNS)
def test_a_model_is_used(name: str, file: str, folder: Path, run: Run) -> None:
    shown = json.loads(run("info", Path(name) / file, "--json").out)
    assert shown.keys() == {"file", "parameters", "format", "config", "vocabulary", "progress"}
    assert (shown["format"], shown["config"]["model"]["cell"]) == (1, name)
    assert shown["progress"].keys() >= {"updates", "epochs", "seconds", "val_nats", "corpus_digest"}
    assert "made in" in run("info", Path(name) / file).out
    found = json.loads(run("eval", Path(name) / file, "--json", "-q").out)
    assert found["nats_per_char"] == pytest.approx(shown["progress"]["val_nats"], rel=0.02 if file == "best.npz" else 0.2)
    assert run("sample", Path(name) / file, "-n", 20, "--prime", "1 red", "-q").out.startswith("1 red")
    assert run("train", "corpus.txt", "--init-from", Path(name) / file, "--updates", 1, "-q", "--run", "new").code == 0


@pytest.mark.parametrize("name", RUNS)
def test_a_checkpoint_without_state_is_not_resumed(name: str, folder: Path, run: Run) -> None:
    shutil.copy(Path(name) / "best.npz", Path(name) / "last.npz")
    result = run("train", "corpus.txt", "--run", name, "--resume")
    assert result.code == 1
    assert f"{name}/last.npz: cannot be resumed: state/optimizer/slots: expected float32 (" in result.err
    assert "found nothing" in result.err


@pytest.mark.parametrize(
    ("name", "value", "leaf"),
    [
        ("step", 10**9, "trainer/step"),
        ("updates", 1 << 70, "trainer/updates"),
        ("k2", 0, "truncation/k2"),
        ("k2", 11, "truncation/k2"),
        ("schedule", 3, "schedule/factor"),
        ("schedule", ["x", 0], "schedule/factor"),
        ("coded", None, "trainer/chars"),
        ("validations", [1], "trainer/validations"),
        ("journal", {}, "metrics_log/tally/nats"),
        ("journal", [], "metrics_log/tally/nats"),
        ("rollbacks", 1.5, "trainer/rollbacks"),
    ],
)
def test_progress_that_cannot_be_is_not_resumed(name: str, value: Any, leaf: str, folder: Path, run: Run) -> None:
    with np.load("gru/last.npz") as file:
        arrays = dict(file)
    meta = json.loads(str(arrays.pop("meta")))
    meta["progress"][name] = value
    np.savez("gru/last.npz", meta=np.array(json.dumps(meta)), **arrays)
    result = run("train", "corpus.txt", "--run", "gru", "--resume", "-q")
    assert (result.code, result.out) == (1, "")
    assert f"gru/last.npz: cannot be resumed: state/{leaf}: expected " in result.err
