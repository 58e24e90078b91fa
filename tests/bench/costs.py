"""python -m tests.bench.costs: a table of what k1 and k2 cost in time and memory, as the guide shows it."""

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import click

from .__main__ import rate
from .rows import Command, Option, charlm_train

CUTS = [
    ("newest", 64, 16),
    ("newest", 64, 64),
    ("newest", 64, 128),
    ("newest", 64, 256),
    ("newest", 16, 128),
    ("newest", 128, 128),
    ("window", 64, 128),
]


def command(corpus: Path, cut: tuple[str, int, int], run: Path, **options: Option) -> Command:
    """Return `charlm train` with all defaults except the truncation."""
    kind, k1, k2 = cut
    return charlm_train(corpus, run, truncation=kind, k1=k1, k2=k2, val_fraction=0, **options)


def announced_costs(arguments: Command) -> tuple[float, float]:
    """Return (relative cost, MiB) as charlm announces them before it trains."""
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stderr
    cost, memory = re.search(r"all ([\d.]+)x", said), re.search(r"window ([\d.]+) MiB", said)
    assert cost and memory, said
    return float(cost[1]), float(memory[1])


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Measurements of every setting, taking turns.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a measurement.")
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/python.txt"), show_default=True)
def main(rounds: int, seconds: float, corpus: Path) -> None:
    """Print characters per second and the window's memory for several k1 and k2."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        announced = [announced_costs(command(corpus, cut, run, updates=0)) for cut in CUTS]
        timed = [command(corpus, cut, run, quiet=True, minutes=seconds / 60) for cut in CUTS]
        rates = [[rate(arguments) for arguments in timed] for _ in range(rounds)]
    base = CUTS.index(("newest", 64, 64))
    click.echo("| truncation | time per character, measured | by the rule above | window | characters/s |")
    click.echo("| --- | --- | --- | --- | --- |")
    for i, ((kind, k1, k2), (cost, memory)) in enumerate(zip(CUTS, announced, strict=True)):
        measured = statistics.median(row[base] / row[i] for row in rates)
        median = statistics.median(row[i] for row in rates)
        click.echo(f"| {kind}({k1}, {k2}) | {measured:.2f} | {cost:.2f} | {memory:.0f} MiB | {median:,.0f} |")


if __name__ == "__main__":
    main()
