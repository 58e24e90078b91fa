"""python -m tests.bench: charlm beside its peers, row by row, the programs taking turns within each row."""

import importlib.util
import json
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

import click

from .rows import PEERS, ROWS, Command, Row, ours

_SHAKESPEARE = Path("../shared/data/tinyshakespeare.txt")
_OWN_TEXT = Path("data/python.txt")


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


def measure(commands: dict[str, Command], rounds: int) -> dict[str, list[float]]:
    """Rates of every program, (rounds,) each; in a round each one runs once, in turn."""
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            rates[name].append(rate(command))
    return rates


def line(row: Row, rates: dict[str, list[float]]) -> str:
    """A row of the table: median rates, and the median over rounds of charlm's ratio to each peer."""
    cells = [row.name, f"{statistics.median(rates['charlm']):,.0f}"]
    for name in PEERS:
        if name in rates:
            ratio = statistics.median(a / b for a, b in zip(rates["charlm"], rates[name], strict=True))
            cells += [f"{statistics.median(rates[name]):,.0f}", f"{ratio:.2f}"]
        else:
            cells += ["-", "-"]
    return "| " + " | ".join(cells) + " |"


@click.command()
@click.option("--rows", default="", help="Only rows whose name contains this text.")
@click.option("--rounds", default=5, show_default=True, help="Times that every program runs.")
@click.option("--seconds", default=3.0, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=2, show_default=True, help="Threads of charlm and PyTorch.")
@click.option(
    "--peers", type=click.Path(path_type=Path), default=Path("../shared/peers"), show_default=True,
    help="Folder with torch_charrnn.py and jax_charrnn.py; without it charlm is measured alone.",
)  # fmt: skip
@click.option("--corpus", type=click.Path(path_type=Path), default=None, help="Text to train on.")
def main(rows: str, rounds: int, seconds: float, threads: int, peers: Path, corpus: Path | None) -> None:
    """Characters per second of charlm, PyTorch and JAX (where installed), and charlm's ratio to each."""
    text = corpus or (_SHAKESPEARE if _SHAKESPEARE.exists() else _OWN_TEXT)
    click.echo(f"{text.name}; {platform.processor() or platform.machine()}, {threads} threads, "
               f"median of {rounds} rounds of {seconds:g} s, taking turns; rates in characters/s\n")  # fmt: skip
    click.echo("| work | charlm | PyTorch | charlm / PyTorch | JAX | charlm / JAX |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as scratch:
        for row in ROWS:
            if rows in row.name:
                commands = programs(row, text, seconds, threads, Path(scratch), peers if peers.is_dir() else None)
                rate(commands["charlm"])  # compiles what is not in the cache yet
                click.echo(line(row, measure(commands, rounds)))


if __name__ == "__main__":
    main()
