"""mpiexec for tests: two ranks on this machine, whoever runs it and however few processors there are."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .waiting import HANGS

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
MPIEXEC = shutil.which("mpiexec", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
CHARLM = str(BIN / "charlm")
# charlm with ranks that give the first one any time to say what is wrong, not a few seconds.
PATIENT = (sys.executable, "-c", "import charlm.cli; charlm.cli._WAIT_SECONDS = 1e6; charlm.cli.main()")

Mpi = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    """For Open MPI's mpiexec, which wants to be asked by root (containers), and for more ranks than processors."""
    return {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PYTHONPATH": str(ROOT),
    }


def command(*arguments: object, ranks: int = 2) -> list[str]:
    """mpiexec, and what it is to start."""
    return [str(MPIEXEC), "-n", str(ranks), *map(str, arguments)]


def run_ranks(*arguments: object, ranks: int = 2, **more: object) -> subprocess.CompletedProcess[str]:
    """Runs a program on so many ranks, in the current directory."""
    options = {"capture_output": True, "text": True, "timeout": HANGS, "env": environment(), **more}
    return subprocess.run(command(*arguments, ranks=ranks), check=False, **options)  # type: ignore[call-overload]


def missing() -> str:
    """Why nothing can be run on ranks here; empty where it can."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'charlm[mpi]'"
    return "" if MPIEXEC else "there is no mpiexec: pip install 'charlm[mpi]'"
