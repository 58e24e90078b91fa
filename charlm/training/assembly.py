"""A trainer and everything that it works with, put together from a configuration and a corpus."""

from functools import partial
from pathlib import Path

from ..analysis.gradient_decay import GradientDecay
from ..config.request import SavingConfig
from ..config.run import RunConfig
from ..corpus.corpus import Corpus
from ..corpus.encoded_text import EncodedText
from ..distributed.ranks import Ranks
from ..nn.counting import count_text
from ..nn.network import Network, Training
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..nn.schedule import Schedule
from ..nn.shapes import parameter_bytes
from ..system import require_memory
from ..tbptt.method import make_method
from ..tbptt.resets import Resets, opening_id
from ..tbptt.streams import Streams
from .carried import Carried
from .checkpointer import Checkpointer
from .consensus import Consensus
from .defaults import table_bytes
from .diagnostics import Diagnostics
from .held_out import HeldOut
from .listener import Listener
from .measurement import Measurement
from .metrics_file import MetricsFile
from .metrics_log import MetricsLog
from .progress import ProgressEvents
from .run import Run, TrainingText
from .state import TrainerState
from .summary import summarise
from .trainer import Trainer
from .validation_plan import ValidationPlan
from .validator import Validator


def new_trainer(
    config: RunConfig,
    corpus: Corpus,
    directory: Path,
    threads: int,
    saving: SavingConfig,
    parameters: Parameters | None = None,
    ranks: Ranks | None = None,
) -> Trainer:
    """Return a trainer for a new run. Writes nothing.

    parameters: initial values of another run; drawn from the seed by default. ranks: who trains together. Raises
    CorpusError for a text that is too short, and ResourceError for a run that does not fit into memory.
    """
    ranks = ranks or Ranks()
    require_memory(ranks.sharers * (2 * parameter_bytes(config.model, len(corpus.vocabulary)) + table_bytes(config)))
    text = _training_text(config, corpus, ranks)
    text.truncation.require_text(len(corpus.train))
    if parameters is None:
        parameters = Parameters(config.model, len(corpus.vocabulary))
        parameters.initialise(config.seed)
    if config.model.direct_order and not config.once:
        count_text(parameters.tables, corpus.train, Streams(len(corpus.train), config.streams), text.resets, threads)
    run = _new_run(config, corpus, directory, text, _network(config, parameters, text, threads), ranks)
    lags = text.truncation.lags
    decay = GradientDecay(parameters, lags, threads=threads) if lags else None
    measuring = decay.bytes if decay else 0
    require_memory(ranks.sharers * (run.network.all_bytes() + run.optimizer.slots.nbytes + measuring))
    return _trainer(run, saving, threads, decay)


def _training_text(config: RunConfig, corpus: Corpus, ranks: Ranks) -> TrainingText:
    streams = Streams(len(corpus.train), config.streams).of_rank(ranks.rank, ranks.size)
    return TrainingText(
        corpus.train,
        streams,
        Resets.of_run(config, corpus.vocabulary),
        make_method(config.truncation, streams, config.seed, config.model.layer_clocks),
        ranks.size if config.sync_every > 1 else 1,
    )


def _network(config: RunConfig, parameters: Parameters, text: TrainingText, threads: int) -> Network:
    cut, once = text.truncation, config.once
    return Network(
        parameters,
        text.streams.own,
        cut.block,
        Training(
            cut.window,
            older_losses=cut.older_losses > 0,
            dropout_seed=config.seed,
            memory=config.truncation.memory * 10**6,
            first_stream=text.streams.first,
            excludes=not once,
            counts=once,
            statistics=True,
            share=text.streams.own / text.streams.count if config.sync_every == 1 else 1.0,
        ),
        threads,
    )


def _new_run(config: RunConfig, corpus: Corpus, directory: Path, text: TrainingText, network: Network, ranks: Ranks) -> Run:
    """Return a run before its first update."""
    optimizer = Optimizer(config.optimizer, network.parameters, network.gradients)
    schedule = Schedule(config.schedule, config.optimizer.learning_rate)
    run = Run(config, directory, corpus, ranks, text, network, optimizer, schedule, TrainerState(text.streams.steps))
    run.parts.update(
        {
            "trainer": run.state,
            "schedule": schedule,
            "truncation": text.truncation,
            "optimizer": optimizer,
            "network": Carried(network, text.truncation, text.streams, ranks, run.state),
        }
    )
    return run


def _trainer(run: Run, saving: SavingConfig, threads: int, decay: GradientDecay | None) -> Trainer:
    """Return a trainer with the listeners of a run. decay: measures how far errors reach, if the truncation wants that."""
    consensus, file = Consensus(run), MetricsFile(run.directory, run.ranks)
    diagnostics = Diagnostics(run.config.optimizer.clip, len(run.corpus.vocabulary))
    log = MetricsLog(run, file, diagnostics)
    run.parts.update({"metrics_log": log, "metrics_file": file, "diagnostics": diagnostics})
    summary = partial(summarise, run, log)
    checkpointer = Checkpointer(run, saving, summary, file, consensus)
    held_out = _held_out(run, threads)
    plan = ValidationPlan(run, 0 if held_out is None else len(held_out))
    listeners: list[Listener] = [ProgressEvents(run, plan), log]
    if held_out is not None:
        listeners.append(Validator(run, held_out, plan, log, file, checkpointer, consensus))
    if decay is not None:
        listeners.append(Measurement(run, decay, file))
    return Trainer(run, consensus, [*listeners, checkpointer], summary)


def _held_out(run: Run, threads: int) -> HeldOut | None:
    held_out, vocabulary = run.corpus.validation, run.corpus.vocabulary
    if len(held_out) < 2:
        return None
    text = EncodedText(opening_id(run.config.reset, vocabulary), held_out, vocabulary.id_bytes())
    return HeldOut(run.parameters, text, run.text.resets, threads, run.ranks)
