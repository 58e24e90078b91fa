"""What a new run takes from its surroundings: the corpus's size, the machine's memory, another run's parameters."""

import math
import os
from pathlib import Path
from typing import NamedTuple

from ..config.run import ModelConfig, RunConfig
from ..corpus.corpus import Corpus
from ..errors import CheckpointError, ConfigurationError, ResourceError
from ..nn.parameters import Parameters
from ..storage.checkpoint import Checkpoint, pytorch_shapes

# Dropout by the size of the training part, as measured (see the README): a small text is read again and again and
# overfitted, of a large one minutes do not suffice to read much twice.
_SMALL_CORPUS, _SMALL_DROPOUT = 500_000, 0.4
_LARGE_CORPUS = 10_000_000


def fit_streams(wanted: int, asked: bool, targets: int, k1: int, ranks: int = 1) -> int:
    """The number of streams for a training part with `targets` targets.

    What was asked for is kept as long as every stream has a target; the default is lowered until a stream holds at
    least eight update blocks, and all ranks have equally many.
    """
    if asked:
        return max(1, min(wanted, targets))
    fitting = max(1, min(wanted, targets // (8 * k1)))
    return fitting // ranks * ranks or min(wanted, ranks)


def require_even(streams: int, ranks: int) -> None:
    """Refuses streams that cannot be dealt out evenly: the longest share would keep all others waiting."""
    if ranks > streams:
        raise ConfigurationError(f"{ranks} ranks for {streams} streams: start at most {streams}, or ask for more --streams")
    if streams % ranks:
        raise ConfigurationError(
            f"{streams} streams cannot be dealt out evenly to {ranks} ranks: use a multiple of {ranks} for --streams"
        )


def fit_dropout(wanted: float, asked: bool, characters: int) -> float:
    """Dropout for a training part of this size: what was asked for, else more for a small and none for a large one."""
    if asked or _SMALL_CORPUS <= characters <= _LARGE_CORPUS:
        return wanted
    return _SMALL_DROPOUT if characters < _SMALL_CORPUS else 0.0


def thread_count(asked: int | None = None, sharers: int = 1) -> int:
    """The number of threads to use: as many as there are processors for this process, unless asked otherwise.

    sharers: processes that have the same ones.
    """
    if asked:
        return asked
    return max(1, len(processors()) // sharers)


def processors() -> set[int]:
    """The processors that this process may run on."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def require_memory(needed: int) -> None:
    """Refuses a run that cannot fit. Arrays of zeros take memory only when they are written to, which would be too late."""
    free = free_memory()
    if needed > free:
        raise ResourceError(
            f"training would take {needed / 2**30:.1f} GiB of memory, this machine has {free / 2**30:.1f} free: "
            "use a smaller --k1, --k2, --streams, --hidden or --layers"
        )


def least_bytes(model: ModelConfig, vocabulary: int) -> int:
    """Returns the memory of a network's parameters and their gradient, without making them."""
    return 8 * sum(math.prod(shape) for shape in pytorch_shapes(model, vocabulary).values())


def free_memory() -> float:
    """Bytes that programs can still take, where the system says so (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


class Adopted(NamedTuple):
    """Parameters that start from another run's. known: characters of the corpus that it knew; new: those that it did not."""

    parameters: Parameters
    known: int
    new: list[str]


def adopt(source: Checkpoint, config: RunConfig, corpus: Corpus) -> Adopted:
    """Parameters for a new run that start from another's of the same shape.

    Characters that the other did not know keep their drawn values. Raises CheckpointError.
    """
    if source.vocabulary.uses_bytes != corpus.vocabulary.uses_bytes:
        theirs, ours = ("bytes", "characters") if source.vocabulary.uses_bytes else ("characters", "bytes")
        advice = "give --bytes" if theirs == "bytes" else "leave --bytes out"
        raise CheckpointError(f"{source.path}: its model reads {theirs}, this run {ours}: {advice}")
    parameters = Parameters(config.model, len(corpus.vocabulary))
    parameters.initialise(config.seed)
    arrays, old = parameters.to_pytorch(), source.parameters.to_pytorch()
    there = source.vocabulary.encode_each(corpus.vocabulary)
    known = there >= 0
    for name, array in old.items():
        if name == "rnn.weight_ih_l0":
            arrays[name][:, known] = array[:, there[known]]
        elif name.startswith("out."):
            arrays[name][known] = array[there[known]]
        else:
            arrays[name] = array
    parameters.load_pytorch(arrays, str(source.path))
    new = [character for character, is_known in zip(corpus.vocabulary.characters or [], known, strict=False) if not is_known]
    return Adopted(parameters, int(known.sum()), new)
