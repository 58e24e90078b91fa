"""The width of vectors: of this processor, or another one's by force, each with compiled code of its own."""

import os
import subprocess
import sys

from charlm import cli
from charlm.kernels.jit import LANE_COUNTS

SHOW = (
    "from charlm.kernels import code_store, jit; print(jit.LANES, code_store.DIGEST, code_store.Store(jit.LANES).directory)"
)


def shown(width: str) -> "subprocess.CompletedProcess[str]":
    """What a process with vectors of this width has."""
    return subprocess.run(
        [sys.executable, "-c", SHOW], env={**os.environ, "CHARLM_SIMD": width}, capture_output=True, text=True, check=False
    )


def test_any_width_can_be_forced_and_is_cached_apart() -> None:
    widths, digests, places = zip(*(shown(str(width)).stdout.split() for width in LANE_COUNTS), strict=True)
    assert [int(width) for width in widths] == list(LANE_COUNTS)
    assert len(set(digests)) == 1, "ranks on different processors compute the same"
    assert len(set(places)) == len(LANE_COUNTS)


def test_a_width_that_there_is_not() -> None:
    assert "ValueError: CHARLM_SIMD=5: choose from 4, 8, 16" in shown("5").stderr
    assert tuple(map(str, LANE_COUNTS)) == cli._LANES
    done = subprocess.run(
        [sys.executable, "-m", "charlm", "info"],
        env={**os.environ, "CHARLM_SIMD": "5"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: environment variable CHARLM_SIMD=5: choose from 4, 8, 16\n"
