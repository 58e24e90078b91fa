"""The directory of a run: the names of its files, how users name a run, and who writes there. Standard library only."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import CheckpointError, ConfigurationError
from ..files import Lock, remove_leftovers

LAST, BEST, METRICS, CONFIG = "last.npz", "best.npz", "metrics.jsonl", "config.json"
EVENTS = "events.out.tfevents.*"  # the pattern of TensorBoard's files
RUNS = Path("runs")  # the default place of run directories


def holds_a_model(run: Path) -> bool:
    """Return whether a directory has a checkpoint. An imported model has only best.npz."""
    return any((run / name).is_file() for name in (LAST, BEST))


def holds_a_run(run: Path) -> bool:
    """Return whether a directory has a file of a run, with or without a model: it is not overwritten by surprise."""
    return any((run / name).exists() for name in (LAST, BEST, METRICS, CONFIG))


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
    """Return the default directory of a run that is made from this file, such as the first of its corpus."""
    return RUNS / ("stdin" if corpus == "-" else Path(corpus).stem or "run")


def lock_directory(run: Path) -> Lock | None:
    """Lock a directory, if it exists, and remove what a killed writer left there. Raises CheckpointError."""
    if not run.is_dir():
        return None
    held = Lock(run)
    remove_leftovers(run)
    return held


def take_directory(run: Path, held: Lock | None) -> Lock:
    """Make and lock a directory for a new run, and make room in it. held: the lock on one that was there.

    The last checkpoint of an old run stays until the new one's takes its place.
    """
    run.mkdir(parents=True, exist_ok=True)
    held = held or Lock(run)
    for name in (BEST, METRICS, CONFIG):
        (run / name).unlink(missing_ok=True)
    for path in run.glob(EVENTS):
        path.unlink()
    return held
