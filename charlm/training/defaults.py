"""Defaults that follow from the size of the corpus and the number of ranks."""

import math

from ..config.run import RunConfig
from ..errors import ConfigurationError
from ..kernels.table_sizes import OWN_TABLES

# Dropout by the size of the training part, as measured (charlm guide defaults). A small text is read many times and
# overfitted; of a large one, little is read twice within minutes.
_SMALL_CORPUS, _SMALL_DROPOUT = 500_000, 0.4
_LARGE_CORPUS = 10_000_000

# Room for tables, by length of context and character of the training part, as measured on texts of some megabytes: a context
# is counted with each character that followed it, and the longer it is, the fewer of them come again.
_TABLE_BYTES, _MOST_TABLES = 8, 128  # bytes, MB


def fit_streams(wanted: int, asked: bool, targets: int, k1: int, ranks: int = 1) -> int:
    """Return the number of streams for a training part with `targets` targets.

    A number that was asked for is kept as long as every stream has a target. The default is lowered until a stream holds at
    least eight update blocks and all ranks have equally many streams.
    """
    if asked:
        return max(1, min(wanted, targets))
    fitting = max(1, min(wanted, targets // (8 * k1)))
    return fitting // ranks * ranks or min(wanted, ranks)


def require_even(streams: int, ranks: int) -> None:
    """Raise ConfigurationError for streams that ranks cannot share evenly: the largest share would delay the others."""
    if ranks > streams:
        raise ConfigurationError(f"{ranks} ranks for {streams} streams: start at most {streams}, or ask for more --streams")
    if streams % ranks:
        raise ConfigurationError(
            f"{streams} streams cannot be dealt out evenly to {ranks} ranks: use a multiple of {ranks} for --streams"
        )


def fit_dropout(wanted: float, asked: bool, characters: int) -> float:
    """Return dropout for a training part of this size: as asked for, else more for a small and none for a large one."""
    if asked or _SMALL_CORPUS <= characters <= _LARGE_CORPUS:
        return wanted
    return _SMALL_DROPOUT if characters < _SMALL_CORPUS else 0.0


def fit_tables(lengths: int, characters: int) -> int:
    """Return the size of tables of so many lengths of contexts, in MB, that has room for a training part of this size."""
    return min(_MOST_TABLES, max(1, math.ceil(_TABLE_BYTES * lengths * characters / 1e6)))


def table_bytes(config: RunConfig) -> int:
    """Return the memory of a run's tables in training. Those that are counted beforehand are counted by section too."""
    copies = 1 if config.once else 1 + OWN_TABLES
    return copies * config.model.table_megabytes * 10**6
