"""With NUMBA_DISABLE_JIT=1 the kernels are the plain Python they are written in, to step through with a debugger."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.kernels.jit import JIT
from tests.oracle.problem import Problem, reference_gradient, relative_error, run_epoch

assert not JIT
CASES = (
    *(("rnn", "tanh", "layer"), ("rnn", "relu", "batch"), ("lstm", "tanh", "cell"), ("gru", "tanh", "cell")),
    *(("mlstm", "tanh", "layer"), ("indrnn", "relu", "none"), ("mingru", "tanh", "batch"), ("lstm", "tanh", "both")),
)
for cell, activation, norm in CASES:
    model = ModelConfig(cell, activation, 5, 2, dropout=0.3, residual=True, norm=norm)
    problem = Problem(model, TruncationConfig(2, 5, "window"), ResetConfig("line"), streams=2, length=19)
    for u in run_epoch(problem)[0][-2:]:
        error = relative_error(u.gradient, reference_gradient(problem, u.first, u.last))
        assert error < 1e-4, (cell, activation, error)
print("as the reference")
"""


def test_plain_python_gives_the_same_gradients() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::RuntimeWarning", "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=Path(__file__).parent.parent.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "as the reference\n"
