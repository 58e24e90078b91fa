"""Checkpoints: .npz files that are complete or not there, never a pickle."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.run import ModelConfig, RunConfig
from ..corpus.vocabulary import Vocabulary
from ..errors import CharlmError, CheckpointError
from ..files import read_json, write_atomically
from ..nn.shapes import pytorch_shapes
from .npz import read_archive
from .run_directory import checkpoint_file, find_run

if TYPE_CHECKING:
    from ..nn.parameters import Parameters

FORMAT = 1
_COUNTS = ("updates", "epochs", "seconds", "chars_per_second")  # of progress, which an imported model has none of


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

    @property
    def corpus_digest(self) -> str:
        """What the text that the run was trained on is recognised by; empty where there is none."""
        return str(self.progress.get("corpus_digest", ""))


def save(
    path: Path,
    config: RunConfig,
    vocabulary: Vocabulary,
    parameters: "Parameters",
    progress: dict[str, Any],
    resume: dict[str, np.ndarray] | None = None,
) -> None:
    """Writes a checkpoint; `resume` holds what exact continuation needs. Raises CheckpointError."""
    meta = {
        "format": FORMAT,
        "config": config.to_json(),
        "vocabulary": "bytes" if vocabulary.characters is None else vocabulary.characters,
        "progress": progress,
    }
    arrays: dict[str, Any] = {f"param/{name}": array for name, array in parameters.state_dict().items()}
    arrays |= {f"resume/{name}": array for name, array in (resume or {}).items()}
    write_atomically(path, lambda file: np.savez(file, meta=np.array(json.dumps(meta)), **arrays))


def load_meta(path: Path) -> tuple[dict[str, Any], int]:
    """A checkpoint's meta data and its number of parameters, without numba.

    Raises CheckpointError for all that `load` refuses.
    """
    arrays = read_archive(path)
    meta = _meta(path, arrays)
    config, vocabulary, progress = understood(path, meta)
    parameters = _parameters_in(arrays)
    require_sound(path, config.model, len(vocabulary), parameters)
    meta |= {"config": config.to_json(), "progress": progress}
    return meta, sum(array.size for array in parameters.values())


def _meta(path: Path, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    try:
        meta = read_json(str(arrays["meta"][()]))
        found = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(f"{path}: not a charlm checkpoint: no charlm metadata in it") from None
    if found != FORMAT:
        raise CheckpointError(
            f"{path}: checkpoint format {found!r}, this charlm reads {FORMAT}; use the version that wrote it"
        )
    return meta


def understood(path: Path, meta: dict[str, Any]) -> tuple[RunConfig, Vocabulary, dict[str, Any]]:
    """What the meta data says, as far as everything that reads it relies on it."""
    part = "settings"
    try:
        config = RunConfig.from_json(meta["config"])
        part = "vocabulary"
        vocabulary = _vocabulary(meta["vocabulary"])
        part = "progress"
        progress = dict(meta["progress"])
        for name in _COUNTS if progress else ():
            if not math.isfinite(progress[name]) or progress[name] < 0:
                raise CheckpointError(f"{name} is {progress[name]}")
        for name in ("best_val_nats", "code_bits_per_char"):
            if progress.get(name) is not None and not math.isfinite(progress[name]):
                raise CheckpointError(f"{name} is {progress[name]}")
    except CharlmError as error:
        raise CheckpointError(f"{path}: its meta data is not understood: {part}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise CheckpointError(f"{path}: its meta data is not understood: {part} incomplete, or of another kind") from None
    return config, vocabulary, progress


def _vocabulary(listed: Any) -> Vocabulary:
    if listed != "bytes" and not (isinstance(listed, list) and listed):
        raise CheckpointError('it is no list of characters, nor "bytes"')
    return Vocabulary(None if listed == "bytes" else listed)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint; raises CheckpointError naming the file and what is wrong with it."""
    arrays = read_archive(path)
    config, vocabulary, progress = understood(path, _meta(path, arrays))
    parameters = parameters_of(path, config.model, len(vocabulary), _parameters_in(arrays))
    resume = {name.removeprefix("resume/"): array for name, array in arrays.items() if name.startswith("resume/")}
    return Checkpoint(path, config, vocabulary, parameters, progress, resume)


def _parameters_in(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters among a file's arrays, by PyTorch's names."""
    return {name.removeprefix("param/"): array for name, array in arrays.items() if name.startswith("param/")}


def parameters_of(path: Path, model: ModelConfig, vocabulary: int, named: dict[str, np.ndarray]) -> "Parameters":
    """The parameters that a file's arrays, by PyTorch's names, are; raises CheckpointError.

    They are looked at before anything is made of the size that the configuration claims.
    """
    from ..nn.parameters import Parameters

    require_sound(path, model, vocabulary, named)
    parameters = Parameters(model, vocabulary)
    parameters.load_state_dict(named)
    return parameters


def require_sound(path: Path, model: ModelConfig, vocabulary: int, named: dict[str, np.ndarray]) -> None:
    """Raises CheckpointError unless the arrays, by PyTorch's names, are the parameters of this network, all finite."""
    if model.layers > len(named):
        raise CheckpointError(f"{path}: {len(named)} arrays are too few for {model.layers} layers")
    for name, shape in pytorch_shapes(model, vocabulary).items():
        if name not in named:
            raise CheckpointError(f"{path}: array {name} is missing")
        found = named[name]
        if found.shape != shape or found.dtype != np.float32:
            there = f"{found.dtype} {found.shape}"
            raise CheckpointError(f"{path}: array {name} should be float32 {shape}, the file has {there}")
        require_finite(path, name, found)


def require_finite(path: Path, name: str, array: np.ndarray) -> None:
    """Raises CheckpointError for an array that holds NaN or infinity, which charlm never saves."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CheckpointError(f"{path}: array {name} holds numbers that are not finite, so the file is damaged: use another")


def load_run(name: str | None) -> Checkpoint:
    """The model to use of the run that RUN means, see find_run and checkpoint_file; raises CheckpointError."""
    return load(checkpoint_file(find_run(name)))
