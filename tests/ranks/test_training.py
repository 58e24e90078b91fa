"""Training on two ranks of MPI: the same as one process, one run directory, and going on with other ranks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from charlm.storage.checkpoint import load

from ..mpiexec import Mpi
from .conftest import SMALL, TEXT
from .same_as_one import WAYS

TRAIN = ("charlm", "train", "corpus.txt", *SMALL, "--save-every", 0)


def parameters(run: str) -> np.ndarray:
    return load(Path(run) / "last.npz").parameters.flat


def test_every_truncation_is_as_on_one_process(mpi: Mpi, folder: Path) -> None:
    (folder / "corpus.txt").write_text(TEXT[: len(TEXT) // 4], encoding="utf-8")
    done = mpi("python", "-m", "tests.ranks.same_as_one", folder)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^(.*), (?:lstm|gru): (\S+) (\S+)$", done.stdout, re.MULTILINE)
    assert [way for way, _, _ in found] == list(WAYS)
    for way, gradient, loss in found:
        assert float(gradient) < 1e-6, way
        assert float(loss) < 1e-3, way
    ((difference, moved),) = re.findall(r"^apart: (\S+) (\S+)$", done.stdout, re.MULTILINE)
    assert float(difference) < 1e-6 < 1e-3 < float(moved), "the mean of what ranks came to on their own"


def test_one_run_comes_of_it(cold_mpi: Mpi, folder: Path) -> None:
    arguments = [a for a in TRAIN if a != "--quiet"]
    done = cold_mpi(*arguments, "--run", "runs/x", "--updates", 30, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line)["updates"] == 30
    assert done.stderr.count("corpus: ") == 1
    assert "; 2 ranks of 1 thread" in done.stderr
    assert sorted(path.name for path in Path("runs/x").iterdir()) == ["best.npz", "config.json", "last.npz", "metrics.jsonl"]
    lines = [json.loads(line) for line in Path("runs/x/metrics.jsonl").read_text().splitlines()]
    updates = [line["updates"] for line in lines]
    assert updates == sorted(updates)
    assert sum("val_nats" in line for line in lines) == done.stderr.count("validation ") - 1  # one names the split
    refused = cold_mpi(*arguments, "--run", "runs/x")
    assert refused.returncode == 1
    assert refused.stderr.count("Error: runs/x already holds a run") == 1


def test_going_on_is_exact_with_the_same_ranks(mpi: Mpi, folder: Path) -> None:
    more = ("--k2", 20, "--dropout", 0.3, "--schedule", "constant")
    assert mpi(*TRAIN, *more, "--run", "runs/whole", "--updates", 40).returncode == 0
    assert mpi(*TRAIN, *more, "--run", "runs/parts", "--updates", 17).returncode == 0
    assert mpi("charlm", "train", "corpus.txt", "--run", "runs/parts", "--resume", "--updates", 40, "-q").returncode == 0
    assert np.array_equal(parameters("runs/whole"), parameters("runs/parts"))


def test_ranks_may_have_different_processors(cold_mpi: Mpi, folder: Path) -> None:
    """Each rank updates all parameters itself, so vectors of different widths must not let them drift apart."""
    train = (*TRAIN, "--updates", 20)
    ranks = [("env", f"CHARLM_SIMD={width}", *train, "--run", "runs/mixed") for width in (8, 16)]
    assert cold_mpi(*train, "--run", "runs/alike").returncode == 0
    done = cold_mpi(*ranks[0], ":", "-n", 1, *ranks[1], ranks=1)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(parameters("runs/alike"), parameters("runs/mixed"))


@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1), (2, 4)])
def test_going_on_with_other_ranks(mpi: Mpi, folder: Path, first: int, then: int) -> None:
    """State and window are by stream: what the next update's gradient is made of is the same."""
    more = ("--k2", 20, "--dropout", 0.3, "--schedule", "constant", "--optimizer", "sgd", "--lr", 0.5)
    assert mpi(*TRAIN, *more, "--run", "runs/whole", "--updates", 25, ranks=1).returncode == 0
    assert mpi(*TRAIN, *more, "--run", "runs/parts", "--updates", 17, ranks=first).returncode == 0
    resume = ("charlm", "train", "corpus.txt", "--run", "runs/parts", "--resume", "--updates", 25, "-q")
    assert mpi(*resume, ranks=then).returncode == 0
    whole, parts = parameters("runs/whole"), parameters("runs/parts")
    assert np.abs(whole - parts).max() < 1e-5


