"""python -m tests.bench.beside: what is left of charlm's speed beside programs that keep processors busy."""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import click

from charlm.analysis.speed import ROWS, Job

_NAMES = ("lstm 256 x 2, S=32, k1=64", "lstm 128 x 1, S=1, k1=50", "sample lstm 256 x 1", "eval lstm 256 x 1, streams=8")
_ROUNDS = 5
_SECONDS = 1.0
_FORGET = 10.0  # seconds after which all threads are used again
_BUSY = "while True: pass"


@contextlib.contextmanager
def busy(programs: int) -> Iterator[None]:
    """Keep so many processors busy meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(programs)]
    try:
        time.sleep(0.2)
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


@click.command()
@click.option("--threads", default=2, show_default=True, help="Threads that charlm may use.")
def main(threads: int) -> None:
    """Print characters per second, alone and beside as many busy programs as there are threads, on one and on all."""
    counts = range(threads + 1)
    click.echo(f"| work | threads | {' | '.join(f'{n} busy' if n else 'alone' for n in counts)} |")
    click.echo(f"| --- | --- |{' --- |' * len(counts)}")
    for row in (each for each in ROWS if each.name in _NAMES):
        for allowed in (1, threads):
            job = Job(row, allowed)
            job.rate(_SECONDS)
            rates = []
            for programs in counts:
                with busy(programs):
                    rates.append(statistics.median(job.rate(_SECONDS) for _ in range(_ROUNDS)))
                job.rate(_FORGET if allowed > 1 else 0.0)
            click.echo(f"| {row.name} | {allowed} | {' | '.join(f'{rate:,.0f}' for rate in rates)} |")


if __name__ == "__main__":
    main()
