"""Beam search: against all continuations there are, each scored by evaluation."""

import functools
import itertools

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.inference.beam_search import search
from charlm.inference.evaluation import Evaluator
from charlm.inference.sampling import Context
from charlm.nn.parameters import Parameters
from charlm.tbptt.resets import Resets

from .problem import Problem

V, LENGTH = 4, 5
PRIME = np.array([1, 0, 2])
NOTHING = np.zeros(0, np.int64)
RESETS = [
    Resets(ResetConfig("never"), 3),
    Resets(ResetConfig("line"), 3, np.array([2])),
    Resets(ResetConfig("every", every=3), 3),
]


def problem(seed: int) -> Parameters:
    """With an odd seed, one whose second layer steps once in two characters."""
    clocks = "1,2" if seed % 2 else ""
    model = ModelConfig("lstm", hidden=9, layers=2, dropout=0.0, clocks=clocks)
    parameters = Problem(model, TruncationConfig(4, 4), vocabulary=V, seed=seed).parameters()
    parameters.weights.out[...] *= 10 if clocks else 20  # with clocks the output sees the sum of both layers
    return parameters


@functools.cache
def nats_of_all(seed: int, resets: int) -> dict[tuple[int, ...], np.ndarray]:
    """Return the nats of each character of every continuation. resets: index of RESETS."""
    evaluator = Evaluator(problem(seed))
    return {
        ids: evaluator.losses(np.concatenate([PRIME, ids]), RESETS[resets])[0][len(PRIME) - 1 :]
        for ids in itertools.product(range(V), repeat=LENGTH)
    }


def every_continuation(seed: int, resets: int, stop: np.ndarray, least: int) -> list[tuple[float, tuple[int, ...]]]:
    """(nats, ids) of all that are LENGTH long or end with the stop before that, the likeliest first."""
    found = {}
    for ids, nats in nats_of_all(seed, resets).items():
        ends = [n for n in range(1, LENGTH + 1) if len(stop) and ids[max(0, n - len(stop)) : n] == tuple(stop.tolist())]
        if ends and ends[0] - len(stop) < least:
            continue  # it ends too early, so it is not wanted at all
        n = ends[0] if ends else LENGTH
        found[ids[:n]] = float(nats[:n].sum())
    return sorted((nats, ids) for ids, nats in found.items())


@pytest.mark.parametrize("resets", range(3), ids=["never", "line", "every"])
@pytest.mark.parametrize(("stop", "least"), [(NOTHING, 0), (np.array([3]), 0), (np.array([3]), 2), (np.array([0, 3]), 1)])
def test_a_wide_beam_finds_the_likeliest_of_all(resets: int, stop: np.ndarray, least: int) -> None:
    for seed in range(2):
        parameters = problem(seed)
        expected = every_continuation(seed, resets, stop, least)
        found = search(Context(parameters, RESETS[resets], PRIME, threads=2), V**LENGTH, LENGTH, stop, least)[:20]
        nats_of = {ids: nats for nats, ids in expected}
        best = [nats for nats, _ in expected[: len(found)]]
        np.testing.assert_allclose([each.nats.sum() for each in found], best, rtol=1e-5)
        np.testing.assert_allclose([nats_of[tuple(each.ids.tolist())] for each in found], best, rtol=1e-5)  # ties: any order
        assert len({tuple(each.ids.tolist()) for each in found}) == len(found) == 20
        assert all(each.ended == (len(stop) > 0 and each.ids[-len(stop) :].tolist() == stop.tolist()) for each in found)


def test_a_beam_of_one_is_greedy_and_wider_ones_are_no_worse() -> None:
    parameters, never = problem(3), RESETS[0]
    greedy = search(Context(parameters, never, PRIME), 1, 40, NOTHING)[0]
    correct = Evaluator(parameters).losses(np.concatenate([PRIME, greedy.ids]), never)[1]
    assert correct[len(PRIME) - 1 :].all()
    exact = every_continuation(3, 0, NOTHING, 0)[0][0]
    costs = [search(Context(parameters, never, PRIME), width, LENGTH, NOTHING)[0].nats.sum() for width in (1, 4, V**LENGTH)]
    assert costs[-1] == pytest.approx(exact, rel=1e-5)
    assert min(costs) >= exact * (1 - 1e-5)
    assert len(search(Context(parameters, never, PRIME), 4, LENGTH, NOTHING)) == 4
