"""The kernels' gradients against the reference's, which come from the definition by the complex step."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.nn.reference import block_loss, gradient, losses

from .naive import NaiveRnn, as_pytorch
from .problem import (
    Problem,
    all_gradients,
    exact,
    reference_gradient,
    reference_sequence,
    relative_error,
    run_epoch,
)

TOLERANCE = 1e-4

CELLS = [
    ("rnn", "tanh"),
    ("rnn", "relu"),
    ("lstm", "tanh"),
    ("gru", "tanh"),
    ("mlstm", "tanh"),
    ("indrnn", "relu"),
    ("mingru", "tanh"),
]
CUTS = [(1, 1), (1, 7), (4, 4), (4, 12), (5, 12), (7, 3)]
RESETS = [ResetConfig("epoch"), ResetConfig("block"), ResetConfig("every", every=3), ResetConfig("line")]
STREAMS = [1, 3, 8]


def check(problem: Problem, threads: tuple[int, ...] = (1,)) -> None:
    """Compares the first full-window update and the last, short one; thread counts must agree bit for bit."""
    updates, _ = run_epoch(problem)
    for update in {min(len(updates) - 1, -(-problem.truncation.k2 // problem.truncation.k1)), len(updates) - 1}:
        u = updates[update]
        assert relative_error(u.gradient, reference_gradient(problem, u.first, u.last)) < TOLERANCE, (u.first, u.last)
    for count in threads[1:]:
        again, _ = run_epoch(replace(problem, threads=count))
        assert [u.nats for u in again] == [u.nats for u in updates]
        for one, other in zip(all_gradients(updates), all_gradients(again), strict=True):
            assert np.array_equal(one, other)


@pytest.mark.parametrize(("k1", "k2"), CUTS)
@pytest.mark.parametrize(
    ("cell", "activation", "layers"),
    [*((*one, layers) for one in CELLS[:4] for layers in (1, 2, 3)), *((*one, 2) for one in CELLS[4:])],
)
def test_against_reference(cell: str, activation: str, layers: int, k1: int, k2: int) -> None:
    for reset, dropout, streams in itertools.product(RESETS, (0.0, 0.4), STREAMS):
        problem = Problem(
            ModelConfig(cell, activation, hidden=3, layers=layers, dropout=dropout),
            TruncationConfig(k1, k2),
            reset,
            streams,
            length=streams * 9 + 3,
        )
        check(problem, threads=(1, 2, 3) if streams > 1 else (1,))


@pytest.mark.parametrize(("k1", "k2"), CUTS)
@pytest.mark.parametrize("kind", ["newest", "window"])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_between_layers(cell: str, activation: str, kind: str, k1: int, k2: int) -> None:
    """Layer norm, residual and dropout together and apart, under both truncations, on padded and whole widths."""
    for norm, residual, dropout in itertools.product(("none", "layer"), (False, True), (0.0, 0.4)):
        model = ModelConfig(cell, activation, 3, 3, dropout, residual, norm)
        check(Problem(model, TruncationConfig(k1, k2, kind), ResetConfig("line"), 3, length=3 * 9 + 2), threads=(1, 2))


@pytest.mark.parametrize(("k1", "k2"), CUTS)
@pytest.mark.parametrize("kind", ["newest", "window"])
@pytest.mark.parametrize("norm", ["cell", "batch", "both"])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_norms_of_gates(cell: str, activation: str, norm: str, kind: str, k1: int, k2: int) -> None:
    """Norms of sums, with the gradient of their statistics, on rows that are padded; a stream ends before the others."""
    for reset, residual in ((ResetConfig("line"), False), (ResetConfig("block"), True)):
        model = ModelConfig(cell, activation, 6, 2, 0.4 if residual else 0.0, residual, norm)
        # With fewer streams, a step's statistics are those of two characters or three, and rounding is all that is left.
        check(Problem(model, TruncationConfig(k1, k2, kind), reset, 5, length=5 * 9 + 2), threads=(1, 2))


@pytest.mark.parametrize("norm", ["layer", "cell", "batch", "both"])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_wide(cell: str, activation: str, norm: str) -> None:
    """Sizes that fill several panels and tiles, where padding and left-over columns meet; some numbers only."""
    problem = Problem(
        ModelConfig(cell, activation, hidden=37, layers=2, norm=norm, dropout=0.0),
        TruncationConfig(4, 9),
        streams=7,
        length=7 * 13 + 4,
        vocabulary=83,
    )
    updates, parameters = run_epoch(problem)
    u = updates[-1]
    p, sequence = exact(parameters), replace(reference_sequence(problem, u.last), block=4)
    random = np.random.default_rng(0)
    for _ in range(20):
        direction = {name: random.standard_normal(a.shape) for name, a in p.items()}
        moved = {name: p[name] + 1e-30j * direction[name] for name in p}
        slope = block_loss(problem.model, moved, sequence, 9, u.last - u.first, 1 / (7 * 4)).imag / 1e-30
        learns = [name for name, _ in parameters.learned_views()]
        found = sum((u.gradient[name] * direction[name]).sum() for name in learns)
        size = np.sqrt(sum((u.gradient[name] ** 2).sum() for name in learns))
        assert abs(found - slope) < TOLERANCE * max(abs(slope), size)


def test_losses_against_reference() -> None:
    for cell, activation in CELLS:
        problem = Problem(ModelConfig(cell, activation, 3, 2, dropout=0.0), TruncationConfig(4, 4), streams=3, length=33)
        updates, parameters = run_epoch(problem)
        expected = losses(problem.model, exact(parameters), reference_sequence(problem, updates[-1].last))
        for u in updates:
            assert u.nats == pytest.approx(sum(e.sum() for e in expected[u.first : u.last]), rel=1e-6)


@pytest.mark.parametrize("k", [1, 4, 6])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_newest_is_window_where_k1_equals_k2(cell: str, activation: str, k: int) -> None:
    problem = Problem(ModelConfig(cell, activation, 3, 2, dropout=0.0), TruncationConfig(k, k), streams=3, length=3 * 10 + 2)
    newest, _ = run_epoch(problem)
    window, _ = run_epoch(replace(problem, truncation=TruncationConfig(k, k, "window")))
    for one, other in zip(all_gradients(newest), all_gradients(window), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_one_block_is_full_backpropagation(cell: str, activation: str) -> None:
    problem = Problem(ModelConfig(cell, activation, 3, 2, dropout=0.0), TruncationConfig(11, 11), streams=2, length=23)
    (update,), parameters = run_epoch(problem)
    sequence = reference_sequence(problem, 11)
    full = gradient(exact(parameters), lambda p: sum(loss.sum(-1) for loss in losses(problem.model, p, sequence)) / 22)
    assert relative_error(update.gradient, full) < TOLERANCE


def naive_gradients(problem: Problem, rate: float) -> tuple[list[dict[str, np.ndarray]], list[float]]:
    """Gradients and losses of every update of the slow, stored-activations twin."""
    net = NaiveRnn(problem.parameters().state_dict())
    out, nats = [], []
    for u in run_epoch(problem)[0]:
        ids, resets = u.plan.ids[:, 0], u.plan.resets[:, 0]
        nats.append(sum(net.forward(ids[t], ids[t + 1], bool(resets[t])) for t in range(u.last - u.first)))
        grad = net.gradient(int(u.plan.reach[0]), int(u.plan.losses[0]), float(u.plan.weight[0]))
        out.append(as_pytorch(grad))
        net.descend(grad, rate)
    return out, nats


@pytest.mark.parametrize("kind", ["newest", "window"])
@pytest.mark.parametrize("k2", range(1, 13))
def test_every_depth_against_every_loss_on_its_own(kind: str, k2: int) -> None:
    """Brute force for T = 12: reference and kernels against the quadratic twin, for every k1 and k2."""
    for k1 in range(1, 13):
        problem = Problem(ModelConfig("rnn", hidden=3, layers=1, dropout=0.0), TruncationConfig(k1, k2, kind), length=13)
        updates, _ = run_epoch(problem)
        for u, slow in zip(updates, naive_gradients(problem, 0.0)[0], strict=True):
            assert relative_error(u.gradient, slow) < TOLERANCE, (k1, u.first)
            if k1 in (3, 5):
                assert relative_error(reference_gradient(problem, u.first, u.last), slow) < 1e-12, (k1, u.first)


@pytest.mark.parametrize("reset", RESETS, ids=lambda r: r.policy)
@pytest.mark.parametrize(("k1", "k2"), [(1, 7), (4, 4), (4, 12), (5, 12), (7, 3)])
def test_training_uses_stored_activations(k1: int, k2: int, reset: ResetConfig) -> None:
    """With parameters that move, the window holds what earlier parameters made: forward once, nothing recomputed."""
    rate = 0.25  # at 0.5 training itself makes rounding errors a hundred times larger
    problem = Problem(ModelConfig("rnn", hidden=3, layers=1, dropout=0.0), TruncationConfig(k1, k2), reset, length=40)
    moving, _ = run_epoch(problem, OptimizerConfig("sgd", learning_rate=rate, clip=0.0))
    slow, nats = naive_gradients(problem, rate)
    for u, expected, loss in zip(moving, slow, nats, strict=True):
        assert relative_error(u.gradient, expected) < TOLERANCE
        assert u.nats == pytest.approx(loss, rel=1e-5)
    assert nats[-1] != pytest.approx(run_epoch(problem)[0][-1].nats, rel=1e-3), "the parameters did not move"
