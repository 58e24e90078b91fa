"""A text to train on, and the command to do it with."""

from pathlib import Path

import pytest

TEXT = "".join(f"It was day {i} like any other, and the rain fell on roof number {i * 7 % 100}.\n" for i in range(300))
SMALL = ("--hidden", 16, "--layers", 2, "--k1", 8, "--streams", 8, "--threads", 1, "--quiet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with corpus.txt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path
