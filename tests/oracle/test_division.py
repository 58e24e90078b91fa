"""However threads divide the work, by streams or by units: the same numbers, bit for bit, also across a change."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.sampling import DrawConfig
from charlm.config.truncation import TruncationConfig
from charlm.inference.evaluation import Evaluator
from charlm.nn import division
from charlm.nn.contention import ThreadCount
from charlm.nn.division import StepCost, ways
from charlm.nn.network import Network
from charlm.nn.optimizer import Optimizer
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.streams import Streams

from .problem import Problem, all_gradients, run_epoch
from .test_gradients import CELLS


@pytest.mark.parametrize(("hidden", "slices", "groups"), [(20, 2, 1), (37, 3, 1), (20, 2, 2), (37, 3, 2), (20, 2, 3)])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
def test_slices_of_units(cell: str, activation: str, hidden: int, slices: int, groups: int) -> None:
    for norm, kind, streams in (
        ("none", "newest", groups),
        ("layer", "window", 3),
        ("layer", "newest", 7),
        ("cell", "newest", groups),
        ("cell", "window", 7),
        ("batch", "newest", groups),
        ("batch", "window", 7),
        ("both", "newest", groups),
        ("both", "window", 7),
    ):
        mixed = norm != "none"
        model = ModelConfig(cell, activation, hidden, 2, 0.4 if mixed else 0.0, residual=mixed, norm=norm)
        for k1, k2 in ((4, 9), (5, 3)):
            whole = Problem(model, TruncationConfig(k1, k2, kind), ResetConfig("line"), streams, streams * 13 + 2, 23)
            expected, _ = run_epoch(whole)
            found, _ = run_epoch(replace(whole, slices=slices, threads=groups))
            assert [u.nats for u in found] == [u.nats for u in expected]
            for one, other in zip(all_gradients(found), all_gradients(expected), strict=True):
                assert np.array_equal(one, other)


@pytest.mark.parametrize(("slices", "threads"), [(2, 1), (1, 2), (1, 3), (2, 2)])
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("cell", "norm"), [("gru", "layer"), ("gru", "cell"), ("lstm", "cell"), ("lstm", "both")])
def test_carrying_on_with_another_division(cell: str, norm: str, slices: int, threads: int, back: bool) -> None:
    """State and window go from one network to another that is divided otherwise, in the middle of an epoch."""
    model = ModelConfig(cell, hidden=20, layers=2, dropout=0.3, norm=norm)
    problem = Problem(model, TruncationConfig(4, 11), streams=7, length=7 * 31 + 2)
    other_way = replace(problem, slices=slices, threads=threads)
    before, after = (other_way, problem) if back else (problem, other_way)
    results = []
    for second in (before, after):
        parameters = problem.parameters()
        net = before.network(parameters)
        optimizer = Optimizer(OptimizerConfig("adam"), parameters, net.gradients)
        streams, at = Streams(problem.length, problem.streams), Position()
        plan, at = make_plan(problem.cut(), streams, problem.resets(), problem.text(), at, 4, np.full(4, 1e-2))
        net.train(plan, optimizer.rule)
        other = second.network(parameters)
        other.load_state_dict(net.state_dict())
        rule = Optimizer(OptimizerConfig("adam"), parameters, other.gradients).rule
        plan, at = make_plan(problem.cut(), streams, problem.resets(), problem.text(), at, 3, np.full(3, 1e-2))
        assert at.epoch == 0
        results.append((other.train(plan, rule).loss, parameters.flat.copy()))
    for one, same in zip(*results, strict=True):
        assert np.array_equal(one, same)


@pytest.mark.parametrize(
    ("truncation", "counted"),
    [
        (TruncationConfig(4, 11), "blocks"),
        (TruncationConfig(4, 9, "window"), ""),
        (TruncationConfig(kind="artbp", settings={"mean_length": 6}), "text"),
    ],
    ids=["newest", "window", "artbp"],
)
def test_dividing_anew_beside_another_program(
    truncation: TruncationConfig, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that get no processor become fewer and then more again, in the middle of an epoch; no bit changes."""
    model = ModelConfig("lstm", hidden=20, layers=2, dropout=0.3, layer_norm=True, direct_order=3 if counted else 0)
    problem = Problem(model, truncation, ResetConfig("line"), 7, 7 * 91 + 2, threads=3, counted=counted)
    record, rates = ThreadCount.record, np.full(1, 1e-2)

    def trained(shares: Iterator[float]) -> tuple[list[int], list[np.ndarray]]:
        """Numbers of threads after each update; losses of each, and the parameters after an epoch."""

        def disturbed(self: ThreadCount, got: list[float], passed: float) -> None:
            record(self, [next(shares)] * len(got), 1.0)

        monkeypatch.setattr(ThreadCount, "record", disturbed)
        parameters, threads, found = problem.parameters(), [], []
        net = problem.network(parameters)
        rule = Optimizer(OptimizerConfig("adam"), parameters, net.gradients).rule
        streams, at = Streams(problem.length, problem.streams), Position()
        while at.epoch == 0:
            plan, at = make_plan(problem.cut(), streams, problem.resets(), problem.text(), at, 1, rates)
            net.reserve(int(plan.steps.max()))
            found.append(net.train(plan, rule).loss)
            threads.append(net.threads)
        return threads, [*found, parameters.flat]

    threads, expected = trained(itertools.repeat(1.0))
    assert set(threads) == {3}
    threads, found = trained(itertools.chain([1.0, 0.1, 0.1], itertools.repeat(1.0)))
    assert threads[:7] == [3, 3, 3, 1, 2, 3, 3]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("rounded", [False, True])
