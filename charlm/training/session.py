"""How a run begins: its directory, its corpus, and a trainer that starts, starts over or resumes. And a whole run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Unpack

import numpy as np

from ..config.keywords import Settings
from ..config.request import Request, SavingConfig
from ..config.run import RunConfig
from ..config.settings import configuration, other_setting, resumed, shaped_as
from ..corpus.corpus import Corpus, read_corpus
from ..corpus.sources import is_regular, require_shareable
from ..distributed.ranks import Ranks
from ..errors import CheckpointError, ConfigurationError, CorpusError, OtherTextError
from ..events import Event, Note
from ..files import Lock
from ..inference.model import Model
from ..kernels.code_store import DIGEST
from ..kernels.helper import compile_ahead
from ..kernels.table_sizes import OWN_TABLES, TABLE_CHARACTERS
from ..nn.parameters import Parameters
from ..storage.checkpoint import Checkpoint, load, load_run
from ..storage.run_directory import LAST, default_run, holds_a_run, lock_directory, take_directory
from ..system import thread_count
from ..version import __version__
from .assembly import new_trainer
from .defaults import fit_dropout, fit_streams, fit_tables, require_even
from .trainer import Trainer
from .transfer import adopt

_NAMED = 20  # new characters in a message


def begin(
    request: Request,
    say: Callable[[str], object] = lambda note: None,
    on_read: Callable[[int], None] = lambda n: None,
    ranks: Ranks | None = None,
) -> Trainer:
    """Return a trainer that is ready to train. Nothing of an earlier run is removed until all checks have passed.

    say: called with notes about what was found and decided. on_read: as for read_corpus. ranks: train together; only the
    first one needs the run's directory. Raises CharlmError.
    """
    ranks = ranks or Ranks()
    ranks.require_same("what is installed differs", _installed())
    ranks.require_same("what is asked for differs", f"{request.corpus} {request.settings}")
    lock = ranks.on_first(lambda: lock_directory(request.run))
    try:
        return _trainer(request, lock, say, on_read, ranks)
    except BaseException:  # whoever keeps the error would keep the lock: an interactive session does
        if lock:
            lock.release()
        raise


def _trainer(
    request: Request, lock: Lock | None, say: Callable[[str], object], on_read: Callable[[int], None], ranks: Ranks
) -> Trainer:
    """Return a trainer that holds the lock of its directory. lock: if the directory is there."""
    saved = ranks.from_first(lambda: _saved_run(request))
    if ranks.first_on_node:
        compile_ahead()
    source = None if request.init_from is None else ranks.from_first(lambda: load_run(request.init_from))
    if source:
        model = source.config.model
        request = ranks.everywhere(lambda: replace(request, settings=shaped_as(model, str(source.path), request.settings)))
    config = ranks.everywhere(lambda: _configuration(request, saved))
    corpus = ranks.everywhere(lambda: _read(config, request, saved, say, on_read, ranks), node_first=True)
    ranks.require_same("the corpus differs: its digest is", corpus.digest)
    config = ranks.everywhere(lambda: _suited(config, request.settings, saved is not None, corpus, say, ranks))
    parameters = ranks.from_first(lambda: _adopted(source, config, corpus, say)) if source else None
    threads = thread_count(request.threads, ranks.sharers)
    trainer = ranks.everywhere(lambda: new_trainer(config, corpus, request.run, threads, request.saving, parameters, ranks))
    if saved is None:
        trainer.lock = ranks.on_first(lambda: take_directory(request.run, lock))
    else:
        trainer.lock = lock
        trainer.restore(saved)
    if trainer.lock and not trainer.lock.held:
        say(f"there are no file locks here: nothing keeps another process from writing to {request.run}")
    if ranks.size > 1:
        ranks.everywhere(trainer.prepare, node_first=True)
    return trainer


def train(
    corpus: str | Path | Sequence[str | Path],
    run: str | Path | None = None,
    *,
    on_event: Callable[[Event], object] = lambda event: None,
    resume: bool = False,
    force: bool = False,
    init_from: str | Path | None = None,
    threads: int | None = None,
    save_every: str = "60s",
    **settings: Unpack[Settings],
) -> Model:
    """Train a model on text files, read in order as one sequence, and return the best model found.

    run: the directory to write (default runs/<the first file's stem>). One that holds a run is refused unless resume
    (continue exactly) or force (start over) is given. on_event: called with every event (see events.py); if it returns True,
    training ends and its state is saved. init_from: a run whose parameters to start from. threads: by default the number of
    processors; results do not depend on it. save_every: updates ("500") or seconds ("60s") between saves. settings: named
    as the options of `charlm train`, such as k1, k2, cell, hidden, minutes; see charlm.Settings.

    Raises ConfigurationError for settings that are not allowed, CorpusError, CheckpointError, ResourceError, and
    DivergenceError if training diverges again and again.
    """
    names = (corpus,) if isinstance(corpus, str | Path) else tuple(corpus)
    files = tuple(map(str, names))
    if not files:
        raise ConfigurationError("corpus: name at least one file")
    if run == "":
        raise ConfigurationError("run is empty: name a directory")
    directory = default_run(files[0]) if run is None else Path(run)
    start = None if init_from is None else str(init_from)
    request = Request(files, directory, settings, SavingConfig.parse(save_every), threads, resume, force, start)
    trainer = begin(request, lambda message: on_event(Note(message)))
    for event in trainer.train():
        if on_event(event) is True:
            trainer.request_stop()
    return Model(load_run(str(directory)), threads)


def _installed() -> str:
    """Return versions that all ranks of a job must share, or their results would drift apart."""
    versions = f"charlm {__version__}, numba {version('numba')}, numpy {np.__version__}"
    return f"{versions}, kernels {DIGEST[:8]}"


def _configuration(request: Request, saved: Checkpoint | None) -> RunConfig:
    if saved is None:
        return configuration(request.settings, request.corpus)
    return resumed(saved.config, request.settings, request.corpus)


def _adopted(source: Checkpoint, config: RunConfig, corpus: Corpus, say: Callable[[str], object]) -> Parameters:
    found = adopt(source, config, corpus)
    kind = "bytes" if config.use_bytes else "characters"
    more = f" and {len(found.new) - _NAMED:,} more" if len(found.new) > _NAMED else ""
    rest = f"; new, so with drawn values: {''.join(found.new[:_NAMED])!r}{more}" if found.new else ""
    say(f"parameters of {source.path}: {found.known:,} of {len(corpus.vocabulary):,} {kind} are known there{rest}")
    return found.parameters


def _saved_run(request: Request) -> Checkpoint | None:
    """Return the checkpoint to resume from, if any. Raise CheckpointError for a directory that holds a run by surprise."""
    run = request.run
    if request.resume:
        if not (run / LAST).exists():
            raise CheckpointError(f"{run}: holds no {LAST} to resume; leave out --resume to start a run there")
        return load(run / LAST)
    if not request.force and holds_a_run(run):
        raise CheckpointError(
            f"{run} already holds a run: continue it with --resume, start over with --force, "
            "or name another directory with --run"
        )
    return None


def _read(
    config: RunConfig,
    request: Request,
    saved: Checkpoint | None,
    say: Callable[[str], object],
    on_read: Callable[[int], None],
    ranks: Ranks,
) -> Corpus:
    """Return the corpus. A resumed run must have the one that it was trained on."""
    own = config.val_file if saved and "val_file" not in request.settings else None
    if own is not None and not is_regular(own):
        raise CorpusError(f"{own}: the run was validated on it, and no regular file of that name is there now: give --val")
    if ranks.size > 1:
        require_shareable((*config.corpus, *([config.val_file] if config.val_file is not None else [])))
    begun = time.monotonic()
    named = config.corpus, config.use_bytes, config.val_file, config.val_fraction
    try:
        digest = saved.corpus_digest if saved else None
        corpus = read_corpus(*named, on_read, verify=ranks.first_on_node, expected=digest)
    except OtherTextError as error:
        raise CorpusError(f"{error}: name the same files, or start over with --force") from None
    kind = "bytes" if config.use_bytes else "characters"
    n, v, train = len(corpus.ids), len(corpus.validation), len(corpus.train)
    if config.val_file is not None:
        split = f"validation on {config.val_file} ({v:,})"
    else:
        split = f"validation on {train:,} to {n:,}" if v else "no validation"
    say(
        f"corpus: {n:,} {kind}, {len(corpus.vocabulary):,} distinct; training on 0 to {train:,}, {split}"
        f" ({time.monotonic() - begun:.1f} s)"
    )
    return corpus


def _suited(
    config: RunConfig, settings: Settings, resumed: bool, corpus: Corpus, say: Callable[[str], object], ranks: Ranks
) -> RunConfig:
    """Return the configuration that these ranks can train. resumed: whether it is that of an earlier run."""
    if not resumed:
        config = _fitted(config, settings, corpus, say, ranks)
    elif "streams" in settings:
        asked = fit_streams(settings["streams"], True, len(corpus.train) - 1, config.truncation.k1)
        if asked != config.streams:
            raise other_setting("streams", settings["streams"], config.streams)
    require_even(config.streams, ranks.size)
    config.require_rows(ranks.size)
    return config


def _fitted(config: RunConfig, settings: Settings, corpus: Corpus, say: Callable[[str], object], ranks: Ranks) -> RunConfig:
    """Return the configuration with defaults that follow from the corpus's size and the number of ranks."""
    n, k1, asked = len(corpus.train), config.truncation.k1, "streams" in settings
    wanted = config.streams if asked or not config.once else max(config.streams, ranks.size)
    streams, alone = (fit_streams(wanted, asked, n - 1, k1, size) for size in (ranks.size, 1))
    if streams < config.streams:
        why = "since the corpus is small" if streams == alone else f"so that {ranks.size} ranks have equally many"
        say(f"streams: {streams} instead of {config.streams}, {why}")
    dropout = fit_dropout(config.model.dropout, "dropout" in settings or config.once, n)
    if dropout != config.model.dropout:
        size = "large" if dropout < config.model.dropout else "small"
        say(f"dropout: {dropout:g} instead of {config.model.dropout:g}, since the corpus is {size}")
    longest, megabytes = _tables(config, settings, corpus, say, ranks)
    model = replace(config.model, dropout=dropout, direct_order=longest, direct_size=megabytes)
    return replace(config, streams=streams, model=model)


def _tables(
    config: RunConfig, settings: Settings, corpus: Corpus, say: Callable[[str], object], ranks: Ranks
) -> tuple[int, int | None]:
    """Return the longest context of the tables beside the network, and their size in MB."""
    longest, size = config.model.direct_order, config.model.direct_size
    if longest and config.once and ranks.size > 1:
        if "direct_order" in settings:
            raise ConfigurationError("--once with --direct-order: its tables learn in one process only; leave out mpiexec")
        longest = 0
    if longest and len(corpus.vocabulary) > TABLE_CHARACTERS:
        raise ConfigurationError(f"{len(corpus.vocabulary):,} characters are too many for tables: give --direct-order 0")
    if longest == 0:
        return 0, None
    lengths = config.model.direct_lengths
    size = size or fit_tables(len(lengths), len(corpus.train))
    more = "" if config.once else f", and {OWN_TABLES * size} MB more in training"
    say(f"tables: {size} MB for contexts of {lengths[0]} to {lengths[-1]} characters{more}")
    return longest, size
