"""What a new run takes from its surroundings: the corpus's size, the machine's memory, another run's parameters."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from .checkpoint import Checkpoint
from .config import RunConfig
from .corpus import Corpus
from .errors import CheckpointError, ConfigurationError, ResourceError
from .parameters import Parameters

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


def free_memory() -> float:
    """Bytes that programs can still take, where the system says so (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return math.inf
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), math.inf)


def adopt(source: Checkpoint, config: RunConfig, corpus: Corpus) -> Parameters:
    """Parameters for a new run that start from another's; characters it did not know keep their drawn values."""
    theirs, mine = (replace(c.model, dropout=0.0, forget_bias=None) for c in (source.config, config))
    if theirs != mine:
        raise CheckpointError(f"{source.path}: its network {source.config.model} is not the one asked for, {config.model}")
    parameters = Parameters(config.model, len(corpus.vocabulary))
    parameters.initialise(config.seed)
    if source.vocabulary.uses_bytes != corpus.vocabulary.uses_bytes:
        raise CheckpointError(f"{source.path}: one of the two models reads bytes, the other characters; see --bytes")
    arrays, old = parameters.to_pytorch(), source.parameters.to_pytorch()
    new = corpus.vocabulary.characters or [chr(b) for b in range(256)]
    old_ones = source.vocabulary.characters or [chr(b) for b in range(256)]
    place = {character: i for i, character in enumerate(old_ones)}
    shared = [(i, place[character]) for i, character in enumerate(new) if character in place]
    here, there = (np.array(side, int) for side in zip(*shared, strict=True)) if shared else (np.array([], int),) * 2
    for name, array in old.items():
        if name == "rnn.weight_ih_l0":
            arrays[name][:, here] = array[:, there]
        elif name.startswith("out."):
            arrays[name][here] = array[there]
        else:
            arrays[name] = array
    parameters.load_pytorch(arrays, str(source.path))
    return parameters
