"""python -m tests.bench.scaling: what ranks cost and gain, measured on this machine, and what a model makes of it.

Measured: two ranks of one thread against one process of two; the computation of an update; Allreduce between two ranks of
this machine, and between hosts that cable.py makes of network namespaces (as root; without it that part is left out).
Modelled: the time of an Allreduce of m bytes among n hosts, by the usual count of a reduction by halves or in a ring,

    T(n, m) = 2 ceil(log2 n) alpha + 2 (n - 1) / n m beta

(Thakur, Rabenseifner & Gropp 2005), alpha and beta fitted to what was measured; beta is then scaled to other rates.
"""

import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from charlm.analysis.speed import Job, Row
from charlm.system import thread_count

from ..mpiexec import CHARLM, environment
from ..mpiexec import command as on_ranks
from .cable import Link, network, on_host

# Hosts of one machine: by TCP through the cable, which needs the processors too, so that ranks must not wait busily; and
# without `han`, which takes ranks of one machine for neighbours.
BETWEEN_HOSTS = {
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "tcp,self",
    "OMPI_MCA_btl_tcp_if_include": "10.99.0.0/24",
    "OMPI_MCA_coll": "^han",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PMIX_MCA_ptl_base_if_include": "charlm0",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
WORK = [
    "--hidden 64",
    "--hidden 256",
    "--hidden 512",
    "--hidden 512 --streams 128",
    "--hidden 1024 --layers 1",
    "--hidden 1024 --layers 1 --streams 128",
]
SIZES = [4096, 65_536, 524_288, 4_194_304]  # bytes
K1 = 64
RATES = {"1 Gbit/s": 1e9, "10 Gbit/s": 1e10, "100 Gbit/s": 1e11}
DELAY = 5e-5  # seconds from host to host, one way, as within a data centre
NODES = [2, 4, 16, 64, 256]
STREAMS = 32  # a node's, in the table
GOAL = 0.8
VOCABULARY = 65


def mpiexec(ranks: int, *command: str, hosts: bool = False) -> str:
    """Standard output of a program on so many ranks, of this machine or each on a host of the cable."""
    start, more = on_ranks(ranks=ranks), {}
    if hosts:
        words = [word if word.startswith("charlm") else f"'{word}'" for word in on_host("$OMPI_COMM_WORLD_RANK")]
        start, more = [*on_host(0), *start, "sh", "-c", f'exec {" ".join(words)} "$@"', "sh"], BETWEEN_HOSTS
    done = subprocess.run([*start, *command], capture_output=True, text=True, check=False, env={**environment(), **more})
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}:\n{done.stderr}")
    return done.stdout


# --- two ranks against two threads -----------------------------------------------------------------------------------


def against_threads(corpus: Path, rounds: int, seconds: float) -> Iterator[str]:
    """A table: characters a second of one process with two threads, and of two ranks with one each, taking turns."""
    yield "| `charlm train`, on two cores | one process, 2 threads | two ranks, 1 thread each | ratio | lowest, highest |"
    yield "| --- | --- | --- | --- | --- |"
    with tempfile.TemporaryDirectory() as scratch:
        for what in WORK:
            train = [
                CHARLM,
                "train",
                str(corpus),
                *what.split(),
                "--minutes",
                str(seconds / 60),
                "--val-fraction",
                "0",
                "--save-every",
                "0",
                "--run",
                f"{scratch}/run",
                "--force",
                "--quiet",
                "--json",
            ]
            one, two = [], []
            for _ in range(rounds):
                done = subprocess.run([*train, "--threads", "2"], capture_output=True, text=True, check=True)
                one.append(json.loads(done.stdout)["chars_per_second"])
                two.append(json.loads(mpiexec(2, *train, "--threads", "1"))["chars_per_second"])
            ratios = sorted(b / a for a, b in zip(one, two, strict=True))
            yield (
                f"| {what} | {statistics.median(one):,.0f} | {statistics.median(two):,.0f} | "
                f"{statistics.median(ratios):.2f} | {ratios[0]:.2f}, {ratios[-1]:.2f} |"
            )


