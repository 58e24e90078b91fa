"""Tables beside the network, from the command line: all commands, exact continuation, refusals."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest

import charlm
from charlm.storage.checkpoint import load
from charlm.training import trainer

from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]
PLAIN = SMALL[:6]  # the size of the network
TABLES = (*PLAIN, "--direct-order", 5, *SMALL[8:], "--lr", 1e-2)


@pytest.fixture
def tables(run: Run, corpus: Path) -> Path:
    """A run with tables that knows a little of the corpus, line by line."""
    result = run("train", "corpus.txt", *TABLES, "--updates", 60, "--reset", "line", "-q")
    assert result.code == 0, result.err
    return corpus


def arrays(path: str) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "meta"}


def bits(run: Run, *arguments: object) -> float:
    result = run("eval", *arguments, "--json")
    assert result.code == 0, result.err
    return float(json.loads(result.out)["bits_per_char"])


def test_tables_are_said_and_pay(run: Run, corpus: Path) -> None:
    found = {}
    for orders in (0, 5):
        result = run("train", "corpus.txt", *TABLES, "--direct-order", orders, "--updates", 60, "--run", f"r{orders}")
        assert ("tables: 1 MB for contexts of 2 to 5 characters, and 2 MB more in training" in result.err) == (orders == 5)
        found[orders] = bits(run, f"r{orders}")
    assert found[5] < 0.8 * found[0], "the text repeats itself, and the network has hardly begun"


def test_a_run_that_counts_as_it_reads_goes_on_exactly(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other runs: test_resume.py."""
    monkeypatch.setattr(trainer, "_PLAN_SECONDS", 1e-4)
    options = cast(charlm.Settings, {"once": True, "hidden": 12, "direct_order": 6, "reset": "line"})

    def stop(event: charlm.Event) -> bool:
        return isinstance(event, charlm.Progress) and event.updates >= 100

    charlm.train("corpus.txt", "whole", **options)
    charlm.train("corpus.txt", "parts", on_event=stop, **options)
    stopped = load(Path("parts/last.npz")).progress["updates"]
    charlm.train("corpus.txt", "parts", resume=True, **options)
    assert 0 < stopped < load(Path("whole/last.npz")).progress["updates"]
    one, two = arrays("whole/last.npz"), arrays("parts/last.npz")
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_threads_do_not_matter(run: Run, corpus: Path) -> None:
    for threads in (1, 3):
        options = ("--updates", 30, "--threads", threads, "--run", f"t{threads}", "-q")
        assert run("train", "corpus.txt", *TABLES, *options).code == 0
    one, two = arrays("t1/last.npz"), arrays("t3/last.npz")
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.usefixtures("tables")
def test_lines_and_the_whole_text_cost_the_same(run: Run) -> None:
    whole = json.loads(run("eval", "runs/corpus", "corpus.txt", "--json").out)
    lines = run("eval", "runs/corpus", "corpus.txt", "--by", "line", "--json").out.splitlines()
    total = whole["bits_per_char"] * whole["chars"]
    assert sum(json.loads(line)["bits"] for line in lines) == pytest.approx(total, rel=1e-6)
    streams = bits(run, "runs/corpus", "corpus.txt", "--streams", 5)
    assert streams == pytest.approx(whole["bits_per_char"], rel=1e-6), "lines are independent"


@pytest.mark.usefixtures("tables")
def test_a_line_is_predicted_from_itself(run: Run) -> None:
    """What stands on the line before is in no context where lines are independent."""
    Path("a.txt").write_text("zzzz\nLine 1", encoding="utf-8")
    Path("b.txt").write_text("quick\nLine 1", encoding="utf-8")
    last = [
        run("eval", "runs/corpus", name, "--by", "line", "--unknown", "escape", "--json").out.splitlines()[-1]
        for name in ("a.txt", "b.txt")
    ]
    assert json.loads(last[0])["bits"] == json.loads(last[1])["bits"]


