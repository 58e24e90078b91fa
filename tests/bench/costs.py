"""python -m tests.bench.costs: what k1 and k2 cost in time and memory, as the README's table shows it."""

import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from .__main__ import rate
from .rows import Command

CUTS = [
    ("newest", 64, 16),
    ("newest", 64, 64),
    ("newest", 64, 128),
    ("newest", 64, 256),
    ("newest", 16, 128),
    ("newest", 128, 128),
    ("window", 64, 128),
]


def command(corpus: Path, cut: tuple[str, int, int], run: Path, *more: str) -> Command:
    """`charlm train` with everything at its default but the truncation."""
    kind, k1, k2 = cut
    return [
        sys.executable,
        "-m",
        "charlm",
        "train",
        str(corpus),
        "--k1",
        str(k1),
        "--k2",
        str(k2),
        "--truncation",
        kind,
        "--save-every",
        "0",
        "--val-fraction",
        "0",
        "--run",
        str(run),
        "--force",
        "--json",
        *more,
    ]


def promises(arguments: Command) -> tuple[float, float]:
    """(relative cost, MiB) that charlm announces before it trains."""
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stderr
    cost, memory = re.search(r"all ([\d.]+)x", said), re.search(r"window ([\d.]+) MiB", said)
    assert cost and memory, said
    return float(cost[1]), float(memory[1])


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Times that every setting runs, taking turns.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a measurement.")
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/python.txt"), show_default=True)
def main(rounds: int, seconds: float, corpus: Path) -> None:
    """Characters a second and the window's memory for a number of k1 and k2."""
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        announced = [promises(command(corpus, cut, run, "--updates", "0")) for cut in CUTS]
        timed = [command(corpus, cut, run, "--quiet", "--minutes", str(seconds / 60)) for cut in CUTS]
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
