"""Runs that begin with another run's parameters, and runs that were imported."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.storage.checkpoint import load
from charlm.storage.run_directory import find_run, runs

from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]


def train(run: Run, *more: object) -> Result:
    result = run(
        "train", "corpus.txt", "--streams", 6, "--k1", 8, "--dropout", 0, "--direct-order", 0, "--updates", 30, *more
    )
    assert result.code == 0, result.err
    return result


@pytest.mark.parametrize(
    "shape",
    [
        ("--hidden", 12, "--layers", 3, "--residual", "--layer-norm"),
        ("--cell", "gru", "--hidden", 9, "--layers", 1),
        ("--cell", "rnn", "--activation", "relu", "--hidden", 10),
    ],
    ids=str,
)
def test_the_shape_is_the_other_runs(run: Run, corpus: Path, shape: tuple[object, ...]) -> None:
    train(run, *shape)
    Path("more.txt").write_text(TEXT + "éü", encoding="utf-8")
    result = run("train", "more.txt", "--updates", 0, "--val-fraction", 0, "--init-from", "runs/corpus")
    assert result.code == 0, result.err
    known = len(set(TEXT))
    assert (
        f"parameters of runs/corpus/best.npz: {known} of {known + 2} characters are known there; new, so with drawn values: "
        "'éü'" in result.err
    )
    theirs, ours = (load(Path("runs") / name).config.model for name in ("corpus/best.npz", "more/last.npz"))
    for name in ("cell", "activation", "hidden", "layers", "residual", "layer_norm"):
        assert getattr(ours, name) == getattr(theirs, name)
    same = run("train", "more.txt", "--updates", 0, "--init-from", "runs/corpus", "--run", "x", *shape)
    assert same.code == 0, "it may be repeated"
    whole = run("train", "corpus.txt", "--updates", 0, "--init-from", "runs/corpus", "--run", "y")
    assert f"{known} of {known} characters are known there\n" in whole.err


def test_another_shape_is_refused(run: Run, corpus: Path) -> None:
    train(run, *SMALL[:4])
    for option, message in (
        (("--hidden", 32), "--hidden 32: the model of runs/corpus/best.npz has --hidden 24"),
        (("--cell", "gru"), "--cell gru: the model of runs/corpus/best.npz has --cell lstm"),
        (("--residual",), "--residual: the model of runs/corpus/best.npz has no --residual"),
    ):
        result = run("train", "corpus.txt", "--init-from", "runs/corpus", "--run", "x", *option)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert "ModelConfig" not in result.err
    result = run("train", "corpus.txt", "--init-from", "runs/corpus", "--run", "x", "--bytes")
    assert (result.code, "its model reads characters, this run bytes: leave --bytes out" in result.err) == (1, True)
    train(run, *SMALL[:4], "--bytes", "--run", "b")
    result = run("train", "corpus.txt", "--init-from", "b", "--run", "x")
    assert (result.code, "its model reads bytes, this run characters: give --bytes" in result.err) == (1, True)
    assert not Path("x").exists()


def test_an_imported_run_is_a_run(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has only a best.npz, and is found wherever runs are."""
    train(run, *SMALL[:4])
    assert run("export", "runs/corpus", "m.safetensors").code == 0
    assert run("import", "m.safetensors", "--run", "runs/imported").code == 0
    assert sorted(path.name for path in Path("runs/imported").iterdir()) == ["best.npz"]
    assert set(map(str, runs())) == {"runs/corpus", "runs/imported"}
    assert find_run(None) == Path("runs/imported"), "the newest"
    assert "imported" in run("info").out
    assert run("sample", "-n", 5, "--seed", 1).out == run("sample", "runs/imported", "-n", 5, "--seed", 1).out
    result = run("eval", "corpus.txt", "--json")
    assert json.loads(result.out)["chars"] == len(TEXT)
    Path("runs/empty").mkdir()
    assert set(map(str, runs())) == {"runs/corpus", "runs/imported"}
