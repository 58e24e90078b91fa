"""charlm export and import as a user runs them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import SMALL, Result

Run = Callable[..., Result]


@pytest.fixture
def trained(run: Run, corpus: Path) -> Path:
    assert run("train", "corpus.txt", *SMALL, "--updates", 20, "-q").code == 0
    return corpus


def test_a_model_goes_out_and_comes_back(run: Run, trained: Path) -> None:
    result = run("export", "runs/corpus", "m.safetensors")
    assert result.code == 0, result.err
    assert result.out.startswith("m.safetensors: ")
    arrays = load_file("m.safetensors")
    saved = np.load("runs/corpus/best.npz", allow_pickle=False)
    assert {f"param/{name}" for name in arrays} == {name for name in saved.files if name.startswith("param/")}
    assert all(np.array_equal(array, saved[f"param/{name}"]) for name, array in arrays.items())
    assert run("import", "m.safetensors", "--run", "runs/back").code == 0
    for command in (("eval", "{}", "corpus.txt"), ("sample", "{}", "-n", 50, "--seed", 1)):
        one, other = (run(*(str(a).format(name) for a in command)).out for name in ("runs/corpus", "runs/back"))
        assert one == other
    assert run("import", "m.safetensors", "--run", "runs/back").code == 1
    assert run("import", "m.safetensors", "--run", "runs/back", "--force").code == 0


def test_a_foreign_model_becomes_a_run_that_can_be_trained_on(run: Run, trained: Path) -> None:
    known = json.loads(run("info", "--json").out)["vocabulary"]
    assert run("export", "runs/corpus", "m.safetensors").code == 0
    save_file(
        {name.replace("rnn.", "lstm.").replace("out.", "fc."): a for name, a in load_file("m.safetensors").items()},
        "f.safetensors",
    )
    unnamed = run("import", "f.safetensors")
    assert unnamed.code == 2
    assert "--vocabulary" in unnamed.err
    Path("known.json").write_text(json.dumps({character: i for i, character in enumerate(known)}))
    result = run("import", "f.safetensors", "--vocabulary", "known.json", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["run"] == "runs/f"
    assert run("eval", "runs/f", "corpus.txt").out == run("eval", "runs/corpus", "corpus.txt").out
    label = run("info", "runs/f").out
    assert "made from   an imported model\nmade by     unknown\nmade in     unknown\n" in label
    assert "has no text of its own: name a text to evaluate" in run("eval", "runs/f").err
    more = run("train", "corpus.txt", *SMALL, "--updates", 5, "--init-from", "runs/f", "--run", "runs/more", "-q")
    assert more.code == 0, more.err


def test_wrong_usage_and_bad_files(run: Run, trained: Path) -> None:
    Path("bad.safetensors").write_bytes(b"nothing")
    for arguments, code, message in (
        (("export", "runs/corpus", "m.pt"), 2, "ends in .safetensors or .onnx"),
        (("export", "nowhere", "m.onnx"), 1, "no such run"),
        (("export", "runs/corpus", "nowhere/m.safetensors"), 2, "there is no directory"),
        (("import", "bad.safetensors"), 1, "not a readable safetensors file"),
        (("import", "gone.safetensors", "--bytes"), 1, "no such file"),
        (("import", "bad.safetensors", "--bytes", "--vocabulary", "x"), 2, "give one of them"),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (code, ""), arguments
        assert message in result.err
    assert not Path("runs/bad").exists()


def test_a_missing_package_is_named_with_what_installs_it(run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments, extra in (
        (("export", "runs/corpus", "m.onnx"), "onnx"),
        (("export", "runs/corpus", "m.safetensors"), "safetensors"),
        (("import", "m.safetensors"), "safetensors"),
        (("plot",), "plot"),
        (("plot", "-o", "x.svg"), "plot"),
        (("train", "corpus.txt", "--tensorboard", "--force"), "tensorboard"),
        (("lags", "-o", "x.svg"), "plot"),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (1, ""), arguments
        assert f"pip install 'charlm[{extra}]'" in result.err
