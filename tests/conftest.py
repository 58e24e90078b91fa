"""Tests keep compiled kernels and encoded corpora in the checkout's own cache, never in the user's."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .compiled import compile_kernels
from .mpiexec import Mpi, missing, run_ranks

ROOT = Path(__file__).parent.parent
os.environ["CHARLM_CACHE"] = str(ROOT / ".cache")
for name in [n for n in os.environ if n.startswith("CHARLM_") and n not in ("CHARLM_CACHE", "CHARLM_LANES")]:
    del os.environ[name]
os.environ["LC_ALL"] = "C.UTF-8"  # of the programs that tests start, wherever the tests themselves run
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # they start often: each would compile all modules again

# Hypothesis would fail a test whose examples take long, which is for the machine to decide.
settings.register_profile("charlm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("charlm")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile kernels once for all workers. A single process compiles what it needs when it needs it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        compile_kernels(int(worker.removeprefix("gw")))


@pytest.fixture(scope="session")
def mpi() -> Mpi:
    """Runs a program on ranks of MPI; skips where that is not installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return run_ranks
