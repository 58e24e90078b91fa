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

Mpi = Callable[..., subprocess.CompletedProcess[str]]


def environment(programs: Path = BIN) -> dict[str, str]:
    """Return the environment for Open MPI's mpiexec: root may use it (containers), and ranks may outnumber processors.

    programs: the directory of the charlm that ranks are.
    """
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PYTHONPATH": str(ROOT),
    }


def command(*arguments: object, ranks: int = 2) -> list[str]:
    """Return the words of a command that starts ranks."""
    return [str(MPIEXEC), "-n", str(ranks), *map(str, arguments)]


def run_ranks(*arguments: object, ranks: int = 2, programs: Path = BIN, **more: object) -> subprocess.CompletedProcess[str]:
    """Run a program on several ranks, in the current directory. programs: the directory of charlm."""
    options = {"capture_output": True, "text": True, "timeout": HANGS, "env": environment(programs), **more}
    return subprocess.run(command(*arguments, ranks=ranks), check=False, **options)  # type: ignore[call-overload]


def missing() -> str:
    """Return why ranks cannot be started here, or an empty string."""
    if importlib.util.find_spec("mpi4py") is None:
        return "mpi4py is not installed: pip install 'charlm[mpi]'"
    return "" if MPIEXEC else "there is no mpiexec: pip install 'charlm[mpi]'"
