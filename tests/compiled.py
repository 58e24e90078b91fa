"""Compile the kernels that tests run, each once.

Two workers that need the same kernel at the same time would both compile it, for up to a minute. So each compiles
its own share first, under a lock, and loads those of the others from the cache.
"""

import fcntl
import tempfile
from pathlib import Path

TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
CELLS = (("lstm", "tanh"), ("gru", "tanh"), ("rnn", "tanh"), ("rnn", "relu"))


def compile_kernels(cache: Path, worker: int) -> None:
    """Compile or load the kernels of every cell.

    cache: directory of the locks. worker: number of this worker, from 0; it says which cell comes first.
    """
    cache.mkdir(parents=True, exist_ok=True)
    first = worker % len(CELLS)
    for cell, activation in CELLS[first:] + CELLS[:first]:
        with (cache / f"{cell}-{activation}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _use(cell, activation)


def _use(cell: str, activation: str) -> None:
    """Train, sample and score with a small network."""
    import charlm

    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.txt"
        corpus.write_text(TEXT, encoding="utf-8")
        settings = charlm.Settings(cell=cell, activation=activation, hidden=16, layers=1, streams=4, k1=8, updates=2)
        model = charlm.train(corpus, Path(folder) / "run", **settings)
        model.sample(3, prime="the")
        list(model.score(["the lazy fox\n"]))
