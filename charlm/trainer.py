"""Training as a generator of events: plan, run the kernel, look at its reports, validate, save. Prints nothing."""

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint
from .blocks import Resets, Streams
from .checkpoint import Checkpoint
from .config import DrawConfig, RunConfig, SavingConfig
from .corpus import Corpus
from .errors import CheckpointError, CorpusError, DivergenceError
from .evaluate import Evaluator
from .events import Adaptation, Alarm, Event, Progress, Validation
from .fitting import free_memory, require_memory
from .journal import Journal
from .kernels.buffers import Plan, Reports
from .network import Network
from .optimizer import Optimizer, Schedule
from .parameters import Parameters
from .profiler import Profiler
from .sample import opening, sample
from .storage import Lock, write_atomically
from .truncation import MEASURED, Position, make_plan, method

_PLAN_SECONDS = 0.2  # of work handed to a kernel at a time: Ctrl-C and the progress bar wait that long
_VALIDATIONS = 20  # in a run, unless eval_every says otherwise
_VALIDATION_CHARS = 1 << 20  # at most, each time; `charlm eval` reads all
_VALIDATION_STREAMS = 32
_HOPELESS = 1.2  # times the loss of guessing: what is worse is not saved over what was better
_SAMPLE_CHARS, _SAMPLE_TEMPERATURE = 160, 0.8  # of the text that each validation keeps


class _StoppedError(Exception):
    """Training is to stop, in the middle of something that can be done later."""


