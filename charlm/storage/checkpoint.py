"""Checkpoints: .npz files that are complete or not there, never a pickle.

A checkpoint is a tree of named leaves. Arrays are entries of the archive: param/... under PyTorch's names and layouts,
tables/... if there are tables, and in last.npz state/..., a path for each leaf. All else is in the entry "meta", a JSON
string:

    format       the version of this layout; migration.py reads earlier ones
    config, vocabulary, progress
    state        the tree's other leaves, such as state["schedule"]["factor"]; empty where only a model is kept
    arrays       the CRC-32 of each array's entry

Zip's own checksums notice an entry whose bytes have changed; the list in "arrays" notices one that was renamed, replaced,
left out or added.
"""

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from ..config.model import ModelConfig
from ..config.run import RunConfig
from ..corpus.vocabulary import Vocabulary
from ..errors import CharlmError, CheckpointError, ConfigurationError
from ..files import parse_json, write_atomically
from ..nn.shapes import is_learned, pytorch_shapes
from ..nn.table_state import unpacked
from ..tree import LeafError, StateDict, join, split, take_array
from .migration import FORMAT, readable, upgrade
from .npz import read_archive, write_array
from .run_directory import BEST, LAST, checkpoint_file, find_run, holds_a_run, lock_directory, take_directory

if TYPE_CHECKING:
    from ..nn.parameters import Parameters

_COUNTS = ("updates", "epochs", "seconds", "chars_per_second")  # of progress, which an imported model has none of
_PARAM, _TABLES, _STATE = "param/", "tables/", "state/"


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a file.

    progress: JSON values for readers (updates, epochs, best_val_nats ...). state: the tree that exact continuation needs;
    empty unless the file is last.npz.
    """

    path: Path
    config: RunConfig
    vocabulary: Vocabulary
    parameters: "Parameters"
    progress: dict[str, Any]
    state: StateDict = field(default_factory=dict)

    @property
    def corpus_digest(self) -> str:
        """The digest of the text that the run was trained on; empty if it is not known."""
        return str(self.progress.get("corpus_digest", ""))


class Meta(NamedTuple):
    """A checkpoint's contents but for its arrays. format: the file's own. parameters: how many there are."""

    format: int
    config: RunConfig
    vocabulary: Vocabulary
    progress: dict[str, Any]
    parameters: int


def save(
    path: Path,
    config: RunConfig,
    vocabulary: Vocabulary,
    parameters: "Parameters",
    progress: dict[str, Any],
    state: StateDict | None = None,
) -> None:
    """Write a checkpoint. state: the tree that exact continuation needs, if it is to be kept. Raises CheckpointError."""
    values, found = split(state or {})
    arrays = {f"{_PARAM}{name}": array for name, array in parameters.state_dict().items()}
    if config.model.direct_order:
        arrays |= {f"{_TABLES}{name}": array for name, array in parameters.tables.state_dict().items()}
    arrays |= {f"{_STATE}{name}": array for name, array in found.items()}
    meta = {
        "format": FORMAT,
        "config": config.to_json(),
        "vocabulary": vocabulary.to_json(),
        "progress": progress,
        "state": values,
    }

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            checksums = {name: f"{write_array(archive, name, array):08x}" for name, array in arrays.items()}
            write_array(archive, "meta", np.array(json.dumps({**meta, "arrays": checksums})))

    write_atomically(path, write)


def load_meta(path: Path) -> Meta:
    """Read a checkpoint without Numba. Raises CheckpointError for everything that `load` refuses."""
    meta, arrays = _read(path)
    config, vocabulary, progress = understood(path, meta)
    parameters = _below(_PARAM, arrays)
    require_sound(path, config.model, len(vocabulary), parameters)
    _tables(path, config.model, len(vocabulary), arrays)
    _state(path, meta, arrays)
    count = sum(array.size for name, array in parameters.items() if is_learned(name))
    return Meta(meta["format"], config, vocabulary, progress, count)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises CheckpointError naming the file and what is wrong with it."""
    meta, arrays = _read(path)
    config, vocabulary, progress = understood(path, meta)
    tables = _tables(path, config.model, len(vocabulary), arrays)
    parameters = parameters_of(path, config.model, len(vocabulary), _below(_PARAM, arrays))
    if tables is not None:
        parameters.tables.fill(*tables)
    return Checkpoint(path, config, vocabulary, parameters, progress, _state(path, meta, arrays))


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return meta data and arrays, in the present format whatever the file's."""
    archive = read_archive(path)
    arrays = dict(archive.arrays)
    try:
        meta = parse_json(str(arrays.pop("meta")[()]))
        found = meta["format"]
    except (KeyError, TypeError, ValueError, RecursionError):
        raise CheckpointError(f"{path}: not a charlm checkpoint: no charlm metadata in it") from None
    if not readable(found):
        raise CheckpointError(
            f"{path}: checkpoint format {found!r}, this charlm reads 1 to {FORMAT}; use the version that wrote it"
        )
    if found > 1:
        _require_listed(path, meta, {name: f"{archive.checksums[name]:08x}" for name in arrays})
    return upgrade(meta, arrays)


