"""What is asked for is done, or refused, or it is said what is done instead."""

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charlm.cli import COMMANDS
from charlm.storage.checkpoint import load

from .conftest import SMALL, TEXT, Result

Run = Callable[..., Result]


def train(run: Run, *more: object) -> Result:
    return run("train", "corpus.txt", *SMALL, "-q", *more)


REFUSED = [
    (("train", "corpus.txt", "--reset", "line", "--reset-after", "x"), "--reset and --reset-after: give one of them"),
    (("train", "corpus.txt", "--reset", "block", "--reset-every", "10"), "--reset and --reset-every: give one of them"),
    (("train", "corpus.txt", "--reset-every", "9", "--reset-after", "x"), "--reset-every and --reset-after: give one"),
    (("train", "corpus.txt", "--resume", "--init-from", "other"), "--resume continues a run and --init-from starts one"),
    (("train", "corpus.txt", "--run", ""), "--run is empty"),
    (("train", ""), "CORPUS is empty"),
    (("train", "corpus.txt", "--val", ""), "--val is empty"),
    (("train", "corpus.txt", "--init-from", ""), "--init-from is empty"),
    (("train", "corpus.txt", "--reset-after", ""), "--reset-after is empty"),
    (("sample", ""), "RUN is empty"),
    (("sample", "--until", ""), "--until is empty"),
    (("sample", "--stop", ""), "--until is empty"),
    (("sample", "--prime-file", ""), "--prime-file is empty"),
    (("eval", "", "corpus.txt"), "RUN is empty"),
    (("eval", "r", "corpus.txt", "--html", ""), "--html is empty"),
    (("plot", "-o", ""), "--output is empty"),
    (("import", "m.safetensors", "--vocabulary", ""), "--vocabulary is empty"),
    (("sample", "--beam", "3", "--temperature", "1"), "--beam draws nothing: leave out --temperature"),
    (("sample", "--beam", "3", "--top-k", "2"), "--beam draws nothing: leave out --top-k"),
    (("sample", "--beam", "3", "--top-p", "0.5"), "--beam draws nothing: leave out --top-p"),
    (("sample", "--beam", "3", "--seed", "1"), "--beam draws nothing: leave out --seed"),
    (("eval", "r", "corpus.txt", "--dynamic", "--k2", "0"), "--k2 0: must be between 1 and"),
    (("info", "--config", ""), "--config is empty"),
    (("train", "corpus.txt", "--val", "v.txt", "--val-fraction", "0.2"), "--val is a text of its own and --val-fraction"),
    (("train", "corpus.txt", "--val-fraction", "0", "--patience", "2"), "--patience needs a validation text"),
    (("train", "corpus.txt", "--val-fraction", "0", "--eval-every", "2"), "--eval-every needs a validation text"),
    (("plot", "--samples", "-o", "x.svg"), "--samples prints the texts, --output draws the curves: give one of them"),
    (("plot", "--against", "time", "-o", "x.svg"), "--against is for the plot in the terminal"),
    (("export", "r", "s", "m.onnx"), "one RUN and one OUT, not 3 names"),
    (("eval", "r", "corpus.txt", "--html", "corpus.txt"), "--html corpus.txt: is also an input: name another file"),
    (("eval", "r", "corpus.txt", "--html", "-"), "--html -: name a regular file"),
    (("eval", "r", "corpus.txt", "--html", "/dev/null"), "--html /dev/null: name a regular file"),
    (("eval", "r", "corpus.txt", "--html", "nowhere/x.html"), "--html nowhere/x.html: there is no directory"),
    (("lags", "r", "-o", "nowhere/x.svg"), "--output nowhere/x.svg: there is no directory"),
    (("plot", "-o", "nowhere/x.svg"), "--output nowhere/x.svg: there is no directory"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda a: " ".join(a) if isinstance(a, tuple) else "")
def test_refused(run: Run, corpus: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert not Path("runs").exists()


def test_no_default_is_taken_for_an_empty_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an option is left out, nobody has asked for nothing."""
    for name in COMMANDS:
        command = importlib.import_module(f"charlm.cli.{name}_command").command
        made: list[str] = []
        monkeypatch.setattr(command, "callback", lambda *arguments, m=made, **options: m.append("called"))
        words = {"train": ["x"], "export": ["r", "x"], "import": ["x"], "completion": ["bash"]}.get(name, [])
        command.main(words, standalone_mode=False)
        assert made == ["called"], name


def test_resuming_with_other_streams(run: Run, corpus: Path) -> None:
    """The same command is accepted again, also where streams were lowered; another number is not."""
    again = ("--streams", 10**6, "--updates", 1)
    assert run("train", "corpus.txt", *SMALL[:6], *again, "--val-fraction", 0, "-q").code == 0
    made = load(Path("runs/corpus/last.npz")).config.streams
    assert made == len(TEXT) - 1
    assert run("train", "corpus.txt", "--resume", *again[:2], "--updates", 2, "-q").code == 0
    refused = run("train", "corpus.txt", "--resume", "--streams", 999, "--updates", 3)
    assert refused.code == 2
    assert f"--streams 999: the run was made with --streams {made}" in refused.err
    assert load(Path("runs/corpus/last.npz")).progress["updates"] == 2


def test_resuming_with_other_resets(run: Run, corpus: Path) -> None:
    assert train(run, "--reset-every", 50, "--updates", 1).code == 0
    assert train(run, "--resume", "--reset-every", 50, "--updates", 2).code == 0
    other = train(run, "--resume", "--reset", "line", "--updates", 3)
    assert (other.code, "--reset line: the run was made with no --reset" in other.err) == (2, True)
    flag = train(run, "--resume", "--bytes", "--updates", 3)
    assert (flag.code, "--bytes: the run was made with no --bytes" in flag.err) == (2, True)


def test_a_run_that_is_complete_says_so(run: Run, corpus: Path) -> None:
    assert train(run, "--updates", 20).code == 0
    before = load(Path("runs/corpus/last.npz")).parameters.flat
    for asked in (20, 5):
        result = run("train", "corpus.txt", "--resume", "--updates", asked)
        assert result.code == 0
        assert "nothing to train: the run has made 20 updates" in result.err
    assert (load(Path("runs/corpus/last.npz")).parameters.flat == before).all()
    assert "nothing to train" not in run("train", "corpus.txt", "--resume", "--updates", 21).err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("hidden = true", "hidden should be a whole number, not true"),
        ("hidden = 16.7", "hidden should be a whole number, not 16.7"),
        ('hidden = "16"', "hidden should be a whole number, not '16'"),
        ("lr = true", "lr should be a number, not true"),
        ('lr = "fast"', "lr should be a number, not 'fast'"),
        ("residual = 1", "residual should be true or false, not 1"),
        ('bytes = "yes"', "bytes should be true or false, not 'yes'"),
        ("cell = false", "cell should be a text, not false"),
        ("corpus = 1", "has no option 'corpus'"),
        ("k1 = [1]", "k1 should be a whole number, not [1]"),
    ],
)
def test_values_of_another_kind_in_a_file(run: Run, corpus: Path, line: str, message: str) -> None:
    Path("c.toml").write_text(f"[train]\n{line}\n")
    result = train(run, "--config", "c.toml", "--updates", 1)
    assert (result.code, result.out) == (2, "")
    assert f"--config c.toml: [train] {message}" in result.err


def test_values_in_a_file(run: Run, corpus: Path) -> None:
    Path("c.toml").write_text(
        "[train]\nlr = 1\nsave-every = 5\nval_fraction = 0\nresidual = true\nlayer-norm = false\nbytes = true"
    )
    assert train(run, "--config", "c.toml", "--updates", 1).code == 0
    config = load(Path("runs/corpus/last.npz")).config
    assert (config.optimizer.learning_rate, config.val_fraction, config.use_bytes) == (1.0, 0, True)
    assert (config.model.residual, config.model.layer_norm) == (True, False)


def test_variables_that_there_are_not(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, near in (
        ("CHARLM_TRAIN_BOGUS", ""),
        ("CHARLM_TRAIN_HIDEN", "; did you mean 'CHARLM_TRAIN_HIDDEN'?"),
        ("CHARLM_TRIAN_HIDDEN", "; did you mean 'CHARLM_TRAIN_HIDDEN'?"),
        ("CHARLM_CACHED", "; did you mean 'CHARLM_CACHE'?"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            result = run("info")
        assert result.code == 2
        assert f"environment variable {name}: charlm has no variable of that name{near}" in result.err
    monkeypatch.setenv("CHARLM_SAMPLE_LENGTH", "5")  # another command's
    monkeypatch.setenv("CHARLM_TRAIN_BYTES", "true")  # named as its option is
    monkeypatch.setenv("CHARLM_TRAIN_VAL", "corpus.txt")
    assert train(run, "--updates", 1).code == 0
    config = load(Path("runs/corpus/last.npz")).config
    assert (config.use_bytes, config.val_file) == (True, "corpus.txt")


def test_every_option_has_a_variable_of_its_name(run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_TRAIN_USE_BYTES", "1")  # the name of the setting counts, too
    assert train(run, "--updates", 0).code == 0
    assert load(Path("runs/corpus/last.npz")).config.use_bytes
    monkeypatch.setenv("CHARLM_INFO_JSON", "1")
    assert json.loads(run("info").out)["config"]["use_bytes"]
    assert "CHARLM_INFO_JSON" in os.environ


def test_results_are_written_through_links(run: Run, corpus: Path) -> None:
    assert train(run, "--updates", 1).code == 0
    Path("real.html").write_text("old")
    Path("link.html").symlink_to("real.html")
    assert run("eval", "runs/corpus", "corpus.txt", "--html", "link.html", "-q").code == 0
    assert Path("link.html").is_symlink()
    assert Path("real.html").read_text().endswith("</html>\n")
    os.mkfifo("pipe.onnx")
    assert "OUT pipe.onnx: name a regular file" in run("export", "pipe.onnx").err
    assert run("export", "m.onnx").code == 0, "RUN may be left out"


def test_what_has_no_effect(run: Run, corpus: Path) -> None:
    result = train(run, "--updates", 1, "--reset-after", "@@")
    assert result.code == 0
    loud = run("train", "corpus.txt", *SMALL, "--updates", 1, "--reset-after", "@@", "--force")
    assert '"@@" does not occur in the training text, so the state is never reset after it' in loud.err
    assert train(run, "--updates", 1, "--force").code == 0
    short = run("sample", "--min-length", 5)
    assert (short.code, "--min-length needs --until" in short.err) == (2, True)
    bias = run("train", "corpus.txt", "--init-from", "runs/corpus", "--forget-bias", 2, "--run", "x")
    assert (bias.code, "--init-from takes from the other run" in bias.err) == (2, True)
    assert run("export", "m.safetensors").code == 0
    other = run("import", "m.safetensors", "--activation", "relu", "--run", "y")
    assert (other.code, "--activation relu: the file holds a lstm" in other.err) == (2, True)


def test_a_gate_that_nothing_came_to(run: Run, corpus: Path) -> None:
    """A broken pipe before it must not look perfect."""
    assert train(run, "--updates", 1).code == 0
    Path("empty.txt").write_text("")
    for more in ((), ("--by", "line")):
        result = run("eval", "runs/corpus", "empty.txt", "--fail-above", 9, "-q", *more)
        assert (result.code, result.out) == (1, "")
        assert "empty.txt: is empty" in result.err
    assert run("eval", "runs/corpus", "empty.txt", "--by", "line", "-q").code == 0


def test_advice_can_be_followed(run: Run, corpus: Path) -> None:
    assert train(run, "--updates", 1).code == 0
    Path("odd.txt").write_text(TEXT + "Ω")
    assert "--unknown escape" in run("eval", "runs/corpus", "odd.txt").err
    for command in (("eval", "runs/corpus", "odd.txt", "--dynamic"), ("lags", "runs/corpus", "odd.txt")):
        result = run(*command)
        assert result.code == 1
        assert "leave them out, or train with --bytes" in result.err
