"""What a kernel is made of: optimized once, nothing shared with other kernels, no counting of references."""

import re
from pathlib import Path

import numpy as np
import pytest

from charlm.kernels.compiler import linked
from charlm.kernels.jit import inner, kernel
from charlm.kernels.records import ArrayKind


def test_a_kernel_is_complete_in_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path))

    @inner
    def square(x, i):  # type: ignore[no-untyped-def]
        return x[i] * x[i]

    @inner
    def length(x):  # type: ignore[no-untyped-def]
        total = 0.0
        for i in range(x.shape[0]):
            total += square(x, i)
        return total**0.5

    @kernel
    def scale(x, rows):  # type: ignore[no-untyped-def]
        for row in range(rows.shape[0]):
            rows[row, 0] = length(rows[row]) * length(x)

    x, rows = np.array([3.0, 4.0]), np.array([[6.0, 8.0], [0.0, 1.0]])
    scale(x, rows)
    assert rows[:, 0].tolist() == [50.0, 5.0]
    kinds = ArrayKind("float64", 1), ArrayKind("float64", 2)
    code = linked(scale.function, kinds, "scale").get_llvm_str()
    assert re.findall(r"^define .*@(\w+)\(", code, re.M) == ["scale"], "all else is linked into it, or another might take it"
    assert "NRT_incref" not in code