def _require_listed(path: Path, meta: dict[str, Any], checksums: dict[str, str]) -> None:
    """Raise CheckpointError unless the arrays are those that were written together with the meta data."""
    listed = meta.get("arrays")
    if not isinstance(listed, dict):
        raise CheckpointError(f"{path}: its meta data is not understood: arrays incomplete, or of another kind")
    for name in sorted(listed.keys() | checksums.keys()):
        if listed.get(name) != checksums.get(name):
            expected = f"checksum {listed[name]}" if name in listed else "no such array"
            found = f"checksum {checksums[name]}" if name in checksums else "nothing"
            raise CheckpointError(f"{path}: {LeafError(name, expected, found)}; the file was changed after it was written")


def _state(path: Path, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> StateDict:
    values = meta.get("state")
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: its meta data is not understood: state incomplete, or of another kind")
    with naming(path, _STATE):
        return join(values, _below(_STATE, arrays))


def _below(branch: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of a branch, by their paths within it."""
    return {name.removeprefix(branch): array for name, array in arrays.items() if name.startswith(branch)}


@contextmanager
def naming(path: Path, what: str = "") -> Iterator[None]:
    """Turn a LeafError into a CheckpointError that names the file. what: comes before the leaf, such as "state/"."""
    try:
        yield
    except LeafError as error:
        raise CheckpointError(f"{path}: {what}{error}") from None


def understood(path: Path, meta: dict[str, Any]) -> tuple[RunConfig, Vocabulary, dict[str, Any]]:
    """Return what everything that reads the meta data relies on. Raises CheckpointError."""
    part = "settings"
    try:
        config = RunConfig.from_json(meta["config"])
        part = "vocabulary"
        vocabulary = Vocabulary.from_json(meta["vocabulary"])
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


def parameters_of(path: Path, model: ModelConfig, vocabulary: int, named: dict[str, np.ndarray]) -> "Parameters":
    """Return the parameters that a file holds under PyTorch's names. Raises CheckpointError.

    The arrays are checked before anything is allocated that has the size that the configuration claims.
    """
    from ..nn.parameters import Parameters

    require_sound(path, model, vocabulary, named)
    parameters = Parameters(model, vocabulary)
    parameters.load_state_dict(named)
    return parameters


def require_sound(path: Path, model: ModelConfig, vocabulary: int, named: dict[str, np.ndarray]) -> None:
    """Raise CheckpointError unless the arrays, by PyTorch's names, are the parameters of this network, all finite."""
    if model.layers > len(named):
        raise CheckpointError(f"{path}: {len(named)} arrays are too few for {model.layers} layers")
    with naming(path):
        for name, shape in pytorch_shapes(model, vocabulary).items():
            take_array(named, name, shape)


def refuse_tables(saved: Checkpoint) -> None:
    """Raise ConfigurationError for a model with tables, which other programs' formats have no place for."""
    if saved.config.model.direct_order:
        raise ConfigurationError(
            f"{saved.path}: its tables of --direct-order {saved.config.model.direct_order} belong to the model, and other "
            "programs have none; train with --direct-order 0 to export"
        )


def _tables(
    path: Path, model: ModelConfig, vocabulary: int, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the tables beside the network as `unpacked` does; None if it has none. Raises CheckpointError."""
    if not model.direct_order:
        return None
    with naming(path, _TABLES):
        return unpacked(_below(_TABLES, arrays), model.table_megabytes, vocabulary)


def load_run(name: str | None) -> Checkpoint:
    """Load the model of the run that RUN means, see find_run and checkpoint_file. Raises CheckpointError."""
    return load(checkpoint_file(find_run(name)))


def install(found: Checkpoint, run: Path, force: bool) -> None:
    """Make a run of a model trained elsewhere. Raises CheckpointError if the directory holds a run, unless forced."""
    if not force and holds_a_run(run):
        raise CheckpointError(f"{run} already holds a run: replace it with --force, or name another with --run")
    held = take_directory(run, lock_directory(run))
    try:
        (run / LAST).unlink(missing_ok=True)
        save(run / BEST, found.config, found.vocabulary, found.parameters, found.progress)
    finally:
        held.release()
