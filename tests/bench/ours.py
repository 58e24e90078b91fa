"""charlm's sampling and evaluation, measured with the clock and the options of the peers; prints one JSON line."""

import json
from typing import Any

import click
import numpy as np

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.sampling import DrawConfig
from charlm.corpus.corpus import Corpus, read_corpus
from charlm.inference.evaluation import Evaluator
from charlm.inference.sampling import Context, sample
from charlm.nn.parameters import Parameters
from charlm.tbptt.resets import Resets

from .peers.work import Work, measure, with_options

_DRAWN = 20_000  # characters of each text in one piece


def draw(parameters: Parameters, work: Work) -> int:
    """Draw texts side by side; return the number of their characters."""
    context = Context(parameters, Resets(ResetConfig(), 64), np.zeros(1, np.uint8), work.threads)
    pieces = sample(context, work.streams, _DRAWN, DrawConfig())
    return sum(piece.ids.size for piece in pieces)


def score(parameters: Parameters, work: Work, corpus: Corpus) -> int:
    """Score the validation part, in order or in streams; return the number of its characters."""
    evaluator = Evaluator(parameters, work.streams, work.threads)
    return evaluator.evaluate(corpus.validation, Resets(ResetConfig(), 64)).chars


def main(**options: Any) -> None:
    """Measure and print characters per second."""
    work = Work(**options)
    corpus = read_corpus((str(work.corpus),))
    parameters = Parameters(ModelConfig(work.cell, hidden=work.hidden, layers=work.layers), len(corpus.vocabulary))
    parameters.initialise(0)
    if work.precision == "bfloat16":
        parameters = parameters.rounded()
    pieces = {"sample": lambda: draw(parameters, work), "eval": lambda: score(parameters, work, corpus)}
    click.echo(json.dumps({"chars_per_second": measure(pieces[work.mode], work.seconds, warm_up=1)}))


if __name__ == "__main__":
    with_options(main, ("sample", "eval"))()