def test_reading_goes_on_where_it_is_divided_anew(rounded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts drawn and read while threads become fewer and more, by streams and by units, with tables: the same numbers."""
    model = ModelConfig("lstm", hidden=20, layers=2, layer_norm=True, direct_order=3)
    problem = Problem(model, TruncationConfig(4, 4), ResetConfig("line"), 4, 400, vocabulary=19, counted="text")
    parameters = problem.parameters().rounded() if rounded else problem.parameters()
    text = np.random.default_rng(0).integers(0, 19, (41, 4)).astype(np.int32)
    found, now = [], [(1, 1)]
    monkeypatch.setattr(division.Division, "way", property(lambda self: now[0]))
    for ways_taken in ([(1, 1)], [(2, 1), (1, 2), (1, 1)]):
        net, results = Network(parameters, 4, 4, threads=2, fixed=True), []
        for first, way in zip(range(0, 40, 8), itertools.cycle(ways_taken), strict=False):
            now[0] = way
            results.append(net.score(text[first : first + 9], np.zeros((8, 4), np.uint8))[0])
            results.append(net.draw(text[first : first + 3], 5, 7, 0, problem.resets(), DrawConfig(seed=1), True)[1])
            assert net.way == way
        found.append(results)
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


def test_reading_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(ModelConfig("lstm", hidden=20, layers=2, dropout=0.0), TruncationConfig(4, 4), vocabulary=19)
    text = np.random.default_rng(0).integers(0, 19, 500)
    whole = Evaluator(problem.parameters()).losses(text, problem.resets())
    monkeypatch.setattr(division, "ways", lambda *arguments: [(1, 2)])
    sliced = Evaluator(problem.parameters(), threads=2).losses(text, problem.resets())
    for one, other in zip(whole, sliced, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("panel", "slices"),
    [(8, {240: 1, 224: 2, 32: 2, 16: 1}), (16, {240: 1, 224: 2, 32: 2, 16: 1}), (64, {240: 1, 64: 2, 32: 1})],
)
def test_units_are_divided_where_streams_are_few(
    panel: int, slices: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On processors of every width: each slice is of whole blocks, and not narrower than half a panel."""
    monkeypatch.setattr(division, "PANEL", panel)
    for name in ("_LEAST", "_USUAL", "_MOST"):
        monkeypatch.setattr(division, name, 1e-7)
    cost = StepCost(1, layers=1, recurrent=16 * 256**2, weights=4 * 256**2, units=256, exchanged=256, updated=0.0)
    assert ways(cost, 256, 2) == [(1, 2)]
    assert ways(cost, 256, 1) == [(1, 1)]
    assert ways(cost._replace(streams=64), 256, 2) == [(2, 1)]
    for units, expected in slices.items():
        assert ways(cost, units, 2) == [(1, expected)], f"{units} units in panels of {panel}"
    monkeypatch.setattr(division, "_MOST", 1e-4)
    assert ways(cost, 256, 2) == [(1, 2), (1, 1)], "the two are tried"
    monkeypatch.setattr(division, "_USUAL", 1e-4)
    assert ways(cost, 256, 2) == [(1, 1), (1, 2)]
    monkeypatch.setattr(division, "_LEAST", 1e-4)
    assert ways(cost, 256, 2) == [(1, 1)], "meeting costs more than is gained"


def test_a_grid_of_threads_leaves_no_processor_idle() -> None:
    """The default network on 16 processors: 32 streams alone would keep half of them busy."""
    cost = StepCost(32, layers=2, recurrent=16 * 256**2, weights=12 * 256**2, units=512, exchanged=2560, updated=14000.0)
    assert ways(cost, 256, 16)[0] == (8, 2)
    assert ways(cost._replace(streams=4), 256, 4)[0] == (2, 2)
    assert ways(cost, 256, 4) == [(4, 1)], "others would gain little, however quick a meeting"
