"""The same bits from every processor: see __main__.py."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from charlm.kernels.jit import LANE_COUNTS

from .__main__ import DIGESTS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("width", LANE_COUNTS)
def test_digests(width: int) -> None:
    """Vectors of every width give the digests that are kept here, and so must every processor."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.golden"],
        cwd=ROOT,
        env={**os.environ, "CHARLM_SIMD": str(width)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(DIGESTS.read_text(encoding="utf-8"))
