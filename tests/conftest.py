"""Tests keep compiled kernels and encoded corpora in the checkout's own cache, never in the user's."""

import os
from pathlib import Path

import pytest

from .mpiexec import Mpi, missing, run_ranks

ROOT = Path(__file__).parent.parent
os.environ["CHARLM_CACHE"] = str(ROOT / ".cache")
for name in [n for n in os.environ if n.startswith("CHARLM_") and n not in ("CHARLM_CACHE", "CHARLM_LANES")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def mpi() -> Mpi:
    """Runs a program on ranks of MPI; skips where that is not installed."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    return run_ranks
