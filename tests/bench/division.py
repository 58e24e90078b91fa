"""python -m tests.bench.division: how few streams a thread may have, and what a grid of threads is worth.

The first table is measured: characters/s by the number of streams, divided by streams, by units, and as charlm
chooses. The second one is what charlm's estimate (StepCost) promises for more processors than this machine may have.
"""

import statistics
from collections.abc import Callable
from dataclasses import replace

import click

from charlm.analysis.speed import ROWS, Job, Row
from charlm.nn import division
from charlm.nn.arrays import padded
from charlm.nn.division import StepCost

_ROUNDS = 3
_SECONDS = 0.7
_STREAMS = (1, 2, 4, 8, 16, 32)
_PROCESSORS = (2, 4, 8, 16)
_MEETING = 2.5e-7  # seconds, for the second table
_ways = division.ways


class Divided:
    """A row's work, divided in one way among two threads."""

    def __init__(self, row: Row, way: tuple[int, int] | None) -> None:
        """way: groups and slices; None for what charlm chooses."""

        def ways(cost: StepCost, padded: int, threads: int) -> list[tuple[int, int]]:
            self.cost = cost
            return [way] if way else _ways(cost, padded, threads)

        division.ways = ways
        try:
            self._job = Job(row, 2)
        finally:
            division.ways = _ways
        self.rates: list[float] = []

    def measure(self) -> None:
        """Measure its rate once more."""
        self.rates.append(self._job.rate(_SECONDS))

    @property
    def way(self) -> tuple[int, int]:
        """Groups and slices at last."""
        return self._job.way

    @property
    def rate(self) -> float:
        """The median of its rates."""
        return statistics.median(self.rates)


def measured(row: Row, show: Callable[[str], None]) -> list[StepCost]:
    """Show the first table. Return the cost of each number of streams."""
    ways: dict[str, tuple[int, int] | None] = {"streams": (2, 1), "units": (1, 2), "chosen": None}
    works = {
        (s, name): Divided(replace(row, streams=s), way)
        for s in _STREAMS
        for name, way in ways.items()
        if s > 1 or way != (2, 1)
    }
    for _ in range(_ROUNDS):
        for work in works.values():
            work.measure()
    most = max(works[_STREAMS[-1], name].rate for name in ways)
    show("| streams | by streams | by units | chosen | groups x slices |\n| --- | --- | --- | --- | --- |")
    for s in _STREAMS:
        cells = [f"{works[s, n].rate:,.0f} ({works[s, n].rate / most:.0%})" if (s, n) in works else "-" for n in ways]
        show(f"| {s} | {' | '.join(cells)} | {' x '.join(map(str, works[s, 'chosen'].way))} |")
    return [works[s, "chosen"].cost for s in _STREAMS]


def modelled(costs: list[StepCost], width: int, show: Callable[[str], None]) -> None:
    """Show the second table: how many times as fast as one thread, in a grid and divided by streams alone."""
    show(f"\n| streams | {' | '.join(f'{n} processors' for n in _PROCESSORS)} |\n| --- |{' --- |' * len(_PROCESSORS)}")
    for cost in costs:
        cells = []
        for threads in _PROCESSORS:
            groups, slices = _ways(cost, width, threads)[0]
            by_streams = max(1, min(threads, cost.streams // division._LEAST_STREAMS))
            gain, without = (
                cost.seconds(1, 1) / cost.seconds(*way, _MEETING) for way in ((groups, slices), (by_streams, 1))
            )
            cells.append(f"{groups} x {slices}: {gain:.1f} ({without:.1f})")
        show(f"| {cost.streams} | {' | '.join(cells)} |")


@click.command()
@click.option("--row", default="lstm 256 x 2, S=32, k1=64", show_default=True, help="A row of the benchmark.")
def main(row: str) -> None:
    """Print both tables."""
    (found,) = (each for each in ROWS if each.name == row)
    modelled(measured(found, click.echo), padded(found.hidden), click.echo)


if __name__ == "__main__":
    main()
