"""What each rank does of one run, without MPI: shares that add up, and ranks that go their own way for some updates."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.run import RunConfig
from charlm.config.schedule import ScheduleConfig
from charlm.config.truncation import TruncationConfig
from charlm.corpus.corpus import Corpus, read_corpus
from charlm.distributed.launch import launched
from charlm.distributed.ranks import Ranks
from charlm.errors import ConfigurationError, ResourceError
from charlm.inference.evaluation import Evaluator
from charlm.nn.parameters import Parameters
from charlm.tbptt.streams import Streams
from charlm.training.defaults import fit_streams, require_even
from charlm.training.trainer import Trainer

from .same_as_one import Rank, make_update
from .same_as_one import trainer as new_trainer

MODEL = ModelConfig("lstm", hidden=20, layers=2, dropout=0.3)
FROZEN = RunConfig(
    MODEL,
    TruncationConfig(8, 20),
    ResetConfig("line"),
    OptimizerConfig("sgd", learning_rate=0.0),
    ScheduleConfig(epochs=2),
    streams=6,
)


@pytest.fixture
def corpus(folder: Path) -> Corpus:
    return read_corpus(("corpus.txt",))


def trainer(config: RunConfig, corpus: Corpus, ranks: Ranks) -> Trainer:
    return new_trainer(config, corpus, ranks, Path(f"run{ranks.rank}of{ranks.size}"))


@pytest.mark.parametrize("size", [2, 3, 6])
def test_gradients_of_the_shares_add_up(corpus: Corpus, size: int) -> None:
    """Also where the last step of an epoch lacks targets of some ranks only, and after it."""
    whole = trainer(FROZEN, corpus, Ranks())
    parts = [trainer(FROZEN, corpus, Rank(rank, size)) for rank in range(size)]
    assert 0 < whole.run.text.streams.shorter < 6
    while whole.run.state.epochs < 1.2:
        for each in (whole, *parts):
            make_update(each)
        expected, found = whole.run.network.gradients.flat, sum(part.run.network.gradients.flat for part in parts)
        assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)
    assert sum(part.run.state.nats for part in parts) == pytest.approx(whole.run.state.nats, rel=1e-6)
    assert all(part.run.state.chars == whole.run.state.chars for part in parts), (
        "characters are counted as one process counts them"
    )


def test_shares_of_streams() -> None:
    for count, size in ((8, 2), (7, 3), (2, 5)):
        whole = Streams(101, count)
        parts = [whole.of_rank(rank, size) for rank in range(size)]
        assert np.array_equal(np.concatenate([part.starts for part in parts]), whole.starts)
        assert np.array_equal(np.concatenate([part.targets for part in parts]), whole.targets)
        assert whole.shorter == (whole.targets < whole.steps).sum()
        ids = np.arange(101)
        read = np.concatenate([part.read(ids, 2, 9) for part in parts], axis=1)
        assert np.array_equal(read, whole.read(ids, 2, 9))


def test_each_layers_gradients_are_sent_once() -> None:
    for layers in (1, 3):
        parameters = Parameters(replace(MODEL, layers=layers, layer_norm=True), 31)
        parameters.flat[...] = 0
        pieces = parameters.by_layer()
        assert len(pieces) == layers
        for piece in [piece for layer in pieces for piece in layer]:
            assert piece.base is not None
            piece += 1
        assert (parameters.flat == 1).all()


def test_updates_on_their_own_are_those_of_the_share_alone(corpus: Corpus) -> None:
    """Plain gradient descent: as if the share's streams were all there are, with the loss averaged over them."""
    config = replace(FROZEN, sync_every=3, optimizer=OptimizerConfig("sgd", learning_rate=0.1, clip=0.0))
    one = trainer(config, corpus, Rank(1, 2))
    make_update(one)
    alone = trainer(replace(config, sync_every=1), corpus, Rank(1, 2))
    make_update(alone)
    assert np.array_equal(one.run.network.gradients.flat, 2 * alone.run.network.gradients.flat)


def test_statistics_of_ranks_on_their_own_are_averaged_whole(corpus: Corpus) -> None:
    """Of ranks that sum each update, each gives its share of the statistics; one on its own gives all of them."""
    config = replace(FROZEN, model=replace(MODEL, norm="batch"))
    found = []
    for every in (1, 3):
        one = trainer(replace(config, sync_every=every), corpus, Rank(1, 2))
        make_update(one)
        found.append(one.run.network.gradients.weights.running.copy())
    assert found[0].any()
    assert np.array_equal(found[1], 2 * found[0])


def test_evaluation_in_shares(corpus: Corpus) -> None:
    parameters = Parameters(MODEL, len(corpus.vocabulary))
    parameters.initialise(1)
    resets = trainer(FROZEN, corpus, Ranks()).run.text.resets
    whole = Evaluator(parameters, 5).evaluate(corpus.ids, resets)
    parts = [Evaluator(parameters, 5, 1, rank, 3).evaluate(corpus.ids, resets) for rank in range(3)]
    assert sum(part.chars for part in parts) == whole.chars == len(corpus.ids) - 1
    assert sum(part.correct for part in parts) == whole.correct
    assert sum(part.loss for part in parts) == pytest.approx(whole.loss, rel=1e-9)
    assert Evaluator(parameters, 2, 1, 0, 3).evaluate(corpus.ids, resets).chars == 0, "more ranks than streams"


def test_streams_that_ranks_can_share() -> None:
    assert fit_streams(32, False, 10**6, 64, 3) == 30
    assert fit_streams(32, False, 8 * 64 * 5, 64, 2) == 4
    assert fit_streams(32, True, 10**6, 64, 3) == 32
    require_even(32, 8)
    with pytest.raises(ConfigurationError, match="32 streams cannot be dealt out evenly to 3 ranks"):
        require_even(32, 3)
    with pytest.raises(ConfigurationError, match="64 ranks for 32 streams"):
        require_even(32, 64)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ({}, (0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "4"}, (1, 4)),
        ({"PMI_RANK": "2", "PMI_SIZE": "3"}, (2, 3)),
        ({"PMIX_RANK": "5", "SLURM_STEP_NUM_TASKS": "6"}, (5, 6)),
        ({"PMIX_RANK": "5"}, (0, 1)),
        ({"PMI_RANK": "x", "PMI_SIZE": ""}, (0, 1)),
    ],
)
def test_who_started_this(names: dict[str, str], found: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    assert launched() == found


def test_without_mpiexec_mpi_is_not_touched(folder: Path) -> None:
    code = (
        "import sys; from charlm.cli import main\n"
        "try: main(['train', 'corpus.txt', '--hidden', '8', '--updates', '2', '--quiet'])\n"
        "finally: assert 'mpi4py' not in sys.modules and 'charlm.distributed.mpi' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mpi4py_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from charlm.distributed.mpi import MPIRanks

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ResourceError, match=r"started as 4 processes, which takes mpi4py, .*: pip install 'charlm\[mpi\]'"):
        MPIRanks(4)
