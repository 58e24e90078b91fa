"""What ends a job of several ranks: refusals, signals, a rank that dies. One error, a state to go on from, no hanging."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.storage.checkpoint import load

from ..mpiexec import BIN, Mpi, command, environment
from ..waiting import HANGS, wait_until
from .conftest import SMALL, TEXT

TRAIN = ("charlm", "train", "corpus.txt", *SMALL)
LONG = (*TRAIN, "--run", "runs/x", "--updates", 1_000_000_000)
# Starts charlm with something changed first; `rank` is there.
PATCHED = "import os, charlm\nrank = os.environ['OMPI_COMM_WORLD_RANK']\n{}\nfrom charlm.cli import main\nmain()"


def refusal(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The only line of error; mpiexec adds its own about a process that failed."""
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()
    return line


def test_uneven_shares_are_refused(mpi: Mpi, folder: Path) -> None:
    line = refusal(mpi("charlm", "train", "corpus.txt", "--streams", 7, "--hidden", 8), 2)
    assert "7 streams cannot be dealt out evenly to 2 ranks: use a multiple of 2 for --streams" in line
    line = refusal(mpi("charlm", "train", "corpus.txt", "--streams", 2, "--hidden", 8, ranks=3), 2)
    assert "3 ranks for 2 streams" in line
    line = refusal(mpi("charlm", "train", "corpus.txt", "--streams", 2, "--k1", 1, "--norm", "batch", "--hidden", 8), 2)
    assert "--norm batch: one step of one stream has no variance: use more --streams for each rank or" in line


def test_what_is_wrong_everywhere_is_said_once(mpi: Mpi, cold_mpi: Mpi, folder: Path) -> None:
    assert "--k1 0: must be between 1 and" in refusal(mpi("charlm", "train", "corpus.txt", "--k1", 0), 2)
    assert "gone.txt: no such file" in refusal(mpi("charlm", "train", "gone.txt"), 1)
    assert "-: only one rank could read it" in refusal(mpi("charlm", "train", "-", input="text"), 1)
    done = mpi("charlm", "train", "corpus.txt", "--hiden", 8)
    assert (done.returncode, done.stderr.count("No such option")) == (2, 1)
    good = ("charlm", "train", "corpus.txt", "--hidden", 8)
    done = cold_mpi(*good, ":", "-n", 1, *good, "--k1", 0, ranks=1)
    assert "--k1 0: must be between 1 and" in refusal(done, 2), "one rank alone"


def test_ranks_that_differ_are_refused(mpi: Mpi, cold_mpi: Mpi, folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "corpus.txt").write_text(TEXT.replace("rain", f"rain {name}"), encoding="utf-8")
    train = ("train", "corpus.txt", "--run", str(folder / "runs/x"))
    done = mpi("--wdir", folder / "a", "charlm", *train, ":", "-n", 1, "--wdir", folder / "b", "charlm", *train, ranks=1)
    line = refusal(done, 1)
    assert "the corpus differs: its digest is" in line
    assert "on rank 0 on" in line
    assert "on rank 1 on" in line
    done = mpi("charlm", *train, "--lr", 1e-3, ":", "-n", 1, "charlm", *train, "--lr", 2e-3, ranks=1)
    assert "what is asked for differs: " in refusal(done, 1)
    code = PATCHED.format("charlm.version.__version__ += rank")
    line = refusal(cold_mpi(sys.executable, "-c", code, *train), 1)
    assert "what is installed differs: charlm 0.1.00" in line
    assert "charlm 0.1.01" in line


def test_a_file_that_one_rank_lacks(mpi: Mpi, folder: Path) -> None:
    (folder / "b").mkdir()
    train = ("train", "corpus.txt", "--run", str(folder / "runs/x"), "--val", "corpus.txt")
    done = mpi("charlm", *train, ":", "-n", 1, "--wdir", folder / "b", "charlm", *train, ranks=1)
    line = refusal(done, 1)
    assert line.startswith("Error: rank 1 on ")
    assert "corpus.txt: no such file" in line


@pytest.fixture
def started(mpi: Mpi, folder: Path) -> "subprocess.Popen[str]":
    """A run without an end on two ranks that has saved something."""
    job = _job("--save-every", 20)
    last = Path("runs/x/last.npz")
    wait_until(lambda: last.exists() and load(last).progress["updates"] > 0, lambda: job.poll() is None)
    return job