def test_on_their_own_for_some_updates(mpi: Mpi, folder: Path) -> None:
    """It learns, differs from training in step, and a run that was stopped in between goes on."""
    for every in (1, 4):
        run = f"runs/{every}"
        done = mpi(*TRAIN, "--run", run, "--sync-every", every, "--updates", 60, "--eval-every", 7, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["best_val_nats"] < 3.1
    assert not np.allclose(parameters("runs/1"), parameters("runs/4"), atol=1e-3)
    resume = ("charlm", "train", "corpus.txt", "--run", "runs/4", "--resume", "--updates", 70, "-q", "--json")
    assert json.loads(mpi(*resume).stdout)["updates"] == 70


def test_starting_from_another_run(mpi: Mpi, folder: Path) -> None:
    assert mpi(*TRAIN, "--run", "runs/x", "--updates", 3, ranks=1).returncode == 0
    assert mpi(*TRAIN, "--run", "runs/y", "--updates", 0, "--init-from", "runs/x/last.npz").returncode == 0
    assert np.array_equal(parameters("runs/x"), parameters("runs/y"))
    done = mpi(*TRAIN, "--run", "runs/z", "--init-from", "runs/gone")
    assert (done.returncode, done.stderr.count("Error: runs/gone: no such run or checkpoint")) == (1, 1)


DIVERGES = """
import math, os, pytest, charlm.cli
from tests.divergence import inject_divergence
if os.environ["OMPI_COMM_WORLD_RANK"] == "1":
    inject_divergence(pytest.MonkeyPatch(), {25: math.inf})
charlm.cli.main()
"""


@pytest.mark.parametrize("every", [1, 4])
def test_divergence_of_one_is_found_by_all(mpi: Mpi, folder: Path, every: int) -> None:
    """In step with the others, and on its own for some updates."""
    arguments = (*TRAIN[1:-2], "--save-every", 10, "--run", "runs/x", "--updates", 60, "--sync-every", every)
    done = mpi("python", "-c", DIVERGES, *arguments, "--max-rollbacks", 2)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: training diverged: the gradient of update 25 is not finite, after 2 returns to the last")
    assert load(Path("runs/x/last.npz")).progress["updates"] == 20
    assert np.isfinite(parameters("runs/x")).all()


def test_every_rank_counts_the_whole_text(mpi: Mpi, folder: Path) -> None:
    """Tables, sections and updates are those of one process."""
    more = ("--direct-order", 5, "--updates", 20)
    for ranks in (1, 2):
        assert mpi(*TRAIN, *more, "--run", f"runs/{ranks}", ranks=ranks).returncode == 0
    one, two = (load(Path(f"runs/{ranks}/last.npz")).parameters for ranks in (1, 2))
    assert np.array_equal(one.tables.counts, two.tables.counts)
    assert one.weights.direct_b.any()
    np.testing.assert_allclose(one.flat, two.flat, atol=1e-4)


def test_tables_that_learn_need_one_process(mpi: Mpi, folder: Path) -> None:
    done = mpi("charlm", "train", "corpus.txt", "--once", "--direct-order", 4, "--hidden", 8)
    assert (done.returncode, done.stdout) == (2, "")
    assert "its tables learn in one process only" in done.stderr
    assert mpi("charlm", "train", "corpus.txt", "--once", "--hidden", 8, "--run", "runs/once", "-q").returncode == 0
    config = load(Path("runs/once/last.npz")).config
    assert (config.model.direct_order, config.streams) == (0, 2)
