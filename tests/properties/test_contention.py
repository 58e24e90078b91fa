"""Fewer threads beside other programs: the decisions, from processor times that are made up."""

from collections.abc import Iterator

import pytest

from charlm.nn.contention import ThreadCount


def after(count: ThreadCount, *windows: list[float]) -> int:
    """The number of threads after so many windows of a second, each with the threads' shares of the time."""
    for shares in windows:
        count.record(shares, 1.0)
    return count.now


def test_undisturbed_threads_stay() -> None:
    assert after(ThreadCount(2), *[[0.97, 0.99]] * 100) == 2
    assert after(ThreadCount(1), *[[0.3]] * 100) == 1
    assert after(ThreadCount(16), *[[0.97] * 16] * 100) == 16, "what all of them lose to the caller does not add up"


def test_one_hiccup_is_nothing_two_are_another_program() -> None:
    count = ThreadCount(2)
    assert after(count, [1.0, 0.5], [1.0, 1.0], [0.5, 1.0], [1.0, 1.0]) == 2
    assert after(count, [1.0, 0.5], [1.0, 0.5]) == 1


@pytest.mark.parametrize(
    ("shares", "left"),
    [
        ([1.0] * 15 + [0.5], 15),  # one of sixteen processors is shared
        ([1.0] * 14 + [0.5] * 2, 14),
        ([0.5] * 4, 2),  # twice as many threads as processors
        ([0.03] * 4, 1),  # they wait for each other, and each gives way while it does
        ([0.79, 0.79], 1),
    ],
)
def test_as_many_stay_as_have_processors_of_their_own(shares: list[float], left: int) -> None:
    count = ThreadCount(len(shares))
    found = after(count, shares, shares)
    if left == 14:
        assert found == 15, "one at a time where the rest are undisturbed"
        found = after(count, shares[1:], shares[1:])
    assert found == left


def test_short_calls_are_judged_together() -> None:
    count = ThreadCount(2)
    for _ in range(7):  # two windows of four calls but for one
        count.record([1.0, 0.5], 0.03)
    assert count.now == 2
    count.record([1.0, 0.5], 0.03)
    assert count.now == 1


def waits(count: ThreadCount, limit: int = 1000) -> Iterator[int]:
    """Undisturbed seconds on fewer threads until more are tried, each time; every try is disturbed."""
    for _ in range(8):
        seconds = 0
        while count.now == 1 and seconds < limit:
            count.record([1.0], 1.0)
            seconds += 1
        yield seconds
        count.record([1.0, 0.5], 1.0)


def test_more_are_tried_again_ever_more_rarely() -> None:
    count = ThreadCount(2)
    after(count, [1.0, 0.5], [1.0, 0.5])
    assert list(waits(count)) == [1, 2, 4, 8, 16, 32, 32, 32]


def test_all_come_back_when_the_other_program_has_ended() -> None:
    count = ThreadCount(8)
    assert after(count, [0.1] * 8, [0.1] * 8) == 1
    seen = []
    for _ in range(12):
        seen.append(count.now)
        count.record([1.0] * count.now, 1.0)
    assert seen == [1, 2, 4, *[8] * 9]
    assert after(count, [1.0] * 7 + [0.5]) == 8, "a first hiccup again"


def test_a_way_with_one_thread_says_nothing_about_two() -> None:
    """While two are tried, the division may try a way that needs only one."""
    count = ThreadCount(2)
    after(count, [1.0, 0.5], [1.0, 0.5], [1.0])
    assert count.now == 2
    assert after(count, *[[1.0]] * 5, [1.0, 0.5]) == 1


def test_a_division_may_use_fewer_than_it_may_have() -> None:
    count = ThreadCount(2)
    assert after(count, [1.0], [1.0, 1.0], [0.5], [0.5]) == 1
