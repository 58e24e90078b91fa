"""python -m tests.bench: charlm beside its peers, row by row, the programs taking turns within each row."""

import importlib.util
import json
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

import click

from charlm.analysis.speed import QUICK, ROWS, Row, peak

from .rows import PEERS, Command, ours

_SHAKESPEARE = Path("../shared/data/tinyshakespeare.txt")
_OWN_TEXT = Path("data/python.txt")
_HEAD = ["work", "charlm", "spread", "Gflop/s", "of peak", "PyTorch", "charlm / PyTorch", "JAX", "charlm / JAX"]


def rate(command: Command) -> float:
    """Characters a second that a program reports in its last line; NaN, and its error, where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        click.echo(f"{' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}", err=True)
        return float("nan")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return float(found.get("chars_per_second", found.get("chars_per_s")))


def programs(row: Row, corpus: Path, seconds: float, threads: int, scratch: Path, peers: Path | None) -> dict[str, Command]:
    """The commands that can be run for this row, by name."""
    found = {"charlm": ours(row, corpus, seconds, threads, scratch)}
    for name, make in PEERS.items():
        if peers is not None and importlib.util.find_spec(name) and (peers / f"{name}_charrnn.py").exists():
            command = make(row, corpus, seconds, threads, peers)
            if command:
                found[name] = command
    return found


def measure(commands: dict[str, Command], rounds: int, threads: int) -> tuple[dict[str, list[float]], list[float]]:
    """Rates of every program, (rounds,) each, and the machine's peak; in a round each is measured once, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in commands}
    peaks = []
    for _ in range(rounds):
        peaks.append(peak(threads))
        for name, command in commands.items():
            rates[name].append(rate(command))
    return rates, peaks


def line(row: Row, rates: dict[str, list[float]], peaks: list[float]) -> str:
    """A row of the table: medians over the rounds, of rates and of ratios within a round."""
    own = rates["charlm"]
    median = statistics.median(own)
    share = statistics.median(a * row.flops / most for a, most in zip(own, peaks, strict=True))
    spread = (max(own) - min(own)) / median
    cells = [row.name, f"{median:,.0f}", f"{spread:.0%}", f"{median * row.flops / 1e9:,.0f}", f"{share:.0%}"]
    for name in PEERS:
        if name in rates:
            ratio = statistics.median(a / b for a, b in zip(own, rates[name], strict=True))
            cells += [f"{statistics.median(rates[name]):,.0f}", f"{ratio:.2f}"]
        else:
            cells += ["-", "-"]
    return "| " + " | ".join(cells) + " |"


@click.command()
@click.option("--rows", default="", help="Only rows whose name contains this text.")
@click.option("--quick", is_flag=True, help="A few rows, two short rounds: two minutes in all.")
@click.option("--rounds", default=5, show_default=True, help="Times that every program runs.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=2, show_default=True, help="Threads of charlm and PyTorch.")
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    default=Path("../shared/peers"),
    show_default=True,
    help="Folder with torch_charrnn.py and jax_charrnn.py; without it charlm is measured alone.",
)
@click.option("--corpus", type=click.Path(path_type=Path), default=None, help="Text to train on.")
def main(rows: str, quick: bool, rounds: int, seconds: float, threads: int, peers: Path, corpus: Path | None) -> None:
    """Characters per second of charlm, PyTorch and JAX (where installed), and charlm's ratio to each.

    The spread is the largest minus the smallest rate of charlm, per cent of the median. The peak is a loop of nothing
    but multiply-adds in registers, on as many threads, measured in each round.
    """
    text = corpus or (_SHAKESPEARE if _SHAKESPEARE.exists() else _OWN_TEXT)
    if quick:
        rounds, seconds = 2, 1.0
    click.echo(
        f"{text.name}; {platform.processor() or platform.machine()}, {threads} threads, "
        f"median of {rounds} rounds of {seconds:g} s, taking turns; rates in characters/s; "
        f"peak {peak(1) / 1e9:,.0f} Gflop/s on one thread, {peak(threads) / 1e9:,.0f} on {threads}\n"
    )
    click.echo("| " + " | ".join(_HEAD) + " |\n| " + " | ".join("---" for _ in _HEAD) + " |")
    with tempfile.TemporaryDirectory() as scratch:
        for row in QUICK if quick else ROWS:
            if rows in row.name:
                commands = programs(row, text, seconds, threads, Path(scratch), peers if peers.is_dir() else None)
                rate(commands["charlm"])  # compiles what is not in the cache yet
                click.echo(line(row, *measure(commands, rounds, row.threads or threads)))


if __name__ == "__main__":
    main()
