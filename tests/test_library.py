"""The library: what its docstrings show is true, it is typed, it says what is wrong, and numba comes when it is used."""

import doctest
import importlib
import pkgutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import charlm
from charlm.config.evaluation import DynamicConfig
from charlm.config.keywords import DrawOptions
from charlm.config.sampling import DrawConfig
from charlm.corpus.encoded_text import EncodedText

TEXT = "".join(f"line {i}: the quick brown fox\n" for i in range(200))


def small(**more: Any) -> charlm.Settings:
    """Settings of a small network."""
    return cast(charlm.Settings, {"hidden": 16, "layers": 1, "k1": 8, "streams": 4, "dropout": 0.0, **more})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT)
    return tmp_path


def test_docstrings_show_what_happens(folder: Path) -> None:
    """The package's first, whose model the others use."""
    found = doctest.testmod(charlm)
    assert (found.failed, found.attempted > 8) == (0, True)
    shared = {"charlm": charlm, "model": charlm.load("runs/rain")}
    tried = 0
    for module in pkgutil.walk_packages(charlm.__path__, "charlm."):
        if module.name != "charlm.__main__":
            result = doctest.testmod(importlib.import_module(module.name), extraglobs=shared)
            assert result.failed == 0, module.name
            tried += result.attempted
    assert tried >= 10


def test_keywords_for_drawing_are_the_fields_of_its_configuration() -> None:
    assert DrawOptions.__annotations__ == {field.name: field.type for field in fields(DrawConfig)}


def test_all_that_is_public_is_there_and_documented() -> None:
    assert set(charlm.__all__) == set(charlm._HOMES)
    for name in charlm.__all__:
        value = getattr(charlm, name)
        assert name == "Event" or value.__doc__, name
        assert name in dir(charlm)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = charlm.nonsense
    assert (Path(charlm.__file__).parent / "py.typed").exists()


def test_importing_it_loads_nothing_heavy() -> None:
    script = "import charlm, sys; dir(charlm); charlm.CharlmError; charlm.Progress; charlm.Settings; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numba", "numpy", "tqdm", "click"} & set(loaded)


def test_train_is_what_the_command_does(folder: Path) -> None:
    """The same run bit for bit; the callback hears everything, and can end it."""
    events: list[charlm.Event] = []
    model = charlm.train("corpus.txt", "a", on_event=events.append, threads=1, **small(updates=30))
    command = [
        sys.executable,
        "-m",
        "charlm",
        "train",
        "corpus.txt",
        "--run",
        "b",
        "--updates",
        "30",
        "--hidden",
        "16",
        "--layers",
        "1",
        "--k1",
        "8",
        "--streams",
        "4",
        "--dropout",
        "0",
        "-q",
    ]
    subprocess.run(command, check=True, capture_output=True)
    other = charlm.load("b")
    assert np.array_equal(model.checkpoint.parameters.flat, other.checkpoint.parameters.flat)
    kinds = [type(event).__name__ for event in events]
    assert kinds[0] == "Note"
    assert {"Progress", "Validation"} <= set(kinds)
    assert events[-1] == max((e for e in events if isinstance(e, charlm.Validation)), key=lambda e: e.updates)

    def stop(event: charlm.Event) -> bool:
        return isinstance(event, charlm.Progress) and event.updates >= 10

    charlm.train("corpus.txt", "c", on_event=stop, **small(updates=30))
    made = charlm.load("c/last.npz").checkpoint.progress["updates"]
    assert 10 <= made < 30
    again = charlm.train("corpus.txt", "c", resume=True, **small(updates=30))
    assert np.array_equal(again.checkpoint.parameters.flat, model.checkpoint.parameters.flat)


def test_scores_agree_with_each_other(folder: Path) -> None:
    model = charlm.train("corpus.txt", "a", **small(updates=60, reset="line", direct_order=0))
    lines = TEXT.splitlines(keepends=True)[:30]
    scored = list(model.score(iter(lines)))
    assert [each.line for each in scored] == lines
    assert sum(each.bits for each in scored) == pytest.approx(model.bits("".join(lines)), rel=1e-5)
    carried = list(model.score(lines, reset="never"))
    assert sum(each.bits for each in carried) != pytest.approx(model.bits("".join(lines)), rel=1e-4)
    assert model.bits("") == 0.0
    assert model.bits("fox") == pytest.approx(next(model.score(["fox"])).bits, rel=1e-6)
    vocabulary = model.checkpoint.vocabulary
    text = EncodedText(model.opening, vocabulary.encode(TEXT), vocabulary.id_bytes())
    score = model.score_text(text)
    assert (score.chars, score.bytes, score.unknown) == (len(TEXT), len(TEXT), 0)
    assert score.bits == pytest.approx(score.nats / np.log(2))
    assert model.score_text(text, streams=4).bits == pytest.approx(score.bits, rel=1e-6)
    assert model.dynamic_nats(text, DynamicConfig(learning_rate=0.0)) == pytest.approx(score.nats, rel=1e-6)
    texts = model.samples(5, seed=2)
    assert all(text.ended and text.text.endswith("\n") for text in texts)


def test_mistakes_are_typed_errors_that_say_what_to_do(folder: Path) -> None:
    with pytest.raises(charlm.ConfigurationError, match="setting hiden: no setting has that name; did you mean 'hidden'\\?"):
        charlm.train("corpus.txt", "a", hiden=3)  # type: ignore[call-arg]
    with pytest.raises(charlm.ConfigurationError, match="--k1 0: must be between 1 and 1,000,000,000"):
        charlm.train("corpus.txt", "a", k1=0)
    with pytest.raises(charlm.ConfigurationError, match="at least one file"):
        charlm.train([], "a")
    with pytest.raises(charlm.CorpusError, match="no such file"):
        charlm.train("nowhere.txt", "a")
    with pytest.raises(charlm.CheckpointError, match="no such run"):
        charlm.load("nowhere")
    assert not Path("a").exists()
    model = charlm.train("corpus.txt", "a", **small(updates=1))
    with pytest.raises(charlm.CheckpointError, match="already holds a run") as kept:
        charlm.train("corpus.txt", "a", **small(updates=1))
    charlm.train("corpus.txt", "a", force=True, **small(updates=1))
    assert kept, "an error that is kept, as interactive sessions do, keeps no lock"
    with pytest.raises(charlm.CorpusError, match=r"U\+00E9"):
        model.bits("caf\u00e9")
    with pytest.raises(charlm.ConfigurationError, match="choose from error, escape"):
        model.bits("cafe", unknown="ignore")
    with pytest.raises(charlm.ConfigurationError, match="choose from line, never"):
        next(model.score(["fox"], reset="block"))
    assert [each.unknown for each in model.score(["fox\n", "\u00e9\n"])] == [0, 1]
    scored = model.score(["fox\n", "\u00e9\n"], unknown="error")
    assert next(scored).line == "fox\n"
    with pytest.raises(charlm.CorpusError, match="line 2"):
        next(scored)
