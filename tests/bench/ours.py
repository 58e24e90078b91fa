"""charlm's side of sampling and evaluating: prints one JSON line with characters per second, start-up not counted."""

import json
import time
from pathlib import Path

import click
import numpy as np

from charlm.config.run import DrawConfig, ModelConfig, ResetConfig
from charlm.corpus.corpus import Corpus, read_corpus
from charlm.inference.evaluation import Evaluator
from charlm.inference.sampling import Context, sample
from charlm.nn.parameters import Parameters
from charlm.tbptt.resets import Resets


def sampling(parameters: Parameters, count: int, threads: int, length: int) -> int:
    """Characters drawn."""
    context = Context(parameters, Resets(ResetConfig(), 64), np.zeros(1, np.uint8), threads)
    pieces = sample(context, count, length, DrawConfig())
    return sum(piece.ids.size for piece in pieces)


def evaluating(parameters: Parameters, corpus: Corpus, streams: int, threads: int) -> int:
    """Characters scored: those of the validation part, in order or in as many streams."""
    return Evaluator(parameters, streams, threads).evaluate(corpus.validation, Resets(ResetConfig(), 64)).chars


@click.command()
@click.argument("mode", type=click.Choice(["sample", "eval"]))
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--cell", default="lstm")
@click.option("--hidden", default=256)
@click.option("--layers", default=1)
@click.option("--streams", default=1)
@click.option("--threads", default=2)
@click.option("--seconds", default=3.0)
def main(mode: str, corpus: Path, cell: str, hidden: int, layers: int, streams: int, threads: int, seconds: float) -> None:
    """Works for SECONDS after a first, uncounted piece of work."""
    text = read_corpus((str(corpus),))
    parameters = Parameters(ModelConfig(cell, hidden=hidden, layers=layers), len(text.vocabulary))
    parameters.initialise(0)

    def work(length: int) -> int:
        if mode == "sample":
            return sampling(parameters, streams, threads, length)
        return evaluating(parameters, text, streams, threads)

    work(10)
    chars, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        chars += work(2000)
    print(json.dumps({"chars_per_second": chars / spent}))


if __name__ == "__main__":
    main()
