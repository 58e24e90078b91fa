"""Training as a generator of events: plan, run the kernel, look at its reports, validate, save. Prints nothing."""

import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.gradient_decay import GradientDecay
from ..config.launch import SavingConfig
from ..config.run import RunConfig
from ..config.sampling import DrawConfig
from ..corpus.corpus import Corpus
from ..corpus.encoded_text import EncodedText
from ..distributed.ranks import Ranks
from ..errors import CheckpointError, DivergenceError
from ..events import Adaptation, Alarm, Event, Note, Progress, Validation
from ..files import Lock
from ..inference.sampling import Context, sample
from ..kernels.buffers import Plan, UpdateStats
from ..nn.network import Network, Training
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..nn.schedule import Schedule
from ..nn.shapes import parameter_bytes
from ..storage.checkpoint import Checkpoint
from ..system import free_memory, require_memory
from ..tbptt.method import make_method
from ..tbptt.plan import Position, make_plan
from ..tbptt.resets import Resets, opening, opening_id
from ..tbptt.streams import Streams
from ..tree import LeafError, Stateful, gather_state, load_state
from .carried import Carried
from .checkpointer import Checkpointer
from .diagnostics import Diagnostics
from .metrics_log import MetricsLog
from .state import TrainerState, finite_or_none
from .validation import Validator, affordable_times, sample_size
from .validation import cost as validation_cost

_PLAN_SECONDS = 0.2  # of work handed to a kernel at a time: Ctrl-C and the progress bar wait that long
_PLAN_SECONDS_OF_RANKS = 0.1  # Open MPI's mpiexec kills a quarter of a second after it has asked to stop
_DECIDED = 0.05  # the share of a run that time ends, after which its speed is known well enough to plan validations by
_HOPELESS = 1.2  # times the loss of guessing: what is worse is not saved over what was better
_SAMPLE_CHARS, _SAMPLE_TEMPERATURE = 160, 0.8  # of the text that each validation keeps


class _StoppedError(Exception):
    """Training is to stop, in the middle of something that can be done later."""


