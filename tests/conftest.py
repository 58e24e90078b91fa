"""Tests keep compiled kernels and encoded corpora in the checkout's own cache, never in the user's."""

import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .compiled import compile_kernels
from .mpiexec import BIN, Mpi, missing, run_ranks
from .warm import warm_charlm

ROOT = Path(__file__).parent.parent
os.environ["CHARLM_CACHE"] = str(ROOT / ".cache")
for name in [n for n in os.environ if n.startswith("CHARLM_") and n not in ("CHARLM_CACHE", "CHARLM_SIMD")]:
    del os.environ[name]
os.environ["LC_ALL"] = "C.UTF-8"  # of the programs that tests start, wherever the tests themselves run
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # they start often: each would compile all modules again

# Hypothesis would fail a test whose examples take long, which is for the machine to decide. The examples are the same in
# every run; the campaign (make torture) looks for new ones: pytest --hypothesis-profile torture.
settings.register_profile("charlm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("torture", settings.get_profile("charlm"), derandomize=False, max_examples=1000)
settings.load_profile("charlm")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile kernels once for all workers. A single process compiles what it needs when it needs it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        compile_kernels()


@pytest.fixture(scope="session")
def warm() -> Iterator[Path]:
    """Yield the directory of a charlm, and of a python, that start at once."""
    with tempfile.TemporaryDirectory() as folder, warm_charlm(Path(folder)) as programs:
        yield programs


@pytest.fixture(scope="module")
def warm_path(warm: Path) -> Iterator[None]:
    """Let `charlm` and `python` be the warm ones in programs that the module's tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{warm}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture
def cold_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `charlm` and `python` be the installed ones in programs that a test starts."""
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def mpi(warm: Path) -> Mpi:
    """Return a function that runs the warm charlm or python on ranks of MPI. Skip if that is not installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return functools.partial(run_ranks, programs=warm)


@pytest.fixture(scope="session")
def cold_mpi() -> Mpi:
    """Return a function that runs the installed charlm on ranks of MPI. Skip if that is not installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return run_ranks
