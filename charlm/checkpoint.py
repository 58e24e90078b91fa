"""Checkpoints: .npz files that are complete or not there, never a pickle; and which of them a RUN means."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .archive import read_archive
from .config import ModelConfig, RunConfig
from .errors import CharlmError, CheckpointError
from .storage import write_atomically
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .parameters import Parameters

FORMAT = 1
_COUNTS = ("updates", "epochs", "seconds", "chars_per_second")  # of progress, which an imported model has none of
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
    arrays = read_archive(path)
    meta = _meta(path, arrays)
    config, _, progress = understood(path, meta)
    meta |= {"config": config.to_json(), "progress": progress}
    return meta, sum(array.size for name, array in arrays.items() if name.startswith("param/"))


def _meta(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        meta = json.loads(str(arrays["meta"][()]))
        found = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a charlm checkpoint ({error!r})") from None
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {found!r}, this charlm reads {FORMAT}; use the version that wrote it"
        )
    return meta


def understood(path: Path, meta: dict[str, Any]) -> tuple[RunConfig, Vocabulary, dict[str, Any]]:
    """What the meta data says, as far as everything that reads it relies on it."""
    try:
        config = RunConfig.from_json(meta["config"])
        if meta["vocabulary"] != "bytes" and not isinstance(meta["vocabulary"], list):
            raise ValueError(f"vocabulary {meta['vocabulary']!r}")
        vocabulary = Vocabulary(None if meta["vocabulary"] == "bytes" else meta["vocabulary"])
        progress = dict(meta["progress"])
        if len(vocabulary) == 0:
            raise ValueError("no characters")
        for name in _COUNTS if progress else ():
            if not math.isfinite(progress[name]) or progress[name] < 0:
                raise ValueError(f"{name} {progress[name]!r}")
        for name in ("best_val_nats", "code_bits_per_char"):
            if progress.get(name) is not None and not math.isfinite(progress[name]):
                raise ValueError(f"{name} {progress[name]!r}")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, CharlmError) as error:
        raise CheckpointError(f"{path}: its meta data is not understood: {error!r}") from None
    return config, vocabulary, progress


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint; raises CheckpointError naming the file and what is wrong with it."""
    arrays = read_archive(path)
    config, vocabulary, progress = understood(path, _meta(path, arrays))
    named = {name.removeprefix("param/"): array for name, array in arrays.items() if name.startswith("param/")}
    parameters = parameters_of(path, config.model, len(vocabulary), named)
    resume = {name.removeprefix("resume/"): array for name, array in arrays.items() if name.startswith("resume/")}
    return Checkpoint(path, config, vocabulary, parameters, progress, resume)


def parameters_of(path: Path, model: ModelConfig, vocabulary: int, named: dict[str, np.ndarray]) -> "Parameters":
    """The parameters that a file's arrays, by PyTorch's names, are; raises CheckpointError.

    Their shapes are looked at before anything is made of the size that the configuration claims.
    """
    from .parameters import Parameters, pytorch_shapes

    if model.layers > len(named):
        raise CheckpointError(f"{path}: {len(named)} arrays are too few for {model.layers} layers")
    for name, shape in pytorch_shapes(model, vocabulary).items():
        if name not in named:
            raise CheckpointError(f"{path}: array {name} is missing")
        if named[name].shape != shape:
            raise CheckpointError(f"{path}: array {name} should be {shape}, the file has {named[name].shape}")
    parameters = Parameters(model, vocabulary)
    parameters.load_pytorch(named, str(path))
    return parameters


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
