"""What validations may cost, and that they read the same sample every time."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.cli.progress import _estimate
from charlm.config.keywords import Settings
from charlm.config.request import Request
from charlm.events import Note, Progress, Validation
from charlm.inference.evaluation import Evaluator
from charlm.storage.checkpoint import load
from charlm.training.checkpointer import Checkpointer
from charlm.training.session import begin
from charlm.training.trainer import Trainer
from charlm.training.validation_plan import affordable_times, cost, sample_size
from charlm.training.validator import Validator

from ..cli.conftest import SMALL, TEXT, Result, run  # noqa: F401  a fixture

Run = Callable[..., Result]
SETTINGS: Settings = {"hidden": 16, "layers": 1, "dropout": 0.0, "direct_order": 0, "k1": 8, "streams": 6}


def validator(trainer: Trainer) -> Validator:
    (found,) = [each for each in trainer.listeners if isinstance(each, Validator)]
    return found


@given(st.integers(2, 10**9), st.floats(0, 1e12))
def test_all_together_take_a_twentieth_or_a_moment(held_out: int, training: float) -> None:
    chars = sample_size(held_out, training)
    times, budget = affordable_times(chars, training), max(1 << 15, training / 20)
    assert 1 <= times <= 20
    assert min(held_out, 1 << 14) <= chars <= min(held_out, 1 << 20), "few large samples are better than many small ones"
    assert times * cost(chars) <= budget
    if times < 20:
        assert (times + 1) * cost(chars) > budget, "one more would have been affordable"


@given(st.integers(2, 10**9), st.floats(0, 1e12), st.integers(1, 10**6))
def test_as_many_as_are_asked_for(held_out: int, training: float, times: int) -> None:
    """On as much as is affordable, and on something in any case."""
    chars = sample_size(held_out, training, times)
    assert min(held_out, 2048) <= chars <= held_out
    assert chars == min(held_out, 2048) or times * cost(chars) <= max(1 << 15, training / 20)


@pytest.mark.parametrize(
    ("held_out", "trained", "times", "chars"),
    [(111_540, 13_700_000, 16, 111_540), (5_800_000, 36 * 5_000, 1, 26_214), (934, 14_000, 20, 934)],
)
def test_known_cases(held_out: int, trained: int, times: int, chars: int) -> None:
    """Three minutes on tinyshakespeare read all of its held-out part; a slow network on a large one a sample."""
    assert sample_size(held_out, 3 * trained) == chars
    assert affordable_times(chars, 3 * trained) == times


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "held.txt").write_text(TEXT * 40, encoding="utf-8")
    return tmp_path


def test_a_large_held_out_text_is_sampled(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """It is said, the sample is spread over all of the text, and a resumed run goes on with it."""
    read: list[int] = []
    evaluate = Evaluator.evaluate

    def counted(self: Evaluator, ids: object, resets: object, on_done: object, steps: int) -> object:
        found = evaluate(self, ids, resets, on_done, steps)  # type: ignore[arg-type]
        read.append(found.chars)
        return found

    monkeypatch.setattr(Evaluator, "evaluate", counted)
    train = ("train", "corpus.txt", "--val", "held.txt", *SMALL)
    result = run(*train, "--updates", 200)
    assert result.code == 0, result.err
    n = len(TEXT) * 40
    assert result.err.count(f"validations read 26,214 of the {n:,} held-out characters") == 1
    (chars,) = read
    assert 26_214 <= chars < 26_214 + 32
    assert load(Path("runs/corpus/last.npz")).state["trainer"]["sampled"] == 26_214
    assert run(*train, "--resume", "--updates", 3000).code == 0
    assert set(read) == {chars}
    assert len(read) == 1 + affordable_times(26_214, 3 * 3000 * 48), "a longer run has more of them"
    monkeypatch.setattr(Evaluator, "evaluate", evaluate)
    sampled = load(Path("runs/corpus/last.npz")).progress["val_nats"]
    whole = json.loads(run("eval", "runs/corpus/last.npz", "held.txt", "--json").out)
    assert whole["chars"] == n
    assert sampled == pytest.approx(whole["nats_per_char"], rel=0.02), "the text repeats itself"


def test_where_time_decides_it_is_decided_by_the_speed_and_kept(folder: Path) -> None:
    """After a twentieth of the time, whatever the machine: here it trains 1,000 characters a second."""
    request = Request(("corpus.txt",), folder / "r", {**SETTINGS, "minutes": 10.0, "val_file": "held.txt"})
    trainer = begin(request)
    events = [event for event, _ in zip(trainer.train(), range(3), strict=False)]
    assert not [event for event in events if isinstance(event, Validation)]
    now, checked = trainer.run.state, validator(trainer)
    plan = checked.plan
    now.seconds, now.timed_chars = 29.0, 29_000
    assert not plan.due, "less than a twentieth"
    now.seconds, now.timed_chars = 31.0, 31_000
    chars = sample_size(len(TEXT) * 40, 3 * 600 * 1_000)
    assert plan.planned == (4, chars)
    assert not plan.due, "the first of four comes after a quarter"
    now.seconds, now.timed_chars = 151.0, 151_000
    assert plan.due
    found = list(checked.validate())
    assert [type(event) for event in found] == [Note, Validation]
    assert not plan.due
    now.seconds, now.timed_chars = 301.0, 301_000
    assert plan.due
    now.timed_chars = 10**9
    assert plan.planned == (20, chars), "a processor that has become faster allows more of the same"


def test_a_run_that_gets_more_time_goes_on_being_validated(folder: Path) -> None:
    request = Request(("corpus.txt",), folder / "r", {**SETTINGS, "minutes": 0.005})
    for _ in begin(request).train():
        pass
    again = begin(Request(("corpus.txt",), folder / "r", {"minutes": 600.0}, resume=True))
    again.run.state.seconds = 0.5 * 36_000.0
    assert validator(again).plan.due


def test_the_training_loss_beside_a_validation_is_of_the_updates_since_the_last(folder: Path) -> None:
    request = Request(("corpus.txt",), folder / "r", {**SETTINGS, "updates": 60, "eval_every": 5, "lr": 0.02})
    nats: list[float] = []
    for event in begin(request).train():
        if isinstance(event, Progress):
            nats.append(event.nats)
        if isinstance(event, Validation):
            assert event.train_nats == pytest.approx(sum(nats) / len(nats), rel=0.05)
            seen, nats = event.train_nats, []
    assert seen < 2.9
    stopped = begin(Request(("corpus.txt",), folder / "r", {"updates": 63}, resume=True))
    (checkpointer,) = [each for each in stopped.listeners if isinstance(each, Checkpointer)]
    checkpointer.save_last()
    state = load(folder / "r" / "last.npz").state["metrics_log"]
    assert state["unvalidated"] == {"nats": 0.0, "chars": 0}


def test_the_estimate_includes_validations() -> None:
    event = Progress(100, 0.5, 0.25, 5.0, 2000.0, 1.5, 0.01, 1.0, validating=0.05)
    assert _estimate(event) == "estimate: 21.0 s, validations included, for 400 updates, 2.00 epochs, at 2k char/s"
    alone = Progress(100, 0.5, 0.25, 5.0, 2000.0, 1.5, 0.01, 1.0)
    assert _estimate(alone) == "estimate: 20.0 s for 400 updates, 2.00 epochs, at 2k char/s"


def test_the_estimate_of_a_run(folder: Path) -> None:
    """The share is that of the planned validations in the cost of training, three times forward for each character."""
    trainer = begin(Request(("corpus.txt",), folder / "r", {**SETTINGS, "updates": 400, "val_file": "held.txt"}))
    events = [event for event in trainer.train() if isinstance(event, Progress)]
    training_cost = validator(trainer).plan.training_cost
    chars = sample_size(len(TEXT) * 40, training_cost)
    times = affordable_times(chars, training_cost)
    assert events[0].validating == times * cost(chars) / training_cost
    assert training_cost == pytest.approx(3 * 400 * 6 * trainer.run.text.streams.steps / trainer.run.updates_per_epoch)
