"""Steps that kernels call by address: compiled once for all processes, and never one in another's place."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from charlm.kernels import jit
from charlm.kernels.records import ROW
from charlm.kernels.simd import LANES, load, store


def scaled(name: str) -> Callable[..., None]:
    """A step from a factory: its name is the same whatever it closes over."""
    factor = {"double": 2.0, "triple": 3.0}[name]

    def step(x):  # type: ignore[no-untyped-def]
        store(x, 0, load(x, 0) * factor)

    return step


def applied(name: str) -> float:
    """What the step makes of 1."""
    x = np.ones(LANES, np.float32)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(jit.step_address(scaled(name), ROW))(x.ctypes.data)
    return float(x[-1])


SHOW = """
import sys
from charlm.kernels import jit
from tests.kernels.test_steps import applied
compiled = []
jit.on_compile.append(compiled.append)
print([applied(name) for name in sys.argv[1:]], len(compiled))
"""


def shown(cache: Path, *names: str) -> str:
    """What a process of its own finds, and how many steps it compiled for it."""
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *names],
        env={**os.environ, "CHARLM_CACHE": str(cache)},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent.parent,
    )
    return done.stdout.strip()


def test_another_process_finds_the_code_of_each_function_of_a_factory(tmp_path: Path) -> None:
    assert shown(tmp_path, "double") == "[2.0] 1"
    assert shown(tmp_path, "triple") == "[3.0] 1"
    assert shown(tmp_path, "triple", "double", "triple") == "[3.0, 2.0, 3.0] 0"
