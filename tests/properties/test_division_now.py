"""The way to divide the work that is taken now: tries of ways, and other programs, together. Rates are made up."""

import pytest

from charlm.nn.division import Division, StepCost, ways

COST = StepCost(1, layers=1, recurrent=16 * 128**2, weights=4 * 128**2, units=128, exchanged=128, updated=0.0)
RATES = {(1, 2): 3.0, (1, 1): 2.0}


def work(division: Division, seconds: float, share: float = 1.0, kind: str = "score") -> None:
    """Do what a network does with it for so long, in calls of a tenth of a second."""
    for _ in range(round(seconds / 0.1)):
        groups, slices = division.way
        division.record(kind, RATES[groups, slices] * 0.1, [1.0, share][: groups * slices], 0.1)


@pytest.fixture
def division() -> Division:
    """One of two ways."""
    assert set(ways(COST, 128, 2)) == set(RATES)
    return Division(COST, 128, 2)


def test_the_faster_way_is_kept(division: Division) -> None:
    work(division, 1.0)
    assert division.way == (1, 2)


def test_another_program_leaves_one_thread_and_all_come_back(division: Division) -> None:
    work(division, 1.0)
    work(division, 2.0, share=0.5)
    assert division.way == (1, 1)
    work(division, 10.0)
    assert division.way == (1, 2)


def test_another_kind_of_work_is_tried_anew(division: Division, monkeypatch: pytest.MonkeyPatch) -> None:
    work(division, 1.0)
    monkeypatch.setitem(RATES, (1, 2), 20.0)
    monkeypatch.setitem(RATES, (1, 1), 30.0)
    work(division, 1.0, kind="draw")
    assert division.way == (1, 1)


def test_moving_that_takes_long_is_done_rarely(division: Division) -> None:
    work(division, 0.5)
    division.changed(1.0)
    work(division, 0.5)
    taken = []
    for _ in range(100):
        taken.append(division.way)
        work(division, 0.1)
    assert taken.count((1, 1)) <= 2
