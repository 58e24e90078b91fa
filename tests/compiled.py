"""Compile the large kernels before tests run, each once.

Two workers that need the same kernel at the same time would both compile it, for up to a minute. So each begins with
another one, under a lock, and then loads from the cache what the others have compiled.
"""

import fcntl
import functools
from pathlib import Path

ROOT = Path(__file__).parent.parent


@functools.cache
def compile_kernels(worker: int = 0) -> None:
    """Compile or load the kernels that train, score and draw. worker: number of this worker, from 0."""
    locks = ROOT / ".cache" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    kernels = (_train, _score, _draw)
    first = worker % len(kernels)
    for use in kernels[first:] + kernels[:first]:
        with (locks / use.__name__).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            use()


def _train() -> None:
    from charlm.config.model import ModelConfig
    from charlm.config.truncation import TruncationConfig

    from .oracle.problem import Problem, run_epoch

    run_epoch(Problem(ModelConfig(hidden=5, layers=1), TruncationConfig(4, 4)))


def _score() -> None:
    from charlm.config.model import ModelConfig
    from charlm.config.truncation import TruncationConfig
    from charlm.inference.evaluation import Evaluator

    from .oracle.problem import Problem

    problem = Problem(ModelConfig(hidden=5, layers=1), TruncationConfig(4, 4))
    Evaluator(problem.parameters()).losses(problem.text(), problem.resets())


def _draw() -> None:
    from charlm.config.model import ModelConfig
    from charlm.config.sampling import DrawConfig
    from charlm.config.truncation import TruncationConfig
    from charlm.inference.sampling import Context, sample

    from .oracle.problem import Problem

    problem = Problem(ModelConfig(hidden=5, layers=1), TruncationConfig(4, 4))
    list(sample(Context(problem.parameters(), problem.resets(), problem.text()[:1], 1), 1, 2, DrawConfig()))
