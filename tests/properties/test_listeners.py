"""Listeners of the training loop: they see the network where they ask to, and nothing else depends on where they do."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm import events
from charlm.config.keywords import Settings
from charlm.config.request import Request
from charlm.events import Event, Note, Validation
from charlm.record import to_dict
from charlm.tbptt.method import Realised
from charlm.training import records
from charlm.training.listener import Listener, Stretch
from charlm.training.records import MeasurementRecord, TrainingRecord, TrainSummary, ValidationRecord
from charlm.training.session import begin
from charlm.training.trainer import Trainer

from ..cli.conftest import TEXT

SETTINGS: Settings = {"hidden": 16, "layers": 1, "dropout": 0.0, "k1": 8, "k2": 20, "streams": 6, "updates": 90}


class Visitor(Listener):
    """Asks to see the run after every so many updates, and after all when it has seen enough."""

    def __init__(self, trainer: Trainer, every: int, enough: int = 1 << 60) -> None:
        self._trainer, self._every, self._enough = trainer, every, enough
        self.seen: list[int] = []
        self.sizes: list[int] = []

    def next_stop(self, updates: int) -> int:
        return updates + self._every - updates % self._every

    def account(self, stretch: Stretch) -> Iterable[Event]:
        assert stretch.plan.number[-1] == self._trainer.run.state.updates
        self.sizes.append(len(stretch.chars))
        if self._trainer.run.state.updates % self._every == 0:
            self.seen.append(self._trainer.run.state.updates)
            yield Note("seen")
        self.ends_run = len(self.seen) >= self._enough


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 1000)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def new(run: str, **more: Any) -> Trainer:
    return begin(Request(("corpus.txt",), Path(run), {**SETTINGS, **more}))  # type: ignore[typeddict-item]


def lines(run: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [line | ({"seconds": 0} if "seconds" in line else {}) for line in found]


def test_a_listener_sees_the_run_where_it_asks_to_and_changes_nothing(folder: Path) -> None:
    """Calls of the kernel end elsewhere than without it; parameters and metrics are the same."""
    alone, visited = new("alone"), new("visited")
    visitor = Visitor(visited, 7)
    visited.listeners = (*visited.listeners, visitor)
    told = [event for event in visited.train() if event == Note("seen")]
    assert visitor.seen == [*range(7, 90, 7)]
    assert len(told) == len(visitor.seen)
    assert max(visitor.sizes) > 1, "the kernel is not called for each update"
    for _ in alone.train():
        pass
    assert np.array_equal(alone.run.parameters.flat, visited.run.parameters.flat)
    assert lines("alone") == lines("visited")
    assert sum("train_nats" in line for line in lines("alone")) > 3


def test_a_listener_can_end_the_run(folder: Path) -> None:
    """As patience does: the last parameters are validated, and saved."""
    trainer = new("r")
    trainer.listeners = (Visitor(trainer, 7, enough=3), *trainer.listeners)
    found = list(trainer.train())
    assert trainer.run.state.updates == 21
    assert not trainer.stopped
    assert [event.updates for event in found if isinstance(event, Validation)][-1] == 21
    assert begin(Request(("corpus.txt",), Path("r"), {}, resume=True)).run.state.updates == 21


@pytest.mark.parametrize("module", [records, events])
def test_every_field_of_a_record_is_described(module: Any) -> None:
    declared = [each for each in vars(module).values() if isinstance(each, type) and dataclasses.is_dataclass(each)]
    assert len(declared) > 3
    for record in declared:
        assert record.__doc__
        for each in dataclasses.fields(record):
            assert each.metadata["help"].endswith("."), f"{record.__name__}.{each.name}"


@pytest.mark.parametrize(
    ("settings", "optional"),
    [
        ({}, set()),
        ({"truncation": "adaptive", "max_k2": 24}, {"k2"}),
        ({"truncation": "artbp", "k1": None, "k2": None}, {"mean_length", "longest", "largest_weight"}),
    ],
)
def test_lines_have_the_fields_of_their_record(folder: Path, settings: dict[str, Any], optional: set[str]) -> None:
    trainer = new("r", **settings)
    for _ in trainer.train():
        pass
    kinds = {"train_nats": TrainingRecord, "val_nats": ValidationRecord, "relative_bias": MeasurementRecord}
    found = {name: [line for line in lines("r") if name in line] for name in kinds}
    for name, record in kinds.items():
        always = {each.name for each in dataclasses.fields(record)} - {"realised"}
        expected = always | (optional if record is TrainingRecord else set())
        assert all(line.keys() == expected for line in found[name]), name
    assert found["train_nats"]
    assert found["val_nats"]
    assert bool(found["relative_bias"]) == ("k2" in optional)
    always = {each.name for each in dataclasses.fields(TrainSummary) if each.default is dataclasses.MISSING} - {"realised"}
    assert to_dict(trainer.summary()).keys() == always | optional


def test_a_truncation_method_cannot_replace_a_field(folder: Path) -> None:
    """What it adds is written beside the fields of the record."""

    @dataclasses.dataclass(frozen=True)
    class Own(Realised):
        updates: int = 7

    summary = new("r").summary()
    with pytest.raises(TypeError, match="TrainSummary has a name twice: updates, "):
        to_dict(dataclasses.replace(summary, realised=Own()))
