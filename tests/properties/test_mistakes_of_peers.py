"""Mistakes that other tools make, one test each, through the pieces that training and evaluation really use."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from charlm.cli import main
from charlm.config.model import ModelConfig
from charlm.config.optimizer import OptimizerConfig
from charlm.config.reset import ResetConfig
from charlm.config.truncation import TruncationConfig
from charlm.inference.evaluation import Evaluator
from charlm.kernels.tasks import Plan
from charlm.nn.network import Network, Training
from charlm.nn.optimizer import Optimizer
from charlm.nn.parameters import Parameters
from charlm.tbptt.method import make_method
from charlm.tbptt.plan import Position, make_plan
from charlm.tbptt.resets import Resets
from charlm.tbptt.streams import Streams
from tests.oracle.problem import Problem, run_epoch


def epoch(n: int, streams: int, k1: int) -> Plan:
    """The whole epoch of a text of n different characters as one plan."""
    split = Streams(n, streams)
    resets, cut = Resets(ResetConfig(), k1), make_method(TruncationConfig(k1, k1), split, 0)
    return make_plan(cut, split, resets, np.arange(n), Position(), split.steps, np.zeros(split.steps))[0]


def pairs(plan: Plan) -> set[tuple[int, int]]:
    """(character read, target) of every step that has a target."""
    return {(int(x), int(y)) for x, y in zip(plan.ids[:-1].ravel(), plan.ids[1:].ravel(), strict=True) if y >= 0}


def test_the_last_target_does_not_wrap_around_to_the_first_character() -> None:
    """char-rnn."""
    assert (16, 0) not in pairs(epoch(17, 2, 4))
    assert (15, 16) in pairs(epoch(17, 2, 4))


@pytest.mark.parametrize("streams", [1, 3, 5])
def test_the_tail_is_not_dropped(streams: int) -> None:
    """char-rnn: what does not fill a block of every stream is left out."""
    assert {y for _, y in pairs(epoch(47, streams, 4))} == set(range(1, 47))


def uniform(vocabulary: int) -> Parameters:
    """A network that finds every character equally likely, but the first one twice as likely."""
    parameters = Parameters(ModelConfig("rnn", hidden=3, layers=1, dropout=0.0), vocabulary)
    parameters.initialise(0)
    parameters.weights.out[...] = 0
    parameters.weights.out_b[0, 0] = math.log(2)
    return parameters


def test_the_total_is_divided_by_what_was_predicted() -> None:
    """awd-lstm-lm divides by N, though N characters have N - 1 successors."""
    result = Evaluator(uniform(4)).evaluate(np.array([0, 1, 2, 3, 1]), Resets(ResetConfig(), 64))
    assert result.chars == 4
    assert result.nats_per_char == pytest.approx(math.log(5), rel=1e-6)


def test_a_shorter_last_chunk_does_not_weigh_more() -> None:
    """ignite: a mean of chunk means, with a shorter last chunk."""
    text = np.ones(1 + 64 + 1, int)
    text[-1] = 0  # alone in the second chunk of 64, and half as surprising in bits
    result = Evaluator(uniform(4)).evaluate(text, Resets(ResetConfig(), 64))
    assert result.nats_per_char == pytest.approx((64 * math.log(5) + math.log(5 / 2)) / 65, rel=1e-6)
    assert epoch(12, 1, 4).steps.tolist() == [4, 4, 3]
    assert epoch(12, 1, 4).weight.tolist() == [1 / 4, 1 / 4, 1 / 4]


@pytest.mark.parametrize("reset", ["never", "epoch"])
def test_pending_errors_do_not_reach_the_next_epoch(reset: str) -> None:
    """rnnlm: the first update after the end of the file still learns from what came before it."""
    problem = Problem(
        ModelConfig("lstm", hidden=5, layers=1, dropout=0.0), TruncationConfig(4, 12), ResetConfig(reset), length=20
    )
    streams, parameters = Streams(20, 1), problem.parameters()
    net = Network(parameters, 1, 4, Training(12))
    rule = Optimizer(OptimizerConfig("sgd", 0.0), parameters, net.gradients).rule
    at = Position()
    while at.updates < 6:
        if at == Position(5, 1, 0, 19):
            net.window.z[...] = net.window.h[...] = net.window.h_in[...] = np.nan  # whatever is there must not count
        plan, at = make_plan(problem.cut(), streams, problem.resets(), problem.text(), at, 1, np.zeros(1))
        assert net.train(plan, rule).applied.all()
    assert plan.reach.tolist() == [4]
    assert np.isfinite(net.gradients.flat).all()
    if reset == "epoch":
        first = run_epoch(problem)[0][0].gradient
        for name, array in net.gradients.state_dict().items():
            assert np.array_equal(array, first[name])


def test_prime_text_is_characters_not_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """torch-rnn reads the prime of a character model byte by byte."""
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text("zwölf Boxkämpfer jagen Eva über den Sylter Deich\n" * 40, encoding="utf-8")
    main(["train", "t.txt", "--hidden", "16", "--updates", "3", "--quiet"])
    capsys.readouterr()
    main(["sample", "--prime", "zwölf Boxkämpfer über", "-n", "7", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["prime"] == "zwölf Boxkämpfer über"
    assert len(found["text"]) == len(found["prime"]) + 7