# --- what an update computes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Computation:
    """Of one update with k1 = k2 = K1, on this machine as the node: fixed + streams * each, in seconds."""

    hidden: int
    fixed: float
    each: float

    @property
    def gradient(self) -> int:
        """Bytes that are summed: LSTM, 2 layers."""
        cells = 4 * self.hidden * (3 * self.hidden + 4) + 4 * self.hidden * VOCABULARY
        return 4 * (cells + (self.hidden + 1) * VOCABULARY)

    def seconds(self, streams: float) -> float:
        """Of an update of so many streams."""
        return self.fixed + streams * self.each


def computation(hidden: int, few: int, many: int, rounds: int, threads: int) -> Computation:
    """Measured with few and with many streams; the median of several rounds."""
    found: list[list[float]] = [[], []]
    jobs = [Job(Row("lstm", hidden, 2, streams, K1, K1), threads, characters=2 * K1 * streams) for streams in (few, many)]
    for job in jobs:
        job.once()
    for _ in range(rounds):
        for job, times in zip(jobs, found, strict=True):
            times.append(K1 * job.row.streams / job.rate(0.3))
    short, long = map(statistics.median, found)
    each = (long - short) / (many - few)
    return Computation(hidden, max(0.0, short - few * each), each)


# --- what summing costs ----------------------------------------------------------------------------------------------


def steps(ranks: int) -> float:
    """Messages one after the other in an Allreduce."""
    return 2 * math.ceil(math.log2(ranks))


def volume(ranks: int) -> float:
    """Bytes that each rank sends for each byte that is summed."""
    return 2 * (ranks - 1) / ranks


@dataclass(frozen=True)
class Fit:
    """alpha: seconds a message. beta: seconds a byte. error: the median of its relative errors."""

    alpha: float
    beta: float
    error: float

    def seconds(self, ranks: int, size: float) -> float:
        """Of an Allreduce."""
        return steps(ranks) * self.alpha + volume(ranks) * size * self.beta


def fit(measured: dict[tuple[int, int], float]) -> Fit:
    """Least squares of relative errors, over (ranks, bytes) -> seconds."""
    rows = np.array([[steps(n) / t, volume(n) * m / t] for (n, m), t in measured.items()])
    alpha, beta = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]
    if alpha <= 0:  # all of them are long: one number says all
        alpha, beta = 0.0, 1 / float(np.mean(rows[:, 1]))
    errors = [abs(Fit(alpha, beta, 0).seconds(n, m) / t - 1) for (n, m), t in measured.items()]
    return Fit(float(alpha), float(beta), statistics.median(errors))


def sums(ranks: int, sizes: list[int], hosts: bool) -> dict[tuple[int, int], float]:
    """(ranks, bytes) -> seconds, measured."""
    code = [sys.executable, "-m", "tests.bench.allreduce", "0.5", *map(str, sizes)]
    lines = mpiexec(ranks, *code, hosts=hosts).splitlines()
    return {(ranks, int(size)): float(seconds) for size, seconds in map(str.split, lines)}


# --- what follows ----------------------------------------------------------------------------------------------------


def efficiency(work: Computation, link: Fit, nodes: int, streams: float) -> float:
    """The share of the time that is not waiting, each node with so many streams. Nothing overlaps here."""
    compute = work.seconds(streams)
    return compute / (compute + link.seconds(nodes, work.gradient))


def streams_needed(work: Computation, link: Fit, nodes: int) -> int:
    """A node's, for an efficiency of GOAL."""
    compute = link.seconds(nodes, work.gradient) * GOAL / (1 - GOAL)
    return max(1, math.ceil((compute - work.fixed) / work.each))


def predictions(works: list[Computation], link: Fit, rate: float) -> Iterator[str]:
    """The table of the README. link: measured at `rate`."""
    columns = " | ".join(f"n = {n}" for n in NODES)
    yield f"| H | network | {columns} | S for 80 %, n = 2 | n = 256 |"
    yield "| --- " * (len(NODES) + 4) + "|"
    for work in works:
        for name, other in RATES.items():
            there = Fit(link.alpha, link.beta * rate / other, 0)
            shares = " | ".join(f"{100 * efficiency(work, there, n, STREAMS):.0f} %" for n in NODES)
            needed = " | ".join(f"{streams_needed(work, there, n):,}" for n in (2, 256))
            yield f"| {work.hidden} | {name} | {shares} | {needed} |"


