"""A cell, an optimizer and a truncation method defined in this file, and registered, work like charlm's own.

Nothing else in charlm knows of them. They train from the command line, are evaluated, sampled, exported where the format
has them, and their gradients are compared with the complex step.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from charlm.config.checks import MOST_STEPS
from charlm.config.declare import Declared, setting
from charlm.config.groups import TRUNCATION
from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.sampling import DrawConfig
from charlm.config.truncation import TruncationConfig
from charlm.errors import ConfigurationError
from charlm.inference.evaluation import Evaluator
from charlm.nn.cells.spec import Cell, Gate, sigmoid
from charlm.nn.network import Network
from charlm.nn.optimizer import Optimizer
from charlm.nn.optimizers.spec import OptimizerSpec
from charlm.nn.parameters import Parameters
from charlm.nn.reference import block_loss, gradient, losses
from charlm.registry import CELLS, OPTIMIZERS, TRUNCATIONS
from charlm.tbptt.method import Realised
from charlm.tbptt.newest import Newest
from charlm.tbptt.plan import Cuts, Position

from ..oracle.problem import Problem, exact, reference_gradient, reference_sequence, relative_error, run_epoch
from ..oracle.test_gradients import TOLERANCE
from .conftest import Result

Run = Callable[..., Result]
SMALL = ("--hidden", 12, "--layers", 1, "--direct-order", 0, "--streams", 2, "--k1", 6, "--updates", 9, "--val-fraction", 0)


# --- a cell ---------------------------------------------------------------------------------------------------------


def _reference(
    zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    (xf, xn), (hf, hn) = np.split(zx, 2, -1), np.split(zh, 2, -1)
    f = sigmoid(xf + hf)
    return (1 - f) * h + f * np.tanh(xn + f * hn), c


def _steps(activation: str) -> tuple[Callable[..., None], Callable[..., None]]:
    from charlm.kernels.fastmath import sigmoid, tanh
    from charlm.kernels.simd import LANES, load, store

    def forward(units, rows, recurrent, c):  # type: ignore[no-untyped-def]
        for j in range(0, units, LANES):
            forget = sigmoid(load(rows.z, j) + load(recurrent, j))
            state_part, before = load(recurrent, units + j), load(rows.h_before, j)
            new = tanh(load(rows.z, units + j) + forget * state_part)
            store(rows.z, j, forget)
            store(rows.z, units + j, new)
            store(rows.extra, j, state_part)
            store(rows.h, j, before + forget * (new - before))

    def backward(units, rows, dh, dc, dz, dz_h):  # type: ignore[no-untyped-def]
        for j in range(0, units, LANES):
            forget, new, error = load(rows.z, j), load(rows.z, units + j), load(dh, j)
            d_new = error * forget * (1.0 - new * new)
            d_forget = (error * (new - load(rows.h_before, j)) + d_new * load(rows.extra, j)) * forget * (1.0 - forget)
            store(dz, j, d_forget)
            store(dz, units + j, d_new)
            store(dz_h, j, d_forget)
            store(dz_h, units + j, d_new * forget)
            store(dh, j, error * (1.0 - forget))

    return forward, backward


# The minimal gated unit (Zhou et al. 2016); its gate multiplies W_hn h + b_hn, as in PyTorch's GRU.
MGU = Cell("mgu", (Gate("f", "sigmoid"), Gate("n", "tanh")), _reference, _steps, extras=1, separate=True)


# --- an optimizer ---------------------------------------------------------------------------------------------------


def _lion(momentum: float) -> Callable[..., None]:
    from charlm.kernels.simd import LANES, above, load, store

    def update(hyper, n, parameters, gradients, means):  # type: ignore[no-untyped-def]
        for j in range(0, n, LANES):
            g, mean, p = load(gradients, j) * hyper.scale, load(means, j), load(parameters, j)
            direction = mean * hyper.beta1 + g * (1.0 - hyper.beta1)
            sign = above(direction, 0.0) - above(0.0 - direction, 0.0)
            store(parameters, j, p - (sign + p * hyper.decay) * hyper.rate)
            store(means, j, mean * hyper.beta2 + g * (1.0 - hyper.beta2))

    return update


# Lion (Chen et al. 2023), with decoupled weight decay.
LION = OptimizerSpec("lion", lambda momentum: 1, _lion, weight_decay=0.3)


# --- a truncation method --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stride(Declared, group=TRUNCATION):
    """Every how many updates errors may leave their block."""

    stride: int = setting(3, bounds=(1, MOST_STEPS), help="Let errors leave every Nth block.")


@dataclass(frozen=True)
class FarBlocks(Realised):
    """How many blocks errors left."""

    far_blocks: int = field(metadata={"help": "Blocks that errors left."})

    def describe(self) -> str:
        """Return the number in words."""
        return f"errors left {self.far_blocks} blocks"


class Now(Newest):
    """Newest with k2 in every Nth block, and k1 in the others."""

    Settings = Stride

    def describe(self) -> str:
        """Return a sentence for the test to find."""
        return f"{self.label(self.config)}: looks back every {self.config.settings.stride} updates"

    def cuts(self, at: Position, updates: int) -> Cuts:
        """Return newest's blocks with a shorter reach in most of them."""
        cuts = super().cuts(at, updates)
        far = cuts.start // self.config.k1 % self.config.settings.stride == 0
        cuts.reach[~far] = cuts.steps[~far]
        return cuts

    def realised(self, steps: int, updates: int, longest: int) -> FarBlocks:
        """Return how many of so many blocks were far ones, from the first on."""
        return FarBlocks(-(-updates // self.config.settings.stride))


@pytest.fixture
def registered() -> Iterator[None]:
    CELLS.register("mgu", MGU)
    OPTIMIZERS.register("lion", LION)
    TRUNCATIONS.register("now", Now)
    yield
    for registry, name in ((CELLS, "mgu"), (OPTIMIZERS, "lion"), (TRUNCATIONS, "now")):
        registry.unregister(name)


# --- the three together, from the command line ------------------------------------------------------------------------


ALL = (*SMALL, "--cell", "mgu", "--optimizer", "lion", "--truncation", "now", "--k2", 18, "--lr", 3e-3, "--dropout", 0)


def parameters_of(directory: str) -> dict[str, np.ndarray]:
    """Return the parameters in a run's last checkpoint."""
    with np.load(Path(directory) / "last.npz") as file:
        return {name: file[name] for name in file.files if name.startswith("param/")}


@pytest.mark.usefixtures("registered")
class TestAllThreeTogether:
    """From the command line."""

    def test_they_learn_and_are_used(self, run: Run, corpus: Path) -> None:
        trained = run("train", "corpus.txt", *ALL, "--updates", 300, "--schedule", "constant", "--run", "one", "--json")
        assert trained.code == 0, trained.err
        result = json.loads(trained.out)
        guessing = np.log(len(set(corpus.read_text())))
        assert result["train_nats"] < 0.9 * guessing
        assert "mgu, 1 layer of 12" in run("info", "one").out
        scored = run("eval", "one", "corpus.txt", "--json")
        assert json.loads(scored.out)["nats_per_char"] < 0.9 * guessing, scored.err
        assert len(run("sample", "one", "-n", 30, "--seed", 1).out) > 20
        assert run("lags", "one", "corpus.txt", "-n", 8, "--losses", 8).code == 0

    def test_they_resume_bit_for_bit(self, run: Run, corpus: Path) -> None:
        for directory, *turns in (("whole", 13), ("parts", 5, 13)):
            for number, updates in enumerate(turns):
                more = ("--resume",) if number else (*ALL, "--schedule", "constant")
                result = run("train", "corpus.txt", *more, "--updates", updates, "--run", directory)
                assert result.code == 0, result.err
        whole, parts = parameters_of("whole"), parameters_of("parts")
        assert all(np.array_equal(whole[name], parts[name]) for name in whole)

    @pytest.mark.parametrize("cell", ["mgu", "gru"])
    def test_any_cell_is_exported(self, run: Run, corpus: Path, cell: str) -> None:
        assert run("train", "corpus.txt", *ALL, "--cell", cell, "--updates", 1, "--run", "one").code == 0
        for file in ("m.safetensors", "m.onnx"):
            written = run("export", "one", file)
            assert written.code == 0, written.err
            assert Path(file).stat().st_size > 1000


# --- the cell against the complex step --------------------------------------------------------------------------------


def problem(threads: int = 1, slices: int = 1) -> Problem:
    """Return a problem with the cell and all that lies between layers."""
    model = ModelConfig("mgu", hidden=19, layers=2, dropout=0.3, residual=True, layer_norm=True)
    return Problem(
        model, TruncationConfig(2, 5, "window"), ResetConfig("line"), streams=2, length=25, threads=threads, slices=slices
    )


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_cell_has_the_gradients_of_its_reference(threads: int) -> None:
    for u in run_epoch(problem(threads=threads))[0]:
        assert relative_error(u.gradient, reference_gradient(problem(), u.first, u.last)) < TOLERANCE


@pytest.mark.usefixtures("registered")
def test_a_cell_is_evaluated_and_sampled() -> None:
    one = Problem(replace(problem().model, dropout=0.0), TruncationConfig(4, 4), length=60)
    parameters = one.parameters()
    expected = losses(one.model, exact(parameters), reference_sequence(one, 59))
    found = Evaluator(parameters).losses(one.text(), one.resets())[0]
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-5, atol=1e-6)
    network = Network(parameters, 1, 1)
    drawn, _ = network.draw(np.zeros((1, 1)), 20, 0, 0, one.resets(), DrawConfig(seed=1))
    assert set(drawn.ravel()) <= set(range(one.vocabulary)) and len(set(drawn.ravel())) > 1
    assert network.gate_values().shape == (2, 1, 1, 19)


# --- the optimizer against its formula ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_an_optimizer_computes_its_formula() -> None:
    config = OptimizerConfig("lion", 0.01, weight_decay=0.3, clip=0.0)
    plain = Problem(ModelConfig("gru", hidden=9, dropout=0.0), TruncationConfig(5, 5), length=61)
    updates, parameters = run_epoch(plain, config)
    for name, array in parameters.state_dict().items():
        p, mean = plain.parameters().state_dict()[name].astype(np.float64), np.zeros(1)
        decay = 0.3 if p.ndim == 2 else 0.0
        for u in updates:
            g = u.gradient[name].astype(np.float64)
            p = p - 0.01 * (np.sign(0.9 * mean + 0.1 * g) + decay * p)
            mean = config.beta2 * mean + (1 - config.beta2) * g
        np.testing.assert_allclose(array, p, rtol=1e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("declared", [0, 2])
def test_an_optimizer_that_takes_other_slots_than_it_declares(declared: int) -> None:
    parameters = Parameters(ModelConfig(hidden=4), 5)
    wrong = OptimizerSpec("wrong", lambda momentum: declared, _lion)
    with pytest.raises(ConfigurationError, match=f"wrong: its spec declares {declared} slots and its step takes 1"):
        Optimizer(OptimizerConfig(), parameters, parameters.like(), wrong)


# --- the truncation method against the complex step, and its setting ------------------------------------------------------


@pytest.mark.usefixtures("registered")
def test_a_method_has_the_gradients_of_its_reach() -> None:
    cut = TruncationConfig(2, 6, "now", settings={"stride": 2})
    plain = Problem(ModelConfig("gru", hidden=4, dropout=0.0), cut, length=21)
    updates, _ = run_epoch(plain)
    assert [int(u.plan.reach[0]) for u in updates[2:6]] == [6, 2, 6, 2]
    for u in updates:
        reach, losses_in, weight = int(u.plan.reach[0]), int(u.plan.losses[0]), float(u.plan.weight[0])
        sequence = reference_sequence(plain, u.last)
        truncated = partial(block_loss, plain.model, sequence=sequence, window=reach, injected=losses_in, weight=weight)
        assert relative_error(u.gradient, gradient(exact(plain.parameters()), truncated)) < TOLERANCE, u.first


def test_help_shows_what_is_registered(run: Run, registered: None) -> None:
    shown = run("train", "--help").out
    truncation = " ".join(shown.split(f"{TRUNCATION}:\n")[1].split("\n\n")[0].split())
    assert "|now]" in truncation
    assert "--stride N" in truncation
    assert "[rnn|lstm|gru|mlstm|indrnn|mingru|mgu]" in shown
    assert "|lion]" in shown
    assert "Let errors leave every Nth block." in truncation
    assert "[default: 3]" in truncation
    assert "[default: 0.1 for adamw, 0.3 for lion, 0 for others; 0 with --once]" in " ".join(shown.split())


def test_help_is_as_before_without_it(run: Run) -> None:
    assert "--stride" not in run("train", "--help").out
    assert run("train", "corpus.txt", "--stride", 2).code == 2


@pytest.mark.usefixtures("registered")
class TestARegisteredMethod:
    """The command line, the environment, TOML files and the library know the method and its setting."""

    def test_trains_and_resumes(self, run: Run, corpus: Path) -> None:
        result = run("train", "corpus.txt", *SMALL, "--k2", 18, "--truncation", "now", "--stride", 2, "--json")
        assert result.code == 0, result.err
        assert "now(k1=6, k2=18): looks back every 2 updates; window" in result.err
        kept = json.loads(Path("runs/corpus/config.json").read_text())["truncation"]
        assert (kept["kind"], kept["settings"]) == ("now", {"stride": 2})
        assert "now(k1=6, k2=18), reset epoch" in run("info").out
        again = run("train", "corpus.txt", "--resume", "--updates", 12, "--json")
        assert again.code == 0, again.err
        assert (json.loads(again.out)["updates"], json.loads(again.out)["far_blocks"]) == (12, 6)
        other = run("train", "corpus.txt", "--resume", "--updates", 15, "--stride", 4)
        assert (other.code, "--stride 4: the run was made with --stride 2" in other.err) == (2, True), other.err

    def test_adds_numbers_of_its_own(self, run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 60)
        result = run("train", "corpus.txt", *SMALL, "--k2", 18, "--truncation", "now")
        assert "; errors left 3 blocks; runs/corpus\n" in result.out
        lines = [json.loads(line) for line in Path("runs/corpus/metrics.jsonl").read_text().splitlines()]
        assert [line["far_blocks"] for line in lines] == [2]

    def test_decides_what_is_learnt(self, run: Run, corpus: Path) -> None:
        """A stride of one is newest, bit for bit; another stride is not."""
        losses = {}
        for name, more in {
            "newest": (),
            "always": ("--truncation", "now", "--stride", 1),
            "often": ("--truncation", "now"),
        }.items():
            result = run("train", "corpus.txt", *SMALL, "--k2", 18, *more, "--run", name, "--json")
            assert result.code == 0, result.err
            losses[name] = json.loads(result.out)["train_nats"]
        assert losses["newest"] == losses["always"] != losses["often"]

    def test_takes_its_setting_from_anywhere(self, run: Run, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        Path("c.toml").write_text('[train]\ntruncation = "now"\nstride = 5\n')
        assert "looks back every 5 updates" in run("train", "corpus.txt", *SMALL, "--config", "c.toml").err
        monkeypatch.setenv("CHARLM_TRAIN_STRIDE", "7")
        assert "every 7 updates" in run("train", "corpus.txt", *SMALL, "--force", "--truncation", "now").err

    def test_has_its_setting_checked(self, run: Run, corpus: Path) -> None:
        outside = run("train", "corpus.txt", *SMALL, "--truncation", "now", "--stride", 0)
        assert (outside.code, outside.err) == (2, "Error: --stride 0: must be between 1 and 1,000,000,000\n")
        elsewhere = run("train", "corpus.txt", *SMALL, "--stride", 2)
        assert (elsewhere.code, elsewhere.err) == (2, "Error: --stride belongs to --truncation now, not newest\n")
