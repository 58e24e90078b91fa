"""The kernels' gradients against the reference's, which come from the definition by the complex step."""

import itertools

import numpy as np
import pytest

from charlm.config import ModelConfig, ResetConfig, TruncationConfig

from .problem import Problem, kernel_gradients, reference_gradient, relative_error

TOLERANCE = 1e-4

CELLS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
CUTS = [(1, 1), (1, 7), (4, 4), (4, 12), (5, 12), (7, 3)]
RESETS = [ResetConfig("epoch"), ResetConfig("block"), ResetConfig("every", every=3), ResetConfig("line")]
STREAMS = [1, 3, 8]


def check(problem: Problem, threads: tuple[int, ...] = (1,)) -> None:
    """Compares the first full-window update and the last, short one; thread counts must agree bit for bit."""
    updates = list(kernel_gradients(problem))
    k1, k2 = problem.truncation.k1, problem.truncation.k2
    chosen = {min(len(updates) - 1, -(-k2 // k1)), len(updates) - 1}
    for index in chosen:
        first, last, found, _ = updates[index]
        assert relative_error(found, reference_gradient(problem, first, last)) < TOLERANCE, (first, last)
    for count in threads[1:]:
        again = list(kernel_gradients(Problem(**{**vars(problem), "threads": count})))
        for one, other in zip(updates, again, strict=True):
            assert one[3] == other[3]
            for name, array in one[2].items():
                assert np.array_equal(array, other[2][name]), name


@pytest.mark.parametrize(("k1", "k2"), CUTS)
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("cell", "activation"), CELLS)
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