def between_hosts(rates: list[float], ranks: list[int]) -> Iterator[tuple[float, Fit]]:
    """The fit for each rate."""
    for rate in rates:
        found: dict[tuple[int, int], float] = {}
        for n in ranks:
            with network(n, Link(rate, DELAY)):
                found |= sums(n, SIZES, hosts=True)
        yield rate, fit(found)


def check(corpus: Path, rate: float, link: Fit, rounds: int) -> str:
    """The whole thing on two hosts of one thread, against one host with half the streams."""
    with tempfile.TemporaryDirectory() as scratch, network(2, Link(rate, DELAY)):
        train = [
            CHARLM,
            "train",
            str(corpus),
            "--updates",
            "60",
            "--val-fraction",
            "0",
            "--save-every",
            "0",
            "--run",
            f"{scratch}/run",
            "--force",
            "--quiet",
            "--json",
            "--threads",
            "1",
        ]
        alone, both = [], []
        for _ in range(rounds):
            done = subprocess.run([*train, "--streams", str(STREAMS)], capture_output=True, text=True, check=True)
            alone.append(json.loads(done.stdout)["chars_per_second"])
            out = mpiexec(2, *train, "--streams", str(2 * STREAMS), hosts=True)
            both.append(json.loads(out)["chars_per_second"])
    one = statistics.median(alone)
    compute = K1 * STREAMS / one
    size = Computation(256, 0, 0).gradient
    modelled = compute / (compute + link.seconds(2, size))
    measured = statistics.median(b / (2 * a) for a, b in zip(alone, both, strict=True))
    return (
        f"two hosts of one core at {rate / 1e6:,.0f} Mbit/s, H = 256, S = {STREAMS} each: efficiency {measured:.2f}, "
        f"modelled {modelled:.2f}"
    )


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Times that each is measured.")
@click.option("--seconds", default=5.0, show_default=True, help="Of training, each time.")
@click.option("--hidden", default="256,1024,4096", show_default=True, help="Hidden units to make predictions for.")
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/python.txt"), show_default=True)
def main(rounds: int, seconds: float, hidden: str, corpus: Path) -> None:
    """Prints all tables and figures; a quarter of an hour."""
    for line in against_threads(corpus.resolve(), rounds, seconds):
        click.echo(line)
    shared = fit(sums(2, [*SIZES, 1 << 26], hosts=False))
    rate = 1 / shared.beta / 1e9
    click.echo(f"\nAllreduce, two ranks of this machine: alpha {1e6 * shared.alpha:.1f} us, {rate:.1f} GB/s")
    threads, works = thread_count(), []
    for h in map(int, hidden.split(",")):
        few, many = (8, 128) if h < 1000 else (8, 64) if h < 4000 else (8, 32)
        works.append(computation(h, few, many, rounds if h < 4000 else 1, threads))
        work = works[-1]
        click.echo(
            f"computation, H = {h}, {threads} threads: {1e3 * work.fixed:.2f} ms + S * {1e3 * work.each:.3f} ms; "
            f"gradient {work.gradient / 1e6:,.1f} MB"
        )
    if os.geteuid() != 0 or not Path("/dev/net/tun").exists():
        click.echo("no hosts: that takes root and /dev/net/tun", err=True)
        return
    links = {}
    for rate, link in between_hosts([1e8, 1e9], [2, 4]):
        links[rate] = link
        click.echo(
            f"Allreduce, 2 and 4 hosts at {rate / 1e6:,.0f} Mbit/s: alpha {1e6 * link.alpha:.0f} us, "
            f"{8 / link.beta / rate:.0%} of the rate, median error of the fit {link.error:.0%}"
        )
        with contextlib.suppress(click.ClickException):
            click.echo(check(corpus.resolve(), rate, link, rounds))
    click.echo()
    for line in predictions(works, links[1e9], 1e9):
        click.echo(line)


if __name__ == "__main__":
    main()
