"""Matrices read as bfloat16: the rounding against PyTorch's, what is computed with them against float32, bit for bit."""

import numpy as np
import pytest

from charlm.config.model import ModelConfig
from charlm.config.sampling import DrawConfig
from charlm.config.truncation import TruncationConfig
from charlm.inference.beam_search import search
from charlm.inference.sampling import Context, sample
from charlm.kernels.matmul import PANEL
from charlm.nn.arrays import to_bfloat16
from charlm.nn.network import Network, Training
from charlm.nn.parameters import Parameters

from .problem import Problem, exact
from .test_reading import NEVER

MODELS = [
    ModelConfig("rnn", hidden=7, layers=1),  # less than a panel: a vector that is alone in its pair
    ModelConfig("gru", hidden=100, layers=2, layer_norm=True, residual=True),
    ModelConfig("lstm", hidden=2 * PANEL, layers=2, direct_order=4),
    ModelConfig("mlstm", hidden=PANEL + 7, layers=2, norm="both"),
    ModelConfig("indrnn", hidden=40, layers=2, norm="batch"),
    ModelConfig("mingru", hidden=40, layers=2),
]


def test_rounding_to_nearest_and_ties_to_even() -> None:
    exact_ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0.0, -0.0, 3.3895313892515355e38], np.float32)
    assert to_bfloat16(exact_ties).tolist() == [1.0, 1 + 2**-6, -1.0, 0.0, -0.0, 3.3895313892515355e38]
    kept = to_bfloat16(np.array([np.inf, -np.inf, np.nan], np.float32))
    assert kept[:2].tolist() == [np.inf, -np.inf]
    assert np.isnan(kept[2])


def test_rounding_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, np.uint32)
    values = bits.view(np.float32)[np.isfinite(bits.view(np.float32))]
    expected = torch.from_numpy(values.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(to_bfloat16(values), expected)


def rounded_and_the_same_in_float32(model: ModelConfig) -> tuple[Parameters, Parameters]:
    """Rounded parameters, and a copy of them that is read as float32."""
    rounded = Problem(model, TruncationConfig(4, 4), vocabulary=2 * PANEL + 1).parameters().rounded()
    same = rounded.like()
    same.flat[...] = rounded.flat
    assert rounded.halves
    assert not same.halves
    return rounded, same


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.cell)
@pytest.mark.parametrize(("streams", "threads"), [(1, 1), (1, 2), (3, 1), (13, 2)])
def test_pairs_give_the_bits_of_the_rounded_matrices(model: ModelConfig, streams: int, threads: int) -> None:
    rounded, same = rounded_and_the_same_in_float32(model)
    text = np.random.default_rng(1).integers(0, rounded.vocabulary, (40, streams)).astype(np.int32)
    resets = np.zeros((39, streams), np.uint8)
    found, expected = (Network(each, streams, 16, threads=threads).score(text, resets)[0] for each in (rounded, same))
    np.testing.assert_array_equal(found, expected)
    drawn = [
        list(sample(Context(each, NEVER, text[:5, 0], threads), streams, 40, DrawConfig(seed=3), scored=True))
        for each in (rounded, same)
    ]
    for one, other in zip(*drawn, strict=True):
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.nats, other.nats)


def test_beam_search_reads_pairs_too() -> None:
    found, expected = (
        search(Context(each, NEVER, np.array([1, 2])), 3, 6, np.zeros(0, np.int64), 0)
        for each in rounded_and_the_same_in_float32(MODELS[1])
    )
    assert [each.nats.tolist() for each in found] == [each.nats.tolist() for each in expected]


def test_rounding_changes_only_the_matrices_that_are_multiplied() -> None:
    original = Problem(MODELS[1], TruncationConfig(4, 4)).parameters()
    before, after = exact(original), exact(original.rounded())
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"rnn.weight_hh_l0", "rnn.weight_hh_l1", "rnn.weight_ih_l1", "out.weight"}
    for name in changed:
        assert np.abs(after[name] - before[name]).max() <= np.abs(before[name]).max() * 2**-8


def test_rounded_parameters_are_not_trained() -> None:
    with pytest.raises(ValueError, match="for reading, not for training"):
        Network(Problem(MODELS[0], TruncationConfig(4, 4)).parameters().rounded(), 1, 4, Training(4))


def test_a_fixed_network_packs_once_and_another_each_time() -> None:
    parameters = Problem(MODELS[0], TruncationConfig(4, 4)).parameters()
    text, resets = np.array([[1], [2], [3]], np.int32), np.ones((2, 1), np.uint8)
    fixed, other = Network(parameters, 1, 4, fixed=True), Network(parameters, 1, 4)
    before = fixed.score(text, resets)[0]
    np.testing.assert_array_equal(other.score(text, resets)[0], before)
    parameters.weights.out[...] *= 2
    np.testing.assert_array_equal(fixed.score(text, resets)[0], before)
    assert not np.array_equal(other.score(text, resets)[0], before)
