"""How a run begins: its directory, its corpus, and a trainer that starts, starts over or goes on. And a whole run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from .checkpoint import BEST, CONFIG, LAST, METRICS, Checkpoint, load, load_run, save
from .config import RunConfig
from .corpus import Corpus, read_corpus
from .errors import CheckpointError, ConfigurationError
from .events import Event, Note
from .fitting import adopt, fit_dropout, fit_streams, thread_count
from .model import Model
from .settings import Request, Settings, configuration, default_run, resumed, saving
from .storage import Lock, remove_leftovers
from .tensorboard import remove_events
from .trainer import Trainer


def begin(
    request: Request, say: Callable[[str], object] = lambda note: None, on_read: Callable[[int], None] = lambda n: None
) -> Trainer:
    """A trainer that is ready to train. Nothing of an earlier run is removed unless everything asked for is possible.

    say: is told what was found and decided. on_read: as for read_corpus. Raises CharlmError.
    """
    lock = _lock(request.run)
    saved = _saved_run(request)
    config = (
        configuration(request.settings, request.corpus)
        if saved is None
        else resumed(saved.config, request.settings, request.corpus)
    )
    corpus = _read(config, say, on_read)
    if saved is None:
        config = _fitted(config, request.settings, corpus, say)
    started = request.init_from and saved is None
    parameters = adopt(load_run(request.init_from), config, corpus) if started else None
    trainer = Trainer(config, corpus, request.run, thread_count(request.threads), request.saving, parameters)
    if saved is None:
        request.run.mkdir(parents=True, exist_ok=True)
        lock = lock or Lock(request.run)
        _clear(request.run)
    else:
        trainer.restore(saved)
    trainer.lock = lock
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
    """Trains a model on text files, read in order as one sequence, and returns the best one that was found.

    run: the directory that is written (default runs/<the first file's stem>); one that holds a run is refused unless
    resume (go on exactly) or force (start over). on_event: is told what happens (see events.py); where it returns True,
    training ends, with its state saved. init_from: a run whose parameters to start from. threads: default the
    processors there are; results do not depend on it. save_every: updates ("500") or seconds ("60s") between saves.
    settings: named as the options of `charlm train`, such as k1, k2, cell, hidden, minutes; see settings.Settings.

    Raises ConfigurationError for settings that are not allowed, CorpusError, CheckpointError, ResourceError, and
    DivergenceError when a gradient is not finite.
    """
    names = (corpus,) if isinstance(corpus, str | Path) else tuple(corpus)
    files = tuple(map(str, names))
    if not files:
        raise ConfigurationError("corpus: name at least one file")
    directory = default_run(files[0]) if run is None else Path(run)
    start = None if init_from is None else str(init_from)
    request = Request(files, directory, settings, saving(save_every), threads, resume, force, start)
    trainer = begin(request, lambda message: on_event(Note(message)))
    for event in trainer.train():
        if on_event(event) is True:
            trainer.request_stop()
    return Model(load_run(str(directory)), threads)


def _saved_run(request: Request) -> Checkpoint | None:
    """The checkpoint to go on from; refuses a directory that holds a run unless told what to do with it."""
    run = request.run
    if request.resume:
        if not (run / LAST).exists():
            raise CheckpointError(f"{run}: holds no {LAST} to resume; leave out --resume to start a run there")
        return load(run / LAST)
    if not request.force and _holds_a_run(run):
        raise CheckpointError(f"{run} already holds a run: continue it with --resume, start over with --force, "
                              "or name another directory with --run")  # fmt: skip
    return None


def install(found: Checkpoint, run: Path, force: bool) -> None:
    """Makes a run of a model that was not trained here. Raises CheckpointError where there is one, unless forced."""
    if not force and _holds_a_run(run):
        raise CheckpointError(f"{run} already holds a run: replace it with --force, or name another with --run")
    run.mkdir(parents=True, exist_ok=True)
    lock = _lock(run)
    _clear(run)
    (run / LAST).unlink(missing_ok=True)
    save(run / BEST, found.config, found.vocabulary, found.parameters, found.progress)
    if lock:
        lock.release()


def _holds_a_run(run: Path) -> bool:
    return any((run / name).exists() for name in (LAST, BEST, METRICS, CONFIG))


def _lock(run: Path) -> Lock | None:
    """The directory, if it is there, held for this process alone; what a killed writer left there is removed."""
    if not run.is_dir():
        return None
    lock = Lock(run)
    remove_leftovers(run)
    return lock


def _clear(run: Path) -> None:
    """Makes room for a new run. The last checkpoint of an old one stays until that of the new one takes its place."""
    for name in (BEST, METRICS, CONFIG):
        (run / name).unlink(missing_ok=True)
    remove_events(run)


def _read(config: RunConfig, say: Callable[[str], object], on_read: Callable[[int], None]) -> Corpus:
    begun = time.monotonic()
    corpus = read_corpus(config.corpus, config.use_bytes, config.val_file, config.val_fraction, on_read)
    kind = "bytes" if config.use_bytes else "characters"
    n, v, train = len(corpus.ids), len(corpus.validation), len(corpus.train)
    if config.val_file is not None:
        split = f"validation on {config.val_file} ({v:,})"
    else:
        split = f"validation on {train:,} to {n:,}" if v else "no validation"
    say(f"corpus: {n:,} {kind}, {len(corpus.vocabulary):,} distinct; training on 0 to {train:,}, {split}"
        f" ({time.monotonic() - begun:.1f} s)")  # fmt: skip
    return corpus


def _fitted(config: RunConfig, settings: Settings, corpus: Corpus, say: Callable[[str], object]) -> RunConfig:
    """The configuration with what the corpus's size decides where nothing was asked for."""
    n = len(corpus.train)
    streams = fit_streams(config.streams, "streams" in settings, n - 1, config.truncation.k1)
    if streams < config.streams:
        say(f"streams: {streams} instead of {config.streams}, since the corpus is small")
    dropout = fit_dropout(config.model.dropout, "dropout" in settings or config.once, n)
    if dropout != config.model.dropout:
        size = "large" if dropout < config.model.dropout else "small"
        say(f"dropout: {dropout:g} instead of {config.model.dropout:g}, since the corpus is {size}")
    return replace(config, streams=streams, model=replace(config.model, dropout=dropout))