@pytest.fixture
def unsaved(mpi: Mpi, folder: Path) -> "subprocess.Popen[str]":
    """One that has made updates, but saved nothing since it began."""
    job = _job("--save-every", 0, "--eval-every", 20)
    wait_until(Path("runs/x/best.npz").exists, lambda: job.poll() is None)
    assert load(Path("runs/x/last.npz")).progress["updates"] == 0
    return job


def _job(*more: object) -> "subprocess.Popen[str]":
    words = command(*LONG, *more)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())


def _ranks(job: "subprocess.Popen[str]") -> list[int]:
    """The processes that mpiexec started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition(") ")
        except OSError:
            continue
        if int(rest.split()[1]) == job.pid and "charlm" in name:
            found.append(int(status.parent.name))
    return sorted(found)


def _goes_on(mpi: Mpi) -> None:
    """The state that is left can be resumed, by other ranks too."""
    updates = load(Path("runs/x/last.npz")).progress["updates"]
    assert updates > 0
    resume = ("charlm", "train", "corpus.txt", "--run", "runs/x", "--resume", "--updates", updates + 5, "-q")
    for ranks in (2, 1):
        assert mpi(*resume, ranks=ranks).returncode == 0
    assert load(Path("runs/x/last.npz")).progress["updates"] == updates + 5


@pytest.mark.parametrize("dies", [0, 1])
def test_a_rank_that_is_killed_ends_the_job(mpi: Mpi, started: "subprocess.Popen[str]", dies: int) -> None:
    os.kill(_ranks(started)[dies], signal.SIGKILL)
    _, err = started.communicate(timeout=HANGS)
    assert started.returncode not in (0, None)
    assert "signal 9" in err, "mpiexec says which process"
    assert "Traceback" not in err
    _goes_on(mpi)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_one_rank_stops_all(mpi: Mpi, unsaved: "subprocess.Popen[str]", number: int) -> None:
    os.kill(_ranks(unsaved)[1], number)
    _, err = unsaved.communicate(timeout=HANGS)
    assert unsaved.returncode == 128 + number
    assert "Traceback" not in err
    assert load(Path("runs/x/last.npz")).progress["updates"] >= 20
    _goes_on(mpi)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_mpiexec_reaches_all(mpi: Mpi, started: "subprocess.Popen[str]", number: int) -> None:
    """Open MPI's gives them a quarter of a second to save; where that is too little, what was saved before is left."""
    started.send_signal(number)
    _, err = started.communicate(timeout=HANGS)
    assert started.returncode not in (0, None)
    assert "Traceback" not in err
    _goes_on(mpi)


def test_what_mpiexec_passes_on_leaves_time_to_save(mpi: Mpi, unsaved: "subprocess.Popen[str]") -> None:
    unsaved.send_signal(signal.SIGUSR1)
    unsaved.communicate(timeout=HANGS)
    assert unsaved.returncode == 128 + signal.SIGUSR1
    assert load(Path("runs/x/last.npz")).progress["updates"] >= 20


def test_an_error_of_one_rank_alone_ends_the_job(mpi: Mpi, folder: Path) -> None:
    patch = (
        "from charlm.training.trainer import Trainer\n"
        "plan = Trainer._plan\n"
        "def failing(self, updates):\n"
        "    if rank == '1' and self.run.state.updates > 20: raise MemoryError\n"
        "    return plan(self, updates)\n"
        "Trainer._plan = failing"
    )
    done = mpi("python", "-c", PATCHED.format(patch), *LONG[1:], "--save-every", 10)
    assert done.returncode not in (0, None)
    assert done.stderr.count("Error: rank 1: out of memory") == 1
    assert "Traceback" not in done.stderr
    _goes_on(mpi)


def test_an_mpiexec_that_is_not_mpi4pys(mpi: Mpi, folder: Path) -> None:
    foreign = {**environment(), "PMI_RANK": "0", "PMI_SIZE": "2"}
    done = subprocess.run(
        [BIN / TRAIN[0], *TRAIN[1:3]], capture_output=True, text=True, env=foreign, timeout=HANGS, check=False
    )
    assert done.returncode == 1
    assert "2 processes were started by an mpiexec that mpi4py's MPI (Open MPI" in done.stderr