class Trainer:
    """One run: made from a configuration and a corpus, or brought to where a checkpoint stopped with `restore`."""

    def __init__(
        self,
        config: RunConfig,
        corpus: Corpus,
        run: Path,
        threads: int,
        saving: SavingConfig,
        parameters: Parameters | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """parameters: initial values of another run; drawn from the seed when left out. ranks: who trains together."""
        self.config, self.corpus, self.run, self.ranks = config, corpus, run, ranks or Ranks()
        self._saving = saving
        require_memory(self.ranks.sharers * 2 * parameter_bytes(config.model, len(corpus.vocabulary)))
        self.parameters = parameters or Parameters(config.model, len(corpus.vocabulary))
        if parameters is None:
            self.parameters.initialise(config.seed)
        self.streams = Streams(len(corpus.train), config.streams).of_rank(self.ranks.rank, self.ranks.size)
        self.truncation = cut = make_method(config.truncation, self.streams, config.seed)
        self.network = Network(
            self.parameters,
            self.streams.own,
            cut.block,
            Training(
                cut.window,
                older_losses=cut.older_losses > 0,
                dropout_seed=config.seed,
                memory=config.truncation.memory * 10**6,
                first_stream=self.streams.first,
            ),
            threads,
        )
        gradients = self.network.gradients
        in_step = config.sync_every == 1
        self._exchange = self.ranks.exchange(gradients.flat, gradients.by_layer()) if in_step else None
        self.optimizer = Optimizer(config.optimizer, self.parameters, self.network.gradients)
        self.schedule = Schedule(config.schedule, config.optimizer.learning_rate)
        self.resets = Resets.of_run(config, corpus.vocabulary)
        self._now, self._seconds_per_update = TrainerState(self.streams.steps), 0.0
        self._chars_per_update = self.streams.count * self.streams.steps / self.updates_per_epoch
        diagnostics = Diagnostics(config.optimizer.clip, len(corpus.vocabulary))
        self._metrics_log = MetricsLog(run, self._chars_per_update, config.optimizer.clip, diagnostics, self.ranks)
        self._parts: dict[str, Stateful] = {  # the branches of the state tree; the network's depends on the trainer's
            "trainer": self._now,
            "schedule": self.schedule,
            "truncation": cut,
            "optimizer": self.optimizer,
            "network": Carried(self.network, cut, self.streams, self.ranks, self._now),
            "metrics_log": self._metrics_log,
            "diagnostics": diagnostics,
        }
        self._checkpointer = Checkpointer(run, saving, config, corpus.vocabulary, self.ranks)
        self._healthy = True  # whether the last losses are such that their parameters are worth keeping
        self._asked_to_stop = False  # here, which the other ranks have to hear of
        self._stop = self._out_of_patience = False
        self._apart = False  # whether ranks have other parameters than each other, which are not worth keeping
        self._averaging_seconds = 0.0  # that are yet to be counted
        self.lock: Lock | None = None  # on the run's directory, given back when training ends
        self._validator = self._new_validator(threads)
        self._profiler = self._new_profiler(threads)
        measuring = self._profiler.bytes if self._profiler else 0
        require_memory(self.ranks.sharers * (self.network.all_bytes() + self.optimizer.slots.nbytes + measuring))

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
        return self._now.at.updates

    @property
    def epochs(self) -> float:
        """Epochs made so far."""
        return self._now.at.epoch + self._now.at.step / self.streams.steps

    @property
    def chars_per_second(self) -> float:
        """Characters trained a second: training alone, without start-up, compilation, validation and saving."""
        return self._now.chars_per_second

    @property
    def complete(self) -> bool:
        """Whether the schedule asks for no more updates than were made."""
        return bool(self._share() >= 1.0)

    def request_stop(self) -> None:
        """Ends training, of all ranks, after the updates now being made; may be called from a signal handler."""
        self._asked_to_stop = True

    @property
    def stopped(self) -> bool:
        """Whether training ended because that was requested, of this rank or another."""
        return self._stop

    def prepare(self) -> None:
        """Compiles what is needed, or loads it: makes no updates and reads nothing."""
        one, at = np.zeros(1), Position()
        plan, _ = make_plan(self.truncation, self.streams, self.resets, self.corpus.train, at, 1, one)
        self.network.train(plan._replace(start=plan.start[:0]), self.optimizer.rule)
        if self._validator is not None:
            self._validator.prepare()

    def _new_validator(self, threads: int) -> Validator | None:
        held_out, vocabulary = self.corpus.validation, self.corpus.vocabulary
        if len(held_out) < 2:
            return None
        text = EncodedText(opening_id(self.config.reset, vocabulary), held_out, vocabulary.id_bytes())
        return Validator(self.parameters, text, self.resets, threads, self.ranks)

    def _new_profiler(self, threads: int) -> GradientDecay | None:
        lags = self.truncation.lags
        if lags == 0:
            return None
        self.truncation.require_text(len(self.corpus.train))
        return GradientDecay(self.parameters, lags, threads=threads)

    # --- the run -----------------------------------------------------------------------------------------------------

    def train(self) -> Iterator[Event]:
        """Trains to the end of the schedule, yielding what happens; saves at the beginning, on the way and at the end.

        Where a gradient is not finite it returns to the last good state with half the learning rate, and raises
        DivergenceError when it has done so too often. A save that fails is tried again; raises CheckpointError if the
        last one does.
        """
        try:
            if self.updates == 0:
                self._checkpointer.save_config()
                self.save()
            self._checkpointer.begin()
            if self.complete and self.updates:
                yield Note(
                    f"nothing to train: the run has made {self.updates:,} updates, as many as are asked for or more; ask "
                    "for more with --updates, --epochs or --minutes"
                )
            yield from self._train()
            if self._checkpointer.dirty:
                self._come_together()
                self.save()
        finally:
            if self.lock:
                self.lock.release()

    def _train(self) -> Iterator[Event]:
        """All updates and validations."""
        untimed = True  # the first call compiles or loads the kernel
        interrupted = self.updates > 0 and self._now.validated_at != self.updates and self._validation_is_due()
        while True:
            try:
                if interrupted:  # stopped in the middle of a validation
                    yield from self._validate()
                interrupted = False
                if self._done():
                    if not self._stop and self._validator is not None and self._now.validated_at != self.updates:
                        yield from self._validate()
                    return
                if self._profiler is not None and self.updates % self.truncation.measure_every == 0:
                    yield self._adapt(self._profiler, untimed)
                yield from self._step(untimed)
                untimed = False
                if self._validation_is_due():
                    yield from self._validate()
            except DivergenceError as error:
                yield from self._roll_back(error)
                continue
            if not self._apart and self._healthy and self.ranks.from_first(lambda: self._checkpointer.due(self.updates)):
                yield from self._checkpointer.attempt(self.updates, self.save)

    def _roll_back(self, error: DivergenceError) -> Iterator[Alarm]:
        """Returns to the last state that was saved, with half the learning rate."""
        if self._now.rollbacks >= self.config.max_rollbacks:
            raise self._diverged(
                f"{error}, after {self._now.rollbacks} returns to the last good state: try a lower --lr or --clip, or "
                "--cell lstm or gru; what was saved last is kept"
            )
        factor, made = self.schedule.factor, self._now.rollbacks + 1
        self.restore(self._checkpointer.load_last())
        self.schedule.factor, self._now.rollbacks = 0.5 * min(factor, self.schedule.factor), made
        self._healthy = self._checkpointer.dirty = True
        yield Alarm(
            self.updates,
            "rolled back",
            f"{error}: back to update {self.updates:,}, with {self.schedule.factor:g} of the learning rate",
        )
        yield from self._checkpointer.attempt(self.updates, self.save)

    def _done(self) -> bool:
        self._stop = self._stop or self.ranks.largest(self._asked_to_stop) > 0
        return self._stop or self._out_of_patience or self.complete

    def _share(self, later: float | np.ndarray = 0.0) -> Any:
        """The share of the run that is done after `later` more updates."""
        total = self.total_updates
        if total is not None:
            return (self.updates + later) / total if total > 0 else 1.0
        seconds = 60.0 * (self.config.schedule.minutes or 0.0)
        return (self._now.seconds + later * self._seconds_per_update) / seconds if seconds > 0 else 1.0

    def _step(self, untimed: bool) -> list[Event]:
        """Plans and makes some updates."""
        n = 1 if untimed else self._updates_at_once()
        rates = self.schedule.rates(self.updates, n, self._share(np.arange(n)))
        plan, after = make_plan(self.truncation, self.streams, self.resets, self.corpus.train, self._now.at, n, rates)
        if self._on_its_own:
            plan = plan._replace(weight=plan.weight * self.ranks.size)  # the mean over its own streams
        self.corpus.release()
        if plan.steps.max() > self.network.longest_block:
            self.network.reserve(int(plan.steps.max()), free_memory())
        begun = time.perf_counter()
        stats = self.network.train(plan, self.optimizer.rule, exchange=self._exchange)
        nats, spent = self._agree(stats, time.perf_counter() - begun)
        chars = self._chars(plan)
        self._now.trained(chars.tolist(), nats.tolist(), None if untimed else spent)
        if not untimed:
            self._seconds_per_update = spent / len(chars)
        self._now.at, self._checkpointer.dirty, self._apart = after, True, self._on_its_own
        if self.updates % self.config.sync_every == 0:
            self._come_together()
        mean = float(nats.sum() / chars.sum())
        self._healthy = mean <= _HOPELESS * math.log(len(self.corpus.vocabulary))
        place = self._place()
        alarms = self._metrics_log.add(plan, stats, chars.tolist(), nats.tolist(), self.network, self.truncation, place)
        progress = Progress(
            updates=self.updates,
            epochs=self.epochs,
            share=float(self._share()),
            seconds=self._now.seconds,
            chars_per_second=self.chars_per_second,
            nats=mean,
            learning_rate=float(plan.learning_rate[-1]),
            gradient_norm=float(stats.norm[-1]),
            validating=self._validating_share(),
        )
        return [progress, *alarms]

    def _updates_at_once(self) -> int:
        """As many updates as fit the plan's time, not past the next point where something else is due."""
        seconds = _PLAN_SECONDS if self.ranks.size == 1 else _PLAN_SECONDS_OF_RANKS
        n = max(1, int(seconds / self._seconds_per_update)) if self._seconds_per_update > 0 else 2
        together = self.config.sync_every if self._on_its_own else 0
        for every in (self._validation_interval(), self._saving.updates, self.truncation.measure_every, together):
            if every:
                n = min(n, every - self.updates % every)
        n = min(n, self._metrics_log.updates_left)
        total = self.total_updates
        return n if total is None else min(n, total - self.updates)

    def _chars(self, plan: Plan) -> np.ndarray:
        """Targets in each of the plan's blocks (U,) int64: only the last step of an epoch can lack some."""
        ends = plan.start + plan.steps == self.streams.steps
        return plan.steps * self.streams.count - np.where(ends, self.streams.shorter, 0)

    def _agree(self, stats: UpdateStats, spent: float) -> tuple[np.ndarray, float]:
        """The loss of all ranks' streams in each update (U,) float64, and the time of the first one's that counts for all.

        Nothing that is not finite anywhere gets further than here.
        """
        failed = np.flatnonzero(stats.applied == 0)
        made = len(failed) == 0 and bool(np.isfinite(stats.loss).all())
        wrong = math.inf if made else float(failed[0] if len(failed) else len(stats.applied) - 1)
        sound = made and bool(np.isfinite(self.parameters.flat).all())
        own = [spent + self._averaging_seconds, wrong, float(sound), *stats.loss.sum(1).tolist()]
        self._averaging_seconds = 0.0
        times, first_wrong, all_sound, *nats = self.ranks.table(np.array(own)).T
        if np.isfinite(first_wrong).any():
            update = self.updates + int(first_wrong.min()) + 1
            raise self._diverged(f"training diverged: the gradient of update {update:,} is not finite")
        if not all_sound.all():
            update = self.updates + len(nats)
            raise self._diverged(f"training diverged: update {update:,} made parameters that are not finite")
        return np.array(nats).sum(1), float(times[0])

    def _diverged(self, how: str) -> DivergenceError:
        return self.ranks.joint(DivergenceError(how))

    @property
    def _on_its_own(self) -> bool:
        """Whether this rank's updates are of its own streams alone, and parameters are averaged now and then."""
        return self.ranks.size > 1 and self.config.sync_every > 1

    def _come_together(self) -> None:
        """Replaces what ranks made of parameters and optimizer on their own by the mean."""
        if self._apart:
            begun = time.perf_counter()
            self.ranks.average(self.parameters.flat, self.optimizer.slots)
            self._averaging_seconds += time.perf_counter() - begun
        self._apart = False

    def _adapt(self, profiler: GradientDecay, untimed: bool) -> Adaptation:
        """Measures how far errors reach and lets the truncation choose."""
        begun, before = time.perf_counter(), self.truncation.k2
        random, losses = np.random.default_rng([self.config.seed, self.updates]), self.truncation.measured_losses
        profile, spent = self.ranks.from_first(
            lambda: (profiler.measure(self.corpus.train, self.resets, losses, random), time.perf_counter() - begun)
        )
        bias, within = self.truncation.choose(profile)
        if not untimed:
            self._now.seconds += spent
        found = Adaptation(self.updates, before, self.truncation.k2, bias, within, profile.rate)
        known = bias if math.isfinite(bias) else None
        self._metrics_log.append(
            {"updates": self.updates + 1, "k2": found.k2, "relative_bias": known, "error_rate": profile.rate}
        )
        return found

    # --- validation --------------------------------------------------------------------------------------------------

    def _training_chars(self) -> float:
        """Characters that the whole run trains, roughly; 0 while its speed decides and is not known."""
        total, minutes = self.total_updates, self.config.schedule.minutes or 0.0
        return self.chars_per_second * 60.0 * minutes if total is None else total * self._chars_per_update

    def _training_cost(self) -> float:
        """The same in characters read forward, as the truncation method counts them."""
        return self._training_chars() * self.truncation.cost

    def _validations(self) -> tuple[int, int]:
        """How many validations the run has, and how many characters each reads: as decided, or as it would be now."""
        assert self._validator is not None
        every, held_out, cost = self.config.schedule.eval_every, self._validator.held_out, self._training_cost()
        asked = math.ceil(self._training_chars() / self._chars_per_update / every) or 1 if every else 0
        chars = min(held_out, self._now.sampled) or sample_size(held_out, cost, asked)
        return asked or affordable_times(chars, cost), chars

    def _decide_sample(self) -> Iterator[Note]:
        """Fixes what validations read, at the first one: losses on different samples could not be compared."""
        assert self._validator is not None
        if self._now.sampled == 0:
            _, self._now.sampled = self._validations()
            if self._now.sampled < self._validator.held_out:
                yield Note(
                    f"validations read {self._now.sampled:,} of the {self._validator.held_out:,} held-out characters, so "
                    "that they take little of the time; charlm eval reads all"
                )

    def _validating_share(self) -> float:
        """The cost of all validations as a share of that of training."""
        cost = self._training_cost()
        if self._validator is None or cost == 0:
            return 0.0
        times, chars = self._validations()
        return times * validation_cost(chars) / cost

    def _validation_interval(self) -> int:
        """Updates between validations; 0 where time decides."""
        if self.config.schedule.eval_every:
            return self.config.schedule.eval_every
        total = self.total_updates
        return 0 if total is None or self._validator is None else max(1, total // self._validations()[0])

    def _validation_is_due(self) -> bool:
        every = self._validation_interval()
        if self._validator is None or self._training_chars() == 0:
            return False
        if every:
            return self.updates % every == 0
        return (self._now.sampled > 0 or self._share() >= _DECIDED) and self._validations_due() > self._now.validations

    def _validations_due(self) -> int:
        """How many validations should have been made by now where time decides."""
        return int(self._share() * self._validations()[0])

    def _validate(self) -> Iterator[Event]:
        """Looks at the held-out text, unless training is to stop meanwhile; then it is looked at when it goes on."""
        self._come_together()
        yield from self._decide_sample()
        nats = self._held_out_nats()
        if nats is None:
            return
        self._checkpointer.dirty = True
        self._now.validations = self._validations_due()
        self._now.val_nats = nats
        improved = self._now.val_nats < self._now.best_val_nats
        self._now.worse = 0 if improved else self._now.worse + 1
        self.schedule.validated(improved)
        patience = self.config.schedule.patience
        self._out_of_patience = patience > 0 and self._now.worse >= patience
        self._now.validated_at = self.updates
        if improved:
            before, self._now.best_val_nats = self._now.best_val_nats, self._now.val_nats
            yield from self._checkpointer.attempt(self.updates, self._save_best)
            if self._checkpointer.failing:
                self._now.best_val_nats = before  # so that the next one that is as good is saved
        text = self._sample() if self.ranks.first else ""
        self._metrics_log.append({**self._place(), "val_nats": self._now.val_nats, "sample": text})
        trained = self._metrics_log.recent_nats
        self._metrics_log.validated()
        yield Validation(self.updates, self.epochs, trained, self._now.val_nats, self._now.best_val_nats, improved, text)

    def _held_out_nats(self) -> float | None:
        """The held-out text's loss per character, read by all ranks; None where training is to stop meanwhile."""
        assert self._validator is not None
        chars, nats = 0, 0.0
        with contextlib.suppress(_StoppedError):
            found = self._validator.evaluate(self._now.sampled, self._leave_if_stopped)
            chars, nats = found.chars, found.loss
        asked, chars_of, nats_of = self.ranks.table(np.array([float(self._asked_to_stop), chars, nats])).T
        self._stop = bool(asked.any())
        if self._stop:
            return None
        if not math.isfinite(nats_of.sum()):
            raise self._diverged("training diverged: the validation loss is not finite")
        return float(nats_of.sum() / chars_of.sum())

    def _leave_if_stopped(self, n: int) -> None:
        if self._asked_to_stop:
            raise _StoppedError

    def _place(self) -> dict[str, Any]:
        """Where the run is, for the journal."""
        return {"updates": self.updates, "epochs": self.epochs, "chars": self._now.chars, "seconds": self._now.seconds}

    def _sample(self) -> str:
        """A short text as the model now writes it, from the same draws each time."""
        vocabulary = self.corpus.vocabulary
        first, how = opening(self.config.reset, vocabulary), DrawConfig(_SAMPLE_TEMPERATURE, seed=self.config.seed)
        pieces = sample(Context(self.parameters, self.resets, first), 1, _SAMPLE_CHARS, how)
        return vocabulary.decode(np.concatenate([piece.ids[:, 0] for piece in pieces]))

    # --- records -----------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """The numbers that a run ends with."""
        return {**self._results(), "window_bytes": self.window_bytes}

    @property
    def window_bytes(self) -> int:
        """Memory of the window of stored activations, on all ranks together."""
        return self.ranks.size * self.network.window_bytes()

    def _results(self) -> dict[str, Any]:
        """Those that checkpoints keep too: they are the same however often the run was resumed."""
        best = finite_or_none(self._now.best_val_nats)
        return {
            "updates": self.updates,
            "epochs": self.epochs,
            "seconds": self._now.seconds,
            "chars_per_second": self.chars_per_second,
            "train_nats": finite_or_none(self._metrics_log.train_nats),
            "val_nats": finite_or_none(self._now.val_nats),
            "best_val_nats": best,
            "best_val_bits": None if best is None else best / math.log(2),
            "run": str(self.run),
            **self.truncation.realised(self._now.at.epoch_base + self._now.at.step, self.updates, self._metrics_log.longest),
            **(self._code() if self.config.once else {}),
        }

    def _code(self) -> dict[str, float]:
        """The length of the code that reading the corpus once is, as Dawid's (1984) prequential principle has it.

        Each character costs -log2 of the probability that it was given before the model learnt from it. The first one and
        the alphabet, in UTF-8, which whoever decodes must know, are counted too.
        """
        vocabulary = self.corpus.vocabulary
        alphabet = 0 if vocabulary.uses_bytes else 8 * int(vocabulary.id_bytes().sum())
        chars, nats = self._now.chars, self._now.nats
        bits = nats / math.log(2) + math.log2(len(vocabulary)) + alphabet
        return {"code_chars": chars + 1, "code_bits": bits, "code_bits_per_char": bits / (chars + 1)}

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write last.npz, which exact continuation needs. Raises CheckpointError."""
        self._metrics_log.flush(to_disk=True)
        self._checkpointer.save_last(self.parameters, self._progress(), gather_state(self._parts))

    def _save_best(self) -> None:
        self._checkpointer.save_best(self.parameters, self._progress())

    def _progress(self) -> dict[str, Any]:
        return {**self._results(), "corpus_digest": self.corpus.digest}

    def restore(self, saved: Checkpoint) -> None:
        """Return to where `saved`, last.npz of the same run, was written. Raises CheckpointError."""
        try:
            self._load(saved)
        except LeafError as error:
            raise self.ranks.joint(CheckpointError(f"{saved.path}: cannot be resumed: state/{error}")) from None
        except CheckpointError as error:
            raise self.ranks.joint(error) from None
        self._apart = self._checkpointer.dirty = False
        if self._validator is not None and self.total_updates is None:  # it may be longer now, with more to come
            self._now.validations = min(self._now.validations, self._validations_due())

    def _load(self, saved: Checkpoint) -> None:
        if saved.vocabulary != self.corpus.vocabulary:
            raise CheckpointError(f"{saved.path}: its characters are not those of the corpus")
        if not saved.state:
            raise CheckpointError(f"{saved.path}: cannot be resumed: it holds a model alone; only last.npz can be resumed")
        self.parameters.flat[...] = saved.parameters.flat
        load_state(self._parts, saved.state)
        self._metrics_log.remove_later_lines()
