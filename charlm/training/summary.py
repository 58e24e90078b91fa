"""The summary of a run."""

from typing import Any

from ..kernels.elementary import log
from ..units import to_bits
from .metrics_log import MetricsLog
from .records import TrainSummary
from .run import Run
from .state import finite_or_none


def summarise(run: Run, log: MetricsLog) -> TrainSummary:
    """Return the numbers that a run ends with, or has reached so far."""
    state = run.state
    best = finite_or_none(state.best_val_nats)
    return TrainSummary(
        updates=state.updates,
        epochs=state.epochs,
        seconds=state.seconds,
        chars_per_second=state.chars_per_second,
        train_nats=finite_or_none(log.train_nats),
        val_nats=finite_or_none(state.val_nats),
        best_val_nats=best,
        best_val_bits=None if best is None else to_bits(best),
        run=str(run.directory),
        window_bytes=run.window_bytes,
        realised=run.text.truncation.realised(state.at.epoch_base + state.at.step, state.updates, log.longest),
        **(_code(run) if run.config.once else {}),
    )


def _code(run: Run) -> dict[str, Any]:
    """Return the length of the code that a single reading of the corpus is, by Dawid's (1984) prequential principle.

    Each character costs -log2 of the probability that it was given before the model learnt from it. The first character and
    the alphabet, in UTF-8, are counted too: a decoder must know them.
    """
    vocabulary = run.corpus.vocabulary
    alphabet = 0 if vocabulary.uses_bytes else 8 * int(vocabulary.id_bytes().sum())
    chars = run.state.chars + 1
    bits = to_bits(run.state.nats + float(log(len(vocabulary)))) + alphabet
    return {"code_chars": chars, "code_bits": bits, "code_bits_per_char": bits / chars}
