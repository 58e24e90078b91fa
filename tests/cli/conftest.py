"""A small corpus, and the command run in this process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from charlm.cli import main

TEXT = "".join(f"line {i} of a small text: the quick brown fox, {i * i} lazy dogs.\n" for i in range(150))


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory is a fresh one that holds corpus.txt."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `charlm ARGUMENTS...` in this process, like a user's shell would."""

    def call(*arguments: object) -> Result:
        try:
            main([str(a) for a in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Result(code, captured.out, captured.err)

    return call


SMALL = (
    *("--hidden", 24, "--layers", 1, "--dropout", 0, "--direct-order", 0),  # test_tables.py has the tables
    *("--k1", 8, "--streams", 6, "--save-every", 0),
)


@pytest.fixture
def trained(run: Callable[..., Result], corpus: Path) -> Path:
    """A run that knows a little of the corpus, line by line."""
    result = run("train", "corpus.txt", *SMALL, "--updates", 200, "--lr", 1e-2, "--reset", "line", "--quiet")
    assert result.code == 0, result.err
    return corpus