class Trainer:
    """One run: made from a configuration and a corpus, or brought to where a checkpoint stopped with `restore`."""

    def __init__(
        self, config: RunConfig, corpus: Corpus, run: Path, threads: int, saving: SavingConfig,
        parameters: Parameters | None = None,
    ) -> None:  # fmt: skip
        """parameters: initial values of another run; drawn from the seed when left out."""
        self.config, self.corpus, self.run = config, corpus, run
        self._saving = saving
        self.parameters = parameters or Parameters(config.model, len(corpus.vocabulary))
        if parameters is None:
            self.parameters.initialise(config.seed)
        self.streams = Streams(len(corpus.train), config.streams)
        self.truncation = cut = method(config.truncation, self.streams, config.seed)
        self.network = Network(
            self.parameters, config.streams, cut.block, cut.window, cut.older_losses > 0, config.seed, threads,
            memory=config.truncation.memory * 10**6,
        )  # fmt: skip
        self.optimizer = Optimizer(config.optimizer, self.parameters, self.network.gradients)
        self.schedule = Schedule(config.schedule, config.optimizer.learning_rate)
        self.resets = Resets.of_run(config, corpus.vocabulary)
        self._at = Position()
        self._seconds = 0.0
        self._timed_chars, self._seconds_per_update = 0, 0.0
        self._coded = [0, 0.0]  # characters and nats of all updates, each before its update
        chars_per_update = self.streams.count * self.streams.steps / self.updates_per_epoch
        self._journal = Journal(run, chars_per_update, config.optimizer.clip, len(corpus.vocabulary))
        self.best_val_nats, self.val_nats = math.inf, math.nan
        self._validations, self._worse, self._validated_at = 0, 0, -1
        self._dirty, self._saved_time = True, 0.0
        self._unsaved = False  # whether the last attempt to save failed
        self._rollbacks = 0
        self._healthy = True  # whether the last losses are such that their parameters are worth keeping
        self._stop = self._out_of_patience = False
        self.lock: Lock | None = None  # on the run's directory, given back when training ends
        self._evaluator = self._new_evaluator(threads)
        self._profiler = self._new_profiler(threads)
        measuring = self._profiler.bytes if self._profiler else 0
        require_memory(self.network.all_bytes() + self.optimizer.slots.nbytes + measuring)

    # --- what a run is made of ---------------------------------------------------------------------------------------

    @property
    def updates_per_epoch(self) -> int:
        """Update blocks of an epoch, the last, shorter one included; the expected number where they are random."""
        return self.truncation.updates_per_epoch

    @property
    def total_updates(self) -> int | None:
        """Updates of the whole run; None where time decides."""
        schedule = self.config.schedule
        if schedule.updates is not None:
            return schedule.updates
        return None if schedule.epochs is None else math.ceil(schedule.epochs * self.updates_per_epoch)

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self._at.updates

    @property
    def epochs(self) -> float:
        """Epochs made so far."""
        return self._at.epoch + self._at.step / self.streams.steps

    @property
    def chars_per_second(self) -> float:
        """Characters trained a second: training alone, without start-up, compilation, validation and saving."""
        return self._timed_chars / self._seconds if self._seconds > 0 else 0.0

    def request_stop(self) -> None:
        """Ends training after the updates now being made; may be called from a signal handler."""
        self._stop = True

    def _new_evaluator(self, threads: int) -> Evaluator | None:
        held_out = min(len(self.corpus.validation), _VALIDATION_CHARS)
        if held_out < 2:
            return None
        streams = max(1, min(_VALIDATION_STREAMS, held_out // 2048))
        return Evaluator(self.parameters, streams, threads)

    def _new_profiler(self, threads: int) -> Profiler | None:
        lags = self.truncation.lags
        if lags == 0:
            return None
        if len(self.corpus.train) <= 2 * lags:
            raise CorpusError(f"--max-k2 {lags}: too far for a training text of {len(self.corpus.train):,} characters")
        return Profiler(self.parameters, lags, threads=threads)

    # --- the run -----------------------------------------------------------------------------------------------------

    def train(self) -> Iterator[Event]:
        """Trains to the end of the schedule, yielding what happens; saves at the beginning, on the way and at the end.

        Where a gradient is not finite it returns to the last good state with half the learning rate, and raises
        DivergenceError when it has done so too often. A save that fails is tried again; raises CheckpointError if the
        last one does.
        """
        try:
            if self.updates == 0:
                self._write_config()
                self.save()
            self._saved_time = time.monotonic()
            if self.updates > 0 and self._validated_at != self.updates and self._validation_is_due():
                yield from self._validate()  # it was stopped in the middle of that
            yield from self._train()
            if not self._stop and self._evaluator is not None and self._validated_at != self.updates:
                yield from self._validate()
            if self._dirty:
                self.save()
        finally:
            if self.lock:
                self.lock.release()

    def _train(self) -> Iterator[Event]:
        """All updates."""
        untimed = True  # the first call compiles or loads the kernel
        while not self._done():
            if self._profiler is not None and self.updates % self.truncation.measure_every == 0:
                yield self._adapt(self._profiler, untimed)
            try:
                yield from self._step(untimed)
            except DivergenceError as error:
                yield from self._roll_back(error)
                continue
            untimed = False
            if self._validation_is_due():
                yield from self._validate()
            if self._saving_is_due():
                yield from self._try_to_save()

    def _roll_back(self, error: DivergenceError) -> Iterator[Alarm]:
        """Returns to the last state that was saved, with half the learning rate."""
        if self._rollbacks >= self.config.max_rollbacks:
            raise DivergenceError(
                f"{error}, after {self._rollbacks} returns to the last good state: try a lower --lr or --clip, or "
                "--cell lstm or gru; what was saved last is kept"
            )
        factor, made = self.schedule.factor, self._rollbacks + 1
        self.restore(checkpoint.load(self.run / checkpoint.LAST))
        self.schedule.factor, self._rollbacks = 0.5 * min(factor, self.schedule.factor), made
        self._healthy = self._dirty = True
        yield Alarm(
            self.updates, "rolled back",
            f"{error}: back to update {self.updates:,}, with {self.schedule.factor:g} of the learning rate",
        )  # fmt: skip
        yield from self._try_to_save()

    def _done(self) -> bool:
        return self._stop or self._out_of_patience or self._share() >= 1.0

    def _share(self, later: float | np.ndarray = 0.0) -> Any:
        """The share of the run that is done after `later` more updates."""
        total = self.total_updates
        if total is not None:
            return (self.updates + later) / total if total > 0 else 1.0
        seconds = 60.0 * (self.config.schedule.minutes or 0.0)
        return (self._seconds + later * self._seconds_per_update) / seconds if seconds > 0 else 1.0

    def _step(self, untimed: bool) -> list[Event]:
        """Plans and makes some updates."""
        n = 1 if untimed else self._updates_at_once()
        rates = self.schedule.rates(self.updates, n, self._share(np.arange(n)))
        plan, after = make_plan(self.truncation, self.streams, self.resets, self.corpus.train, self._at, n, rates)
        self.corpus.release()
        if plan.steps.max() > self.network.longest_block:
            self.network.reserve(int(plan.steps.max()), free_memory())
        begun = time.perf_counter()
        reports = self.network.train(plan, self.optimizer.rule)
        spent = time.perf_counter() - begun
        self._check(reports)
        chars = self._chars(plan)
        if not untimed:
            self._seconds += spent
            self._timed_chars += int(chars.sum())
            self._seconds_per_update = spent / len(chars)
        for n, nats in zip(chars.tolist(), reports.nats.sum(1).tolist(), strict=True):
            self._coded = [self._coded[0] + n, self._coded[1] + nats]
        self._at, self._dirty = after, True
        nats = float(reports.nats.sum() / chars.sum())
        self._healthy = nats <= _HOPELESS * math.log(len(self.corpus.vocabulary))
        alarms = self._journal.add(plan, reports, chars.tolist(), self.network, self.truncation, self._place())
        progress = Progress(
            updates=self.updates,
            epochs=self.epochs,
            share=float(self._share()),
            seconds=self._seconds,
            chars_per_second=self.chars_per_second,
            nats=nats,
            learning_rate=float(plan.learning_rate[-1]),
            gradient_norm=float(reports.norm[-1]),
        )
        return [progress, *alarms]

    def _updates_at_once(self) -> int:
        """As many updates as fit the plan's time, not past the next point where something else is due."""
        n = max(1, int(_PLAN_SECONDS / self._seconds_per_update)) if self._seconds_per_update > 0 else 2
        for every in (self._validation_interval(), self._saving.updates, self.truncation.measure_every):
            if every:
                n = min(n, every - self.updates % every)
        n = min(n, self._journal.updates_left)
        total = self.total_updates
        return n if total is None else min(n, total - self.updates)

    def _chars(self, plan: Plan) -> np.ndarray:
        """Targets in each of the plan's blocks (U,) int64: only the last step of an epoch can lack some."""
        missing = int((self.streams.targets < self.streams.steps).sum())
        return plan.steps * self.streams.count - np.where(plan.start + plan.steps == self.streams.steps, missing, 0)

    def _check(self, reports: Reports) -> None:
        """Nothing that is not finite gets further than here."""
        failed = np.flatnonzero(reports.applied == 0)
        update = self.updates + (int(failed[0]) + 1 if len(failed) else len(reports.applied))
        if len(failed) or not np.isfinite(reports.nats).all():
            raise DivergenceError(f"training diverged: the gradient of update {update:,} is not finite")
        if not np.isfinite(self.parameters.flat).all():
            raise DivergenceError(f"training diverged: update {update:,} made parameters that are not finite")

    def _adapt(self, profiler: Profiler, untimed: bool) -> Adaptation:
        """Measures how far errors reach and lets the truncation choose."""
        begun, before = time.perf_counter(), self.truncation.k2
        random = np.random.default_rng([self.config.seed, self.updates])
        profile = profiler.measure(self.corpus.train, self.resets, MEASURED, random)
        bias = self.truncation.choose(profile)
        if not untimed:
            self._seconds += time.perf_counter() - begun
        within = bias <= self.config.truncation.bias_tolerance
        found = Adaptation(self.updates, before, self.truncation.k2, bias, within, profile.rate)
        known = bias if math.isfinite(bias) else None
        self._journal.append(
            {"updates": self.updates + 1, "k2": found.k2, "relative_bias": known, "error_rate": profile.rate}
        )
        return found

    # --- validation --------------------------------------------------------------------------------------------------

    def _validation_interval(self) -> int:
        """Updates between validations; 0 where time decides."""
        if self.config.schedule.eval_every:
            return self.config.schedule.eval_every
        total = self.total_updates
        return 0 if total is None else max(1, total // _VALIDATIONS)

    def _validation_is_due(self) -> bool:
        if self._evaluator is None:
            return False
        every = self._validation_interval()
        if every:
            return self.updates % every == 0
        done = int(self._share() * _VALIDATIONS)
        return done > self._validations

    def _validate(self) -> Iterator[Event]:
        """Looks at the held-out text, unless training is to stop meanwhile; then it is looked at when it goes on."""
        assert self._evaluator is not None
        held_out = self.corpus.validation[:_VALIDATION_CHARS]
        try:
            found = self._evaluator.evaluate(held_out, self.resets, self._leave_if_stopped)
        except _StoppedError:
            return
        self._dirty = True
        self._validations = int(self._share() * _VALIDATIONS)
        self.val_nats = found.nats_per_char
        improved = self.val_nats < self.best_val_nats
        self._worse = 0 if improved else self._worse + 1
        self.schedule.validated(improved)
        patience = self.config.schedule.patience
        self._out_of_patience = patience > 0 and self._worse >= patience
        self._validated_at = self.updates
        if improved:
            before, self.best_val_nats = self.best_val_nats, self.val_nats
            yield from self._attempt(self._save_best)
            if self._unsaved:
                self.best_val_nats = before  # so that the next one that is as good is saved
        text = self._sample()
        self._journal.append({**self._place(), "val_nats": self.val_nats, "sample": text})
        yield Validation(
            self.updates, self.epochs, self._journal.train_nats, self.val_nats, self.best_val_nats, improved, text
        )

    def _leave_if_stopped(self, n: int) -> None:
        if self._stop:
            raise _StoppedError

    def _place(self) -> dict[str, Any]:
        """Where the run is, for the journal."""
        return {"updates": self.updates, "epochs": self.epochs, "chars": self._coded[0], "seconds": self._seconds}

    def _sample(self) -> str:
        """A short text as the model now writes it, from the same draws each time."""
        vocabulary = self.corpus.vocabulary
        first, how = opening(self.config, vocabulary), DrawConfig(_SAMPLE_TEMPERATURE, seed=self.config.seed)
        pieces = sample(self.parameters, self.resets, first, 1, _SAMPLE_CHARS, how)
        return vocabulary.decode(np.concatenate([piece.ids[:, 0] for piece in pieces]))

    # --- records -----------------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        text = json.dumps(self.config.to_json(), indent=2, ensure_ascii=False) + "\n"
        # A file's name may hold lone surrogates; written with a backslash they are JSON's escapes.
        data = text.encode("utf-8", "backslashreplace")
        write_atomically(self.run / checkpoint.CONFIG, lambda file: file.write(data))

    def summary(self) -> dict[str, Any]:
        """The numbers that a run ends with."""
        return {**self._results(), "window_bytes": self.network.window_bytes()}

    def _results(self) -> dict[str, Any]:
        """Those that checkpoints keep too: they are the same however often the run was resumed."""
        known = lambda x: x if math.isfinite(x) else None  # noqa: E731
        best = known(self.best_val_nats)
        return {
            "updates": self.updates,
            "epochs": self.epochs,
            "seconds": self._seconds,
            "chars_per_second": self.chars_per_second,
            "train_nats": known(self._journal.train_nats),
            "val_nats": known(self.val_nats),
            "best_val_nats": best,
            "best_val_bits": None if best is None else best / math.log(2),
            "run": str(self.run),
            **self.truncation.realised(self._at.epoch_base + self._at.step, self.updates, self._journal.longest),
            **(self._code() if self.config.once else {}),
        }

    def _code(self) -> dict[str, float]:
        """The length of the code that reading the corpus once is, as Dawid's (1984) prequential principle has it.

        Each character costs -log2 of the probability that it was given before the model learnt from it. The first one and
        the alphabet, in UTF-8, which whoever decodes must know, are counted too.
        """
        vocabulary = self.corpus.vocabulary
        alphabet = 0 if vocabulary.uses_bytes else 8 * int(vocabulary.id_bytes().sum())
        chars, nats = self._coded
        bits = nats / math.log(2) + math.log2(len(vocabulary)) + alphabet
        return {"code_chars": chars + 1, "code_bits": bits, "code_bits_per_char": bits / (chars + 1)}

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _saving_is_due(self) -> bool:
        if self._saving.updates:
            return self.updates % self._saving.updates == 0
        return self._saving.seconds > 0 and time.monotonic() - self._saved_time >= self._saving.seconds

    def _try_to_save(self) -> Iterator[Alarm]:
        self._saved_time = time.monotonic()  # where it fails, the next attempt is as far away
        if self._healthy:
            yield from self._attempt(self.save)

    def _attempt(self, save: Callable[[], None]) -> Iterator[Alarm]:
        """Saves, if that is possible; says when it begins to be impossible, and when it is possible again."""
        try:
            save()
        except CheckpointError as error:
            if not self._unsaved:
                yield Alarm(self.updates, "unsaved", f"not saved, training goes on and tries again: {error}")
            self._unsaved = True
            return
        if self._unsaved:
            yield Alarm(self.updates, "saved", "saved again")
        self._unsaved = False

    def save(self) -> None:
        """Writes last.npz: everything that exact continuation needs. Raises CheckpointError."""
        self._journal.flush(to_disk=True)
        checkpoint.save(
            self.run / checkpoint.LAST, self.config, self.corpus.vocabulary, self.parameters, self._progress_data(),
            self._resume_arrays(),
        )  # fmt: skip
        self._dirty, self._saved_time = False, time.monotonic()

    def _save_best(self) -> None:
        path = self.run / checkpoint.BEST
        checkpoint.save(path, self.config, self.corpus.vocabulary, self.parameters, self._progress_data())

    def _progress_data(self) -> dict[str, Any]:
        return {
            **self._results(),
            "corpus_digest": self.corpus.digest,
            "epoch": self._at.epoch,
            "step": self._at.step,
            "epoch_base": self._at.epoch_base,
            "k2": self.truncation.k2,
            "timed_chars": self._timed_chars,
            "coded": self._coded,
            "rollbacks": self._rollbacks,
            "journal": self._journal.state(),
            "schedule": [self.schedule.factor, self.schedule.stale],
            "validations": [self._validations, self._worse, self._validated_at],
        }

    def _resume_arrays(self) -> dict[str, np.ndarray]:
        """The optimizer's memory, the carried state and, where errors reach past the block, the window."""
        return {"optimizer": self.optimizer.slots, **self.network.carried(self.truncation.reaches_back(self._at))}

    def _check_place(self, p: dict[str, Any]) -> None:
        """Whether a checkpoint's progress is one that this run can have; raises ValueError."""
        names = ("updates", "epoch", "step", "epoch_base", "k2", "timed_chars", "rollbacks")
        wrong = [name for name in names if not _is_count(p[name])]
        if wrong or p["step"] >= self.streams.steps or not 1 <= p["k2"] <= self.config.truncation.deepest:
            raise ValueError(", ".join(wrong) or f"step {p['step']}, k2 {p['k2']}")
        chars, nats = p["coded"]
        if not _is_count(chars) or not math.isfinite(nats) or not math.isfinite(p["schedule"][0]):
            raise ValueError("coded or schedule")

    def restore(self, saved: Checkpoint) -> None:
        """Brings a new trainer to where `saved` (last.npz of the same run) stopped; raises CheckpointError."""
        p = saved.progress
        if p.get("corpus_digest") != self.corpus.digest:
            raise CheckpointError(
                f"{saved.path}: the corpus is not the one this run was trained on (its contents differ); "
                "name the same files, or start over with --force"
            )
        if saved.vocabulary != self.corpus.vocabulary:
            raise CheckpointError(f"{saved.path}: its characters are not those of the corpus")
        self.parameters.flat[...] = saved.parameters.flat
        try:
            self._check_place(p)
            self._at = Position(p["updates"], p["epoch"], p["step"], p["epoch_base"])
            self.truncation.k2 = p["k2"]
            self._seconds, self._timed_chars = p["seconds"], p["timed_chars"]
            self.schedule.factor, self.schedule.stale = p["schedule"]
            self._validations, self._worse, self._validated_at = p["validations"]
            self._coded, self._rollbacks = p["coded"], p["rollbacks"]
            self._journal.restore(p["journal"])
            self.val_nats = math.nan if p["val_nats"] is None else p["val_nats"]
            self.best_val_nats = math.inf if p["best_val_nats"] is None else p["best_val_nats"]
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise CheckpointError(f"{saved.path}: cannot be resumed: {error!r} in its progress") from None
        for name, array in self._resume_arrays().items():
            _copy_array(saved, name, array)
            self.network.carry(name, array, self.truncation.reaches_back(self._at))
        self._dirty = False


def _is_count(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 62


def _copy_array(saved: Checkpoint, name: str, target: np.ndarray) -> None:
    source = saved.resume.get(name)
    if source is None:
        raise CheckpointError(f"{saved.path}: array resume/{name} is missing; only last.npz can be resumed")
    if source.shape != target.shape or source.dtype != target.dtype:
        raise CheckpointError(
            f"{saved.path}: array resume/{name} should be {target.dtype} {target.shape}, "
            f"the file has {source.dtype} {source.shape}"
        )
    target[...] = source
