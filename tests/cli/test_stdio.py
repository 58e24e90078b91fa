"""Standard streams that are closed, or whose reader has gone: ordinary situations of scripts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import SMALL, Result

Run = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("warm_path")


@pytest.fixture
def trained(run: Run, corpus: Path) -> Path:
    assert run("train", "corpus.txt", *SMALL, "--updates", 3, "-q").code == 0
    return corpus


def shell(script: str) -> "subprocess.CompletedProcess[str]":
    """A script in bash."""
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", ["train - --updates 1 --run r", "eval runs/corpus -", "eval runs/corpus - --by line", "sample --prime-file -"]
)
def test_closed_standard_input(trained: Path, command: str) -> None:
    done = shell(f"charlm {command} -q <&-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: standard input (-) is closed: name a file, or pipe a text in\n"
    assert shell("charlm info <&-").returncode == 0, "who does not read it does not miss it"


@pytest.mark.parametrize(
    "command", ["info", "eval", "sample -n 3", "plot --samples", "lags -n 9 --losses 8", "completion bash"]
)
def test_closed_standard_output(trained: Path, command: str) -> None:
    done = shell(f"charlm {command} >&-")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: standard output is closed, and charlm {command.split()[0]} prints its result there: "
        "redirect it to a file or a pipe\n"
    )
    assert shell(f"charlm {command} >&- 2>&-").returncode == 1


def test_closed_streams_of_the_installed_command(trained: Path, cold_path: None) -> None:
    """The others of these tests close those of the warm one."""
    assert shell("charlm eval - -q <&-").stderr == "Error: standard input (-) is closed: name a file, or pipe a text in\n"
    done = shell("charlm info >&-")
    message = "Error: standard output is closed, and charlm info prints its result there: redirect it to a file or a pipe\n"
    assert (done.returncode, done.stderr) == (1, message)
    assert shell("charlm info >&- 2>&-").returncode == 1
    assert "vocabulary" in shell("charlm info --json 2>&-").stdout


def test_what_makes_files_needs_no_standard_output(trained: Path) -> None:
    done = shell(
        f"charlm train corpus.txt {' '.join(map(str, SMALL))} --updates 2 --run r -q >&- && charlm export r m.onnx >&-"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("r/last.npz").exists()
    assert Path("m.onnx").exists()


def test_closed_standard_error_takes_nothing_from_results(trained: Path) -> None:
    assert shell("charlm eval 2>&-").stdout == shell("charlm eval").stdout != ""
    assert json.loads(shell("charlm eval --json 2>&-").stdout)["chars"] > 0
    assert shell("charlm eval nowhere 2>&-").returncode == 1
    small = " ".join(map(str, SMALL))
    done = shell(f"charlm train corpus.txt {small} --updates 9 --run r --json 2>&-")
    assert json.loads(done.stdout)["updates"] == 9
    with np_load("r/last.npz") as saved:
        assert "meta" in saved.files, "no message was written into a file that took the stream's number"


def np_load(path: str):  # type: ignore[no-untyped-def]
    import numpy as np

    return np.load(path, allow_pickle=False)


def test_text_is_utf8_in_every_locale(trained: Path) -> None:
    Path("other.txt").write_text("a line – of €5\n" * 40, encoding="utf-8")
    assert shell(f"charlm train other.txt {' '.join(map(str, SMALL))} --updates 1 --streams 1 -q --run o").returncode == 0
    latin = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    for command, stream in (
        ("info o", "stdout"),
        ("eval o other.txt --by line", "stdout"),
        ("sample o -n 200 --seed 1 --temperature 9", "stdout"),
        ("train other.txt --init-from runs/corpus --updates 0 --run p", "stderr"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "charlm", *command.split()], capture_output=True, check=False, env={**os.environ, **latin}
        )
        assert done.returncode == 0, done.stderr
        assert "€" in getattr(done, stream).decode("utf-8"), command


@pytest.mark.parametrize("output", ["read", "not read"])
def test_training_goes_on_when_nobody_reads_its_notes(trained: Path, output: str) -> None:
    """Notes go nowhere from then on; the run ends with its result, and where that is not read either, with 141."""
    reader, writer = os.pipe()
    os.close(reader)
    train = ["train", "corpus.txt", *map(str, SMALL), "--updates", "60", "--eval-every", "10", "--json", "--run", "r"]
    with subprocess.Popen(
        ["charlm", *train],
        stdout=subprocess.PIPE if output == "read" else writer,
        stderr=writer,
        text=True,
    ) as process:
        os.close(writer)
        out, _ = process.communicate()
    assert process.returncode == (0 if output == "read" else 141)
    if output == "read":
        assert json.loads(out)["updates"] == 60
    with np_load("r/last.npz") as saved:
        assert json.loads(str(saved["meta"][()]))["progress"]["updates"] == 60
