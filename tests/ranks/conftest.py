"""mpiexec for tests: two ranks on this machine, whoever runs it and however few processors there are."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
MPIEXEC = shutil.which("mpiexec", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
CHARLM = str(BIN / "charlm")
# Open MPI's mpiexec wants to be asked twice by root, as whom containers run, and for more ranks than processors.
ENVIRONMENT = {
    **os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PYTHONPATH": str(ROOT),
}  # fmt: skip

Mpi = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: object, ranks: int = 2) -> list[str]:
    """mpiexec, and what it is to start."""
    return [str(MPIEXEC), "-n", str(ranks), *map(str, arguments)]


@pytest.fixture(scope="session")
def mpi() -> Mpi:
    """Runs a program on so many ranks, in the current directory; skips where MPI is not installed."""
    try:
        import mpi4py  # noqa: F401
    except ImportError:
        pytest.skip("mpi4py is not installed: pip install 'charlm[mpi]'")
    if MPIEXEC is None:
        pytest.skip("there is no mpiexec: pip install 'charlm[mpi]'")

    def run(*arguments: object, ranks: int = 2, **more: object) -> subprocess.CompletedProcess[str]:
        options = {"capture_output": True, "text": True, "timeout": 240, "env": ENVIRONMENT, **more}
        return subprocess.run(command(*arguments, ranks=ranks), check=False, **options)  # type: ignore[call-overload]

    return run


TEXT = "".join(f"It was day {i} like any other, and the rain fell on roof number {i * 7 % 100}.\n" for i in range(300))
SMALL = ("--hidden", 16, "--layers", 2, "--k1", 8, "--streams", 8, "--threads", 1, "--quiet")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with corpus.txt."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path
