"""charlm plot, and TensorBoard's event files."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL, Result

Run = Callable[..., Result]


@pytest.fixture
def runs(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs, a and b."""
    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 600)
    for name, cell in (("a", "lstm"), ("b", "gru")):
        assert run("train", "corpus.txt", *SMALL, "--updates", 80, "--cell", cell, "--run", f"runs/{name}", "-q").code == 0
    return corpus


def test_pictures(run: Run, runs: Path) -> None:
    """Several runs on one axis, against updates, characters and time; nothing is drawn twice or left out."""
    pytest.importorskip("matplotlib")
    for name in ("p.svg", "p.png", "p.html"):
        assert run("plot", "runs/a", "runs/b", "-o", name) == Result(0, "", "")
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    svg = Path("p.svg").read_text(encoding="utf-8")
    for label in (
        "updates",
        "characters",
        "seconds of training",
        "bits per character",
        "learning rate",
        "gradient norm",
        "runs/a: training",
        "runs/b: validation",
    ):
        assert label in svg, label
    page = Path("p.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert page.count("<pre>") == 2 * 20
    assert run("plot", "runs/a", "-o", "p.pdf").code == 2


def test_the_lines_are_the_journals(run: Run, runs: Path) -> None:
    from charlm.reports.curves import read_curves
    from charlm.reports.plot import curves_figure

    curves = [read_curves(Path("runs/a")), read_curves(Path("runs/b"))]
    drawn = curves_figure(curves)
    lines = [json.loads(line) for line in Path("runs/a/metrics.jsonl").read_text().splitlines()]
    validation = [line for line in lines if "val_nats" in line]
    for panel, name in zip(drawn.axes[:3], ("updates", "chars", "seconds"), strict=True):
        plotted = {line.get_label(): line for line in panel.get_lines()}
        assert list(plotted) == [f"runs/{run}: {part}" for run in "ab" for part in ("training", "validation")]
        x, y = plotted["runs/a: validation"].get_data()
        assert list(x) == [line[name] for line in validation]
        assert list(y) == pytest.approx([line["val_nats"] / 0.6931471805599453 for line in validation])
    assert validation[-1]["updates"] == 80
    assert validation[-1]["chars"] == 80 * 8 * 6
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_text_and_numbers(run: Run, runs: Path) -> None:
    pytest.importorskip("plotext")
    shown = run("plot", "runs/a", "runs/b").out
    assert "runs/a: validation" in shown
    assert "bits per character" in shown
    assert "\x1b" not in shown
    assert "seconds of training" in run("plot", "--against", "time").out
    found = [json.loads(line) for line in run("plot", "runs/a", "runs/b", "--json").out.splitlines()]
    assert [each["run"] for each in found] == ["runs/a", "runs/b"]
    assert len(found[0]["train"]) > 5
    assert found[0]["validation"][-1]["updates"] == 80


def test_samples_show_how_the_text_evolves(run: Run, runs: Path) -> None:
    """Twenty texts, from the same draws, written by what the network was then."""
    found = [json.loads(line) for line in run("plot", "runs/a", "--samples", "--json").out.splitlines()]
    assert len(found) == 20
    assert all(len(each["sample"]) == 160 for each in found)
    assert len({each["sample"] for each in found}) > 15
    last = run("sample", "runs/a/last.npz", "-n", 160, "--temperature", 0.8, "--seed", 0).out
    assert found[-1]["sample"].rstrip("\n") == last.rstrip("\n")
    text = run("plot", "runs/a", "--samples").out
    assert re.findall(r"^--- runs/a, update (\d+), [\d.]+ bits/char$", text, re.MULTILINE)[-1] == "80"


def test_what_cannot_be_drawn(run: Run, runs: Path) -> None:
    assert run("train", "corpus.txt", "--updates", 0, "--run", "runs/none", "-q", "--val-fraction", 0).code == 0
    for arguments, message in ((("plot", "runs/none"), "metrics.jsonl"), (("plot", "nowhere"), "no such run")):
        result = run(*arguments)
        assert (result.code, result.out) == (1, "")
        assert message in result.err
    with Path("runs/a/metrics.jsonl").open("a") as file:
        file.write('{"updates": 91, "train_')  # as a run that is being written may leave it
    assert run("plot", "runs/a", "--json").code == 0


def test_tensorboard_reads_what_training_wrote(run: Run, corpus: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("train", "corpus.txt", *SMALL, "--updates", 90, "--tensorboard", "-q").code == 0
    board = EventAccumulator("runs/corpus")
    board.Reload()
    lines = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
    expected = [(line["updates"], line["val_nats"] / 0.6931471805599453) for line in lines if "val_nats" in line]
    found = [(each.step, each.value) for each in board.Scalars("bits_per_char/validation")]
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], rel=1e-6)
    assert {"bits_per_char/training", "learning_rate", "gradient_norm"} <= set(board.Tags()["scalars"])
    samples = [line["sample"] for line in lines if "sample" in line]
    assert [each.tensor_proto.string_val[0].decode() for each in board.Tensors("sample")][-1] == f"```\n{samples[-1]}\n```"
    assert run("train", "corpus.txt", *SMALL, "--updates", 1, "--force", "-q").code == 0
    assert not list(Path("runs/corpus").glob("events*")), "those of the run that was started over are gone"
