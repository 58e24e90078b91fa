"""Checkpoints: .npz files that are complete or not there. Temporary file, fsync, rename; never a pickle."""

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .config import RunConfig
from .errors import CharlmError, CheckpointError
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .parameters import Parameters

FORMAT = 1
LAST, BEST, METRICS, CONFIG = "last.npz", "best.npz", "metrics.jsonl", "config.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    progress: JSON values (updates, epochs, best_val_nats ...). resume: arrays that only last.npz has, by name.
    """

    path: Path
    config: RunConfig
    vocabulary: Vocabulary
    parameters: "Parameters"
    progress: dict[str, Any]
    resume: dict[str, np.ndarray]


def write_atomically(path: Path, write: Any) -> None:
    """Has write(file) fill a temporary file beside `path`, forces it to the disk and renames it over `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path}: could not be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def save(
    path: Path, config: RunConfig, vocabulary: Vocabulary, parameters: "Parameters", progress: dict[str, Any],
    resume: dict[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Writes a checkpoint; `resume` holds what exact continuation needs. Raises CheckpointError."""
    meta = {
        "format": FORMAT,
        "config": config.to_json(),
        "vocabulary": "bytes" if vocabulary.characters is None else vocabulary.characters,
        "progress": progress,
    }
    arrays: dict[str, Any] = {f"param/{name}": array for name, array in parameters.to_pytorch().items()}
    arrays |= {f"resume/{name}": array for name, array in (resume or {}).items()}
    write_atomically(path, lambda file: np.savez(file, meta=np.array(json.dumps(meta)), **arrays))


def load_meta(path: Path) -> tuple[dict[str, Any], int]:
    """A checkpoint's meta data and its number of parameters, without numba; raises CheckpointError."""
    arrays = _read_arrays(path)
    meta = _meta(path, arrays)
    return meta, sum(array.size for name, array in arrays.items() if name.startswith("param/"))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint ({error}); it may be damaged") from None


def _meta(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        meta = json.loads(str(arrays["meta"][()]))
        found = meta["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a charlm checkpoint ({error!r})") from None
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {found}, this charlm reads {FORMAT}; use the version that wrote it"
        )
    return meta


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint; raises CheckpointError naming the file and what is wrong with it."""
    from .parameters import Parameters

    arrays = _read_arrays(path)
    meta = _meta(path, arrays)
    try:
        config = RunConfig.from_json(meta["config"])
        vocabulary = Vocabulary(None if meta["vocabulary"] == "bytes" else meta["vocabulary"])
        progress = dict(meta["progress"])
    except (KeyError, TypeError, ValueError, CharlmError) as error:
        raise CheckpointError(f"{path}: its meta data is not understood: {error}") from None
    parameters = Parameters(config.model, len(vocabulary))
    named = {name.removeprefix("param/"): array for name, array in arrays.items() if name.startswith("param/")}
    parameters.load_pytorch(named, str(path))
    resume = {name.removeprefix("resume/"): array for name, array in arrays.items() if name.startswith("resume/")}
    return Checkpoint(path, config, vocabulary, parameters, progress, resume)


def load_run(name: str | None) -> Checkpoint:
    """The model to use of the run that RUN means, see find_run and checkpoint_file; raises CheckpointError."""
    return load(checkpoint_file(find_run(name)))


def find_run(name: str | None) -> Path:
    """The run directory or checkpoint file that RUN means; without one $CHARLM_RUN, else the newest run in runs/."""
    name = name or os.environ.get("CHARLM_RUN")
    if name:
        path = Path(name)
        if not path.exists():
            raise CheckpointError(f"{name}: no such run or checkpoint; `charlm train TEXT --run {name}` makes one")
        return path
    runs = [path for path in Path("runs").glob("*") if (path / LAST).exists() or (path / BEST).exists()]
    if not runs:
        raise CheckpointError("no run named, $CHARLM_RUN is not set and runs/ holds none; train one: charlm train TEXT")
    return max(runs, key=lambda path: max(f.stat().st_mtime for f in path.glob("*.npz")))


def checkpoint_file(run: Path) -> Path:
    """The file with the model to use: the best one of a run directory, else its last; a file is itself."""
    if not run.is_dir():
        return run
    for name in (BEST, LAST):
        if (run / name).exists():
            return run / name
    raise CheckpointError(f"{run}: holds no checkpoint ({BEST} or {LAST})")
