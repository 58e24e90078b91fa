"""Evaluation by ranks: the rows of one process, in their order."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ..mpiexec import Mpi
from .conftest import SMALL, TEXT

PIECE = 1 << 15  # bytes that are read at once here, so that a short text has several batches
EVAL = ("python", "-c", f"from charlm.cli import main, rows; rows._PIECE = {PIECE}; main()", "eval", "runs/x")


@pytest.fixture(scope="module")
def prepared(mpi: Mpi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a text of several batches and a model of lines."""
    folder = tmp_path_factory.mktemp("evaluation")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    train = ("charlm", "train", "corpus.txt", *SMALL, "--reset", "line", "--updates", 30, "--run", "runs/x")
    assert mpi(*train, ranks=1, cwd=folder).returncode == 0
    random = np.random.default_rng(0)
    words = ["It", "was", "day", "like", "any", "other", "and", "the", "rain", "fell", "on", "roof", "number", "12", "87"]
    lines = (" ".join(random.choice(words, random.integers(3, 14))) + ".\n" for _ in range(5_000))
    (folder / "big.txt").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def big(folder: Path, prepared: Path) -> Path:
    """The text in the current directory, which holds the model too."""
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    return folder / "big.txt"


def rows(mpi: Mpi, ranks: int, *more: object, code: int = 0) -> str:
    done = mpi(*EVAL, "big.txt", "--threads", 1, *more, ranks=ranks)
    assert done.returncode == code, done.stderr
    assert done.stderr.count(" lines, ") <= 1
    return str(done.stdout)


def test_rows_are_those_of_one_process(mpi: Mpi, big: Path) -> None:
    one = rows(mpi, 1, "--by", "line")
    assert len(one.splitlines()) == 5_000
    assert big.stat().st_size > 4 * PIECE, "more batches than ranks"
    assert rows(mpi, 2, "--by", "line") == one
    assert rows(mpi, 3, "--by", "line") == one
    assert rows(mpi, 2, "--html", "two.html") == rows(mpi, 1, "--html", "one.html") == ""
    assert Path("two.html").read_text() == Path("one.html").read_text()


def test_lines_with_state_are_read_after_a_warm_up(mpi: Mpi, big: Path) -> None:
    one, two = (rows(mpi, ranks, "--by", "line", "--reset", "never", "--json").splitlines() for ranks in (1, 2))
    found = np.array([[json.loads(a)["bits"], json.loads(b)["bits"]] for a, b in zip(one, two, strict=True)])
    assert np.abs(found[:, 0] - found[:, 1]).max() < 1e-2
    assert np.allclose(found[:, 0], found[:, 1], rtol=1e-3)


def test_an_error_names_the_line_and_ends_all(mpi: Mpi, big: Path) -> None:
    lines = big.read_text().splitlines(keepends=True)
    lines[3_000] = "a ☃\n"
    lines[3_500] = "another ☃\n"
    big.write_text("".join(lines), encoding="utf-8")
    done = mpi(*EVAL, "big.txt", "--by", "line", "-q", "--unknown", "error")
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3_000
    assert done.stderr.count("Error: ") == 1
    assert "line 3,001" in done.stderr


def test_a_whole_text_is_read_in_several_places(mpi: Mpi, big: Path) -> None:
    one, two = (json.loads(rows(mpi, ranks, "--json", "--streams", 6, "--compare", "gzip")) for ranks in (1, 2))
    assert two.keys() == one.keys()
    assert two["chars"] == one["chars"]
    assert two["bits_per_char"] == pytest.approx(one["bits_per_char"], rel=1e-9)
    assert json.loads(rows(mpi, 2, "--json"))["bits_per_char"] == pytest.approx(one["bits_per_char"], rel=1e-3)
    assert rows(mpi, 2, "--fail-above", 0.01, code=3)
    done = mpi(*EVAL, "big.txt", "--dynamic")
    assert (done.returncode, done.stderr.count("Error: --dynamic learns from all that comes before")) == (2, 1)
    os.mkfifo("pipe")
    done = mpi(*EVAL, "pipe")
    assert (done.returncode, done.stderr.count("Error: pipe: only one rank could read it")) == (1, 1)
    for more in ((), ("--by", "line")):
        done = mpi(*EVAL, "-", *more, input="text")
        assert (done.returncode, done.stderr.count("Error: standard input reaches one rank only")) == (2, 1)
