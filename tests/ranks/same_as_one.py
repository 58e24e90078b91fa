"""Run by mpiexec: every way of truncating, by all ranks together and by the first one alone, must give the same.

Prints a line for each: the largest relative error of a gradient over an epoch, and the difference of the losses at the end.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.request import SavingConfig
from charlm.config.reset import ResetConfig
from charlm.config.run import RunConfig
from charlm.config.schedule import ScheduleConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.corpus import Corpus, read_corpus
from charlm.distributed import mpi
from charlm.distributed.launch import join
from charlm.distributed.ranks import Ranks
from charlm.training.assembly import new_trainer
from charlm.training.measurement import Measurement
from charlm.training.trainer import Trainer

WAYS = {
    "newest": TruncationConfig(8, 8),
    "newest, k2 longer": TruncationConfig(8, 21),
    "newest, k2 shorter": TruncationConfig(8, 3),
    "window": TruncationConfig(8, 20, "window"),
    "artbp": TruncationConfig(8, 8, "artbp", settings={"mean_length": 8.0, "tail": 6.0}),
    "adaptive": TruncationConfig(8, 8, "adaptive", settings={"bias_tolerance": 0.05, "max_k2": 32}),
    "in pieces": TruncationConfig(160, 160, memory=1),
}
MODELS = {
    "lstm": ModelConfig("lstm", hidden=24, layers=2, dropout=0.2, layer_norm=True, residual=True),
    "gru": ModelConfig("gru", hidden=24, layers=3, dropout=0.2),
    "multiplicative": ModelConfig("mlstm", hidden=24, layers=2, dropout=0.2),
    "independent": ModelConfig("indrnn", hidden=24, layers=2, dropout=0.2, norm="layer"),
    "clocks": ModelConfig("gru", hidden=24, layers=2, dropout=0.2, clocks="1,3"),
    "norm in the cell": ModelConfig("lstm", hidden=24, layers=2, dropout=0.2, norm="cell"),
}


class Rank(Ranks):
    """One of several ranks that never meet."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def trainer(config: RunConfig, corpus: Corpus, ranks: Ranks, run: Path) -> Trainer:
    """A new run."""
    run.mkdir(parents=True, exist_ok=True)
    return new_trainer(config, corpus, run, 1, SavingConfig(0, 1e9), ranks=ranks)


def make_update(trained: Trainer) -> None:
    """Make the next update, of one block."""
    plan, after = trained._plan(1)
    for _ in trained._account(plan, after, *trained._run_kernel(plan)):
        pass


def gradients(trained: Trainer) -> list[np.ndarray]:
    """Of each update of an epoch and a half, with parameters that stay as they are."""
    found = []
    measurements = [each for each in trained.listeners if isinstance(each, Measurement)]
    while trained.run.state.epochs < 1.5:
        if trained.run.state.updates % 3 == 0:
            for each in measurements:
                each.measure()
        make_update(trained)
        found.append(trained.run.network.gradients.flat.copy())
    return found


def last_losses(trained: Trainer) -> np.ndarray:
    """On the last stretch of training and on the held-out text, after all updates."""
    for _ in trained.train():
        pass
    return np.array([trained.summary().train_nats, trained.summary().val_nats])


def main(folder: Path) -> None:
    """Compares all of them; the first rank prints."""
    ranks = join()
    corpus = read_corpus((str(folder / "corpus.txt"),))
    for i, (way, truncation) in enumerate(WAYS.items()):
        name = list(MODELS)[i % 2]
        if isinstance(ranks, mpi.MPIRanks):
            ranks._several_machines = i % 3 > 0  # without blocking, layer by layer or all at once; or blocking
        mpi._PIECES = 0 if i % 3 == 1 else 1 << 62
        frozen = RunConfig(
            MODELS[name],
            truncation,
            ResetConfig("line"),
            OptimizerConfig("sgd", learning_rate=0.0),
            ScheduleConfig(epochs=2),
            streams=8,
        )
        together = gradients(trainer(frozen, corpus, ranks, folder / "together"))
        if ranks.first:
            alone = gradients(trainer(frozen, corpus, Ranks(), folder / "alone"))
            assert len(alone) == len(together) > 1
            pairs = zip(alone, together, strict=True)
            worst = max(np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in pairs)
        moving = replace(frozen, optimizer=OptimizerConfig(learning_rate=1e-2), schedule=ScheduleConfig(epochs=4))
        losses = last_losses(trainer(moving, corpus, ranks, folder / "together2"))
        if ranks.first:
            difference = np.abs(last_losses(trainer(moving, corpus, Ranks(), folder / "alone2")) - losses).max()
            sys.stdout.write(f"{way}, {name}: {worst:.3g} {difference:.3g}\n")

    found = apart(corpus, ranks, folder)
    if ranks.first:
        sys.stdout.write(found)


def apart(corpus: Corpus, ranks: Ranks, folder: Path) -> str:
    """Updates that each rank makes on its own, then the mean: against ranks that never meet, and the mean of theirs."""
    config = RunConfig(
        MODELS["gru"],
        WAYS["newest"],
        ResetConfig("line"),
        OptimizerConfig("adamw", weight_decay=0.1),
        ScheduleConfig(updates=9),
        streams=8,
        sync_every=3,
    )

    def state(one: Trainer) -> list[np.ndarray]:
        return [one.run.parameters.flat.copy(), one.run.optimizer.slots.copy()]

    together = trainer(config, corpus, ranks, folder / "together")
    for update in range(3):
        make_update(together)
        assert together._consensus.apart == (update != 2)
    never = [trainer(config, corpus, Rank(rank, ranks.size), folder / f"never{ranks.rank}") for rank in range(ranks.size)]
    for one in never:
        for _ in range(3):
            make_update(one)
    means = [np.mean(arrays, 0) for arrays in zip(*map(state, never), strict=True)]
    differences = [np.abs(a - b).max() for a, b in zip(state(together), means, strict=True)]
    moved = np.abs(never[0].run.parameters.flat - means[0]).max()
    return f"apart: {max(differences):.3g} {moved:.3g}\n"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
