"""Taking turns at ways of doing the work, with rates that are made up."""

from itertools import pairwise

from charlm.nn.trial import Trial


def run(trial: Trial, rates: list[float], calls: int, seconds: float = 0.05) -> list[int]:
    """The way that each call takes, each of so many seconds, on ways with these rates."""
    taken = []
    for _ in range(calls):
        taken.append(trial.now)
        trial.record(rates[trial.now] * seconds, seconds)
    return taken


def test_one_way_is_taken() -> None:
    assert run(Trial(1), [1.0], 1000) == [0] * 1000


def test_the_fastest_is_found_and_kept() -> None:
    trial = Trial(3)
    assert run(trial, [1.0, 3.0, 2.0], 6) == [0, 1, 2, 0, 1, 2]
    taken = run(trial, [1.0, 3.0, 2.0], 1000)
    assert 0.9 < taken.count(1) / 1000 < 1.0
    assert taken.count(0) == taken.count(2) > 3


def test_a_first_try_that_had_to_compile_does_not_count() -> None:
    trial = Trial(2)
    trial.record(1.0, 5.0)
    assert run(trial, [2.0, 1.0], 3) == [1, 0, 1]
    assert trial.now == 0


def test_another_becomes_the_fastest() -> None:
    trial = Trial(2)
    run(trial, [2.0, 1.0], 100)
    assert trial.now == 0
    run(trial, [2.0, 3.0], 200)
    assert trial.now == 1


def test_tries_become_rarer_while_nothing_changes() -> None:
    trial = Trial(2)
    taken = run(trial, [2.0, 1.0], 2000)
    tries = [i for i, way in enumerate(taken) if way == 1]
    apart = [b - a for a, b in pairwise(tries[3:])]
    assert apart == sorted(apart)
    assert apart[0] < 100
    assert 160 <= apart[-1] <= 162, "eight seconds, and the try"


def test_long_calls_are_tried_rarely() -> None:
    """Where a call takes a second, so does a try: others are tried in a tenth of the time."""
    trial = Trial(2)
    taken = run(trial, [2.0, 1.0], 1000, seconds=1.0)
    assert 10 < taken.count(1) < 100


def test_short_calls_are_judged_together() -> None:
    trial = Trial(2)
    assert run(trial, [1.0, 2.0], 9, seconds=0.02) == [0, 0, 0, 1, 1, 1, 0, 0, 0]
