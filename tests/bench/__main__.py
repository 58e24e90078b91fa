"""python -m tests.bench: a table of charlm's speed beside its peers'. Within each row the programs take turns."""

import json
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

import click

from charlm.analysis.speed import QUICK, ROWS, Row, peak

from .rows import PEERS, Command, programs

_TEXTS = (Path("data/tinyshakespeare.txt"), Path("data/python.txt"))  # the first that exists is the default
_HEAD = ["work", "charlm", "spread", "Gflop/s", "of peak"]


def rate(command: Command) -> float:
    """Return the characters per second of a program's last line; NaN when it fails, with its error on stderr."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        click.echo(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", err=True)
        return float("nan")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["chars_per_second"])


def measure(commands: dict[str, Command], rounds: int, threads: int) -> tuple[dict[str, list[float]], list[float]]:
    """Return the rates of every program, (rounds,) each, and the machine's peaks. A round measures each once, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in commands}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak(threads))
        for name, command in commands.items():
            rates[name].append(rate(command))
    return rates, peaks


def line(row: Row, rates: dict[str, list[float]], peaks: list[float]) -> str:
    """Return a row of the table: medians over the rounds of rates, and of the ratios within a round."""
    own = rates["charlm"]
    median = statistics.median(own)
    share = statistics.median(a * row.flops / most for a, most in zip(own, peaks, strict=True))
    spread = (max(own) - min(own)) / median
    cells = [row.name, f"{median:,.0f}", f"{spread:.0%}", f"{median * row.flops / 1e9:,.0f}", f"{share:.0%}"]
    for peer in PEERS:
        if peer.package in rates:
            theirs = rates[peer.package]
            ratio = statistics.median(a / b for a, b in zip(own, theirs, strict=True))
            cells += [f"{statistics.median(theirs):,.0f}", f"{ratio:.2f}"]
        else:
            cells += ["-", "-"]
    return "| " + " | ".join(cells) + " |"


@click.command()
@click.option("--rows", default="", help="Only rows whose name contains this text.")
@click.option("--quick", is_flag=True, help="A few rows in two short rounds: about two minutes.")
@click.option("--rounds", default=5, show_default=True, help="Measurements of every program.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=2, show_default=True, help="Threads of charlm and PyTorch.")
@click.option(
    "--peers",
    default=",".join(peer.package for peer in PEERS),
    show_default=True,
    help="Packages to compare with if they are installed; empty to measure charlm alone.",
)
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), default=None, help="Text to train on.")
def main(rows: str, quick: bool, rounds: int, seconds: float, threads: int, peers: str, corpus: Path | None) -> None:
    """Print characters per second of charlm, PyTorch, JAX and NumPy, and charlm's ratio to each.

    The corpus is data/tinyshakespeare.txt if it exists, else data/python.txt. The spread is charlm's largest rate minus its
    smallest, as a percentage of the median. The peak is a loop of multiply-adds in registers on the same number of
    threads, measured in every round.
    """
    text = corpus or next((path for path in _TEXTS if path.exists()), None)
    if text is None:
        raise click.UsageError(f"no corpus: name one with --corpus, or make {_TEXTS[-1]} with data/make.py")
    if quick:
        rounds, seconds = 2, 1.0
    click.echo(
        f"{text.name}; {platform.processor() or platform.machine()}, {threads} threads, "
        f"median of {rounds} rounds of {seconds:g} s, taking turns; rates in characters/s; "
        f"peak {peak(1) / 1e9:,.0f} Gflop/s on one thread, {peak(threads) / 1e9:,.0f} on {threads}\n"
    )
    head = _HEAD + [cell for peer in PEERS for cell in (peer.title, f"charlm / {peer.title}")]
    click.echo("| " + " | ".join(head) + " |\n| " + " | ".join("---" for _ in head) + " |")
    with tempfile.TemporaryDirectory() as scratch:
        for row in QUICK if quick else ROWS:
            if rows in row.name:
                commands = programs(row, text, seconds, threads, Path(scratch), peers.split(","))
                rate(commands["charlm"])  # compiles what is not in the cache yet
                click.echo(line(row, *measure(commands, rounds, row.threads or threads)))


if __name__ == "__main__":
    main()
