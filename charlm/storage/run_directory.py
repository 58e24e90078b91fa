"""The directory of a run: the names of its files, and how users name a run. Standard library only."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError, ConfigurationError

LAST, BEST, METRICS, CONFIG = "last.npz", "best.npz", "metrics.jsonl", "config.json"
EVENTS = "events.out.tfevents.*"  # the pattern of TensorBoard's files
RUNS = Path("runs")  # the default place of run directories


def holds_a_model(run: Path) -> bool:
    """Return whether a directory has a checkpoint. An imported model has only best.npz."""
    return any((run / name).is_file() for name in (LAST, BEST))


def runs() -> Iterator[Path]:
    """Yield the runs in runs/, trained or imported."""
    return filter(holds_a_model, RUNS.glob("*"))


def find_run(name: str | None) -> Path:
    """Return the run directory or checkpoint file that RUN means: by default $CHARLM_RUN, else the newest in runs/.

    Raises CheckpointError, ConfigurationError.
    """
    if name == "":
        raise ConfigurationError("RUN is empty; leave it out for the newest run in runs/")
    name = name or os.environ.get("CHARLM_RUN")
    if name:
        path = Path(name)
        if not path.exists():
            raise CheckpointError(f"{name}: no such run or checkpoint; `charlm train TEXT --run {name}` makes one")
        return path
    found = list(runs())
    if not found:
        raise CheckpointError("no run named, $CHARLM_RUN is not set and runs/ holds none; train one: charlm train TEXT")
    return max(found, key=lambda path: max(f.stat().st_mtime for f in path.glob("*.npz")))


def checkpoint_file(run: Path) -> Path:
    """Return the checkpoint to use: best.npz of a run directory, else last.npz; a file is itself."""
    if not run.is_dir():
        return run
    for name in (BEST, LAST):
        if (run / name).exists():
            return run / name
    raise CheckpointError(f"{run}: holds no checkpoint ({BEST} or {LAST})")


def default_run(corpus: str) -> Path:
    """Return the default directory of a run whose corpus begins with this file."""
    return RUNS / ("stdin" if corpus == "-" else Path(corpus).stem or "run")