@pytest.mark.usefixtures("tables")
def test_samples_and_beams_have_the_losses_of_evaluation(run: Run) -> None:
    for more in (("--temperature", 1, "--seed", 2), ("--beam", 3)):
        found = json.loads(run("sample", "-n", 25, *more, "--json").out.splitlines()[0])
        Path("drawn.txt").write_text(found["text"], encoding="utf-8")
        result = json.loads(run("eval", "runs/corpus", "drawn.txt", "--json").out)
        assert result["nats_per_char"] * result["chars"] == pytest.approx(-found["log_probability"], rel=1e-5)


@pytest.mark.usefixtures("tables")
def test_dynamic_evaluation_counts_what_it_reads(run: Run) -> None:
    Path("new.txt").write_text("lazy brown line of the small fox, " * 40 + "\n", encoding="utf-8")
    static = bits(run, "runs/corpus", "new.txt")
    result = run("eval", "runs/corpus", "new.txt", "--dynamic", "--lr", 0, "--json")
    dynamic = json.loads(result.out)["dynamic"]["bits_per_char"]
    assert dynamic < 0.7 * static, "the parameters stay, and the tables learn"
    assert bits(run, "runs/corpus", "new.txt") == static, "a copy learnt"


@pytest.mark.usefixtures("tables")
def test_the_network_alone_can_be_asked_how_far_its_errors_reach(run: Run) -> None:
    assert run("lags", "runs/corpus", "corpus.txt", "-n", 8, "--losses", 8).code == 0


@pytest.mark.usefixtures("tables")
def test_other_formats_have_no_tables(run: Run) -> None:
    for name in ("m.onnx", "m.safetensors"):
        result = run("export", "runs/corpus", name)
        assert (result.code, result.out) == (2, "")
        assert "train with --direct-order 0 to export" in result.err
        assert not Path(name).exists()


@pytest.mark.usefixtures("tables")
def test_a_run_goes_on_from_another(run: Run) -> None:
    """Shape and gates are the other run's; the new text is counted anew."""
    Path("more.txt").write_text(TEXT[: len(TEXT) // 2], encoding="utf-8")
    assert run("train", "more.txt", "--init-from", "runs/corpus", "--updates", 0, "--run", "x", "-q").code == 0
    one, two = load(Path("runs/corpus/best.npz")), load(Path("x/last.npz"))
    assert two.config.model.direct_order == 5
    assert len(two.parameters.tables.state_dict()["entries"]) < len(one.parameters.tables.state_dict()["entries"])
    result = run("train", "more.txt", "--init-from", "runs/corpus", "--direct-order", 3, "--run", "y")
    assert (result.code, "has --direct-order 5" in result.err) == (2, True)


def test_once_learns_as_it_reads(run: Run, corpus: Path) -> None:
    sizes = {}
    for orders in (0, 6):
        options = ("--hidden", 16, "--once", "--direct-order", orders, "--run", f"o{orders}", "--json")
        sizes[orders] = json.loads(run("train", "corpus.txt", *options).out)["code_bits"]
    assert sizes[6] < 0.6 * sizes[0]
    assert "tables/entries" in arrays("o6/last.npz")


def test_options_without_effect(run: Run, corpus: Path) -> None:
    for option, value in (("--direct-shortest", 1), ("--direct-size", 2), ("--direct-epochs", 1)):
        result = run("train", "corpus.txt", option, value, "--direct-order", 0)
        assert (result.code, result.err) == (2, f"Error: {option} needs tables: leave out --direct-order 0\n")
    result = run("train", "corpus.txt", "--direct-shortest", 5, "--direct-order", 3)
    assert (result.code, "contexts are counted up to --direct-order 3" in result.err) == (2, True)


def test_bad_numbers(run: Run, corpus: Path) -> None:
    for option, value in (
        ("--direct-order", 33),
        ("--direct-order", -1),
        ("--direct-size", 0),
        ("--direct-shortest", 0),
        ("--direct-epochs", -1),
    ):
        result = run("train", "corpus.txt", option, value)
        assert (result.code, result.out) == (2, "")
        assert "must be between" in result.err
