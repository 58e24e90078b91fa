"""python -m tests.bench.scaling: what ranks cost and gain, measured on this machine and extrapolated by scaling_model.py.

It measures two ranks of one thread against one process of two, the computation of an update, and Allreduce: between two
ranks of this machine, and between the hosts of cable.py (only as root). The model is fitted to these and scaled to other
rates.
"""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from charlm.analysis.speed import Job, Row
from charlm.system import thread_count

from ..mpiexec import command as on_ranks
from ..mpiexec import environment
from .cable import Link, network, on_host
from .rows import Command, Option, charlm_train, flags
from .scaling_model import STREAMS, Computation, Fit, fit, predictions

# Open MPI between hosts that are namespaces of one machine: TCP over the cable. The switch needs the processors too, so
# ranks must not poll. Without `han`, which would treat ranks of one machine as neighbours.
BETWEEN_HOSTS = {
    "OMPI_MCA_pml": "ob1",
    "OMPI_MCA_btl": "tcp,self",
    "OMPI_MCA_btl_tcp_if_include": "10.99.0.0/24",
    "OMPI_MCA_coll": "^han",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "PMIX_MCA_ptl_base_if_include": "charlm0",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
WORK: list[dict[str, Option]] = [
    {"hidden": 64},
    {"hidden": 256},
    {"hidden": 512},
    {"hidden": 512, "streams": 128},
    {"hidden": 1024, "layers": 1},
    {"hidden": 1024, "layers": 1, "streams": 128},
]
SIZES = [4096, 65_536, 524_288, 4_194_304]  # bytes
K1 = 64
DELAY = 5e-5  # seconds from host to host, one way, as within a data centre


def mpiexec(ranks: int, *command: str, hosts: bool = False) -> str:
    """Return the standard output of a program on several ranks: on this machine, or each on a host of the cable."""
    start, more = on_ranks(ranks=ranks), {}
    if hosts:
        words = [word if word.startswith("charlm") else f"'{word}'" for word in on_host("$OMPI_COMM_WORLD_RANK")]
        start, more = [*on_host(0), *start, "sh", "-c", f'exec {" ".join(words)} "$@"', "sh"], BETWEEN_HOSTS
    done = subprocess.run([*start, *command], capture_output=True, text=True, check=False, env={**environment(), **more})
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}:\n{done.stderr}")
    return done.stdout


def brief_training(corpus: Path, scratch: str, **options: Option) -> Command:
    """Return `charlm train` without validation, notes and saves."""
    return charlm_train(corpus, Path(scratch) / "run", val_fraction=0, quiet=True, **options)


def against_threads(corpus: Path, rounds: int, seconds: float) -> Iterator[str]:
    """Yield a table: characters per second of one process with two threads and of two ranks with one each, in turns."""
    yield "| `charlm train`, on two cores | one process, 2 threads | two ranks, 1 thread each | ratio | lowest, highest |"
    yield "| --- | --- | --- | --- | --- |"
    with tempfile.TemporaryDirectory() as scratch:
        for options in WORK:
            train = brief_training(corpus, scratch, minutes=seconds / 60, **options)
            one, two = [], []
            for _ in range(rounds):
                done = subprocess.run([*train, "--threads", "2"], capture_output=True, text=True, check=True)
                one.append(json.loads(done.stdout)["chars_per_second"])
                two.append(json.loads(mpiexec(2, *train, "--threads", "1"))["chars_per_second"])
            ratios = sorted(b / a for a, b in zip(one, two, strict=True))
            yield (
                f"| {' '.join(flags(options))} | {statistics.median(one):,.0f} | {statistics.median(two):,.0f} | "
                f"{statistics.median(ratios):.2f} | {ratios[0]:.2f}, {ratios[-1]:.2f} |"
            )


def computation(hidden: int, few: int, many: int, rounds: int, threads: int) -> Computation:
    """Measure an update with few and with many streams, by the median of several rounds."""
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


def sums(ranks: int, sizes: list[int], hosts: bool) -> dict[tuple[int, int], float]:
    """Measure Allreduce: (ranks, bytes) -> seconds."""
    code = [sys.executable, "-m", "tests.bench.allreduce", "0.5", *map(str, sizes)]
    lines = mpiexec(ranks, *code, hosts=hosts).splitlines()
    return {(ranks, int(size)): float(seconds) for size, seconds in map(str.split, lines)}


def between_hosts(rates: list[float], ranks: list[int]) -> Iterator[tuple[float, Fit]]:
    """Yield each rate with the model fitted to it."""
    for rate in rates:
        found: dict[tuple[int, int], float] = {}
        for n in ranks:
            with network(n, Link(rate, DELAY)):
                found |= sums(n, SIZES, hosts=True)
        yield rate, fit(found)


def check(corpus: Path, rate: float, link: Fit, rounds: int) -> str:
    """Compare the model with training on two hosts of one thread, against one host with half the streams."""
    with tempfile.TemporaryDirectory() as scratch, network(2, Link(rate, DELAY)):
        train = brief_training(corpus, scratch, updates=60, threads=1)
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
@click.option("--rounds", default=5, show_default=True, help="Measurements of everything.")
@click.option("--seconds", default=5.0, show_default=True, help="Training time of each measurement.")
@click.option("--hidden", default="256,1024,4096", show_default=True, help="Numbers of hidden units to predict for.")
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/python.txt"), show_default=True)
def main(rounds: int, seconds: float, hidden: str, corpus: Path) -> None:
    """Print all tables and figures. Takes a quarter of an hour."""
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
        click.echo("left out what needs several hosts: it takes root and /dev/net/tun", err=True)
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
