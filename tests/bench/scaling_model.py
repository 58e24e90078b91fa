"""A model of what ranks gain: the computation of an update beside the time of an Allreduce.

An Allreduce of m bytes among n hosts takes

    T(n, m) = 2 ceil(log2 n) alpha + 2 (n - 1) / n m beta

by the usual count for a reduction by halves or in a ring (Thakur, Rabenseifner & Gropp 2005).
"""

import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

RATES = {"1 Gbit/s": 1e9, "10 Gbit/s": 1e10, "100 Gbit/s": 1e11}
NODES = [2, 4, 16, 64, 256]
STREAMS = 32  # of a node, in the table
GOAL = 0.8  # efficiency
VOCABULARY = 65


@dataclass(frozen=True)
class Computation:
    """Seconds that a node computes for one update with k1 = k2: fixed + streams * each."""

    hidden: int
    fixed: float
    each: float

    @property
    def gradient(self) -> int:
        """Return the bytes to sum, for an LSTM of 2 layers."""
        cells = 4 * self.hidden * (3 * self.hidden + 4) + 4 * self.hidden * VOCABULARY
        return 4 * (cells + (self.hidden + 1) * VOCABULARY)

    def seconds(self, streams: float) -> float:
        """Return the seconds of an update with this number of streams."""
        return self.fixed + streams * self.each


def steps(ranks: int) -> float:
    """Return the number of successive messages in an Allreduce."""
    return 2 * math.ceil(math.log2(ranks))


def volume(ranks: int) -> float:
    """Return the bytes that each rank sends per byte of the sum."""
    return 2 * (ranks - 1) / ranks


@dataclass(frozen=True)
class Fit:
    """Constants of T(n, m). alpha: seconds per message. beta: seconds per byte. error: median relative error of the fit."""

    alpha: float
    beta: float
    error: float

    def seconds(self, ranks: int, size: float) -> float:
        """Return the seconds of an Allreduce."""
        return steps(ranks) * self.alpha + volume(ranks) * size * self.beta


def fit(measured: dict[tuple[int, int], float]) -> Fit:
    """Fit alpha and beta to (ranks, bytes) -> seconds, by least squares of the relative errors."""
    rows = np.array([[steps(n) / t, volume(n) * m / t] for (n, m), t in measured.items()])
    alpha, beta = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]
    if alpha <= 0:  # all messages are long: only the bandwidth can be told
        alpha, beta = 0.0, 1 / float(np.mean(rows[:, 1]))
    errors = [abs(Fit(alpha, beta, 0).seconds(n, m) / t - 1) for (n, m), t in measured.items()]
    return Fit(float(alpha), float(beta), statistics.median(errors))


def efficiency(work: Computation, link: Fit, nodes: int, streams: float) -> float:
    """Return the share of time that nodes compute, with `streams` each, when communication does not overlap computation."""
    compute = work.seconds(streams)
    return compute / (compute + link.seconds(nodes, work.gradient))


def streams_needed(work: Computation, link: Fit, nodes: int) -> int:
    """Return the fewest streams of a node that give an efficiency of GOAL."""
    compute = link.seconds(nodes, work.gradient) * GOAL / (1 - GOAL)
    return max(1, math.ceil((compute - work.fixed) / work.each))


def predictions(works: list[Computation], link: Fit, rate: float) -> Iterator[str]:
    """Yield the table of efficiencies. link: measured at `rate`."""
    columns = " | ".join(f"n = {n}" for n in NODES)
    yield f"| H | network | {columns} | S for 80 %, n = 2 | n = 256 |"
    yield "| --- " * (len(NODES) + 4) + "|"
    for work in works:
        for name, other in RATES.items():
            there = Fit(link.alpha, link.beta * rate / other, 0)
            shares = " | ".join(f"{100 * efficiency(work, there, n, STREAMS):.0f} %" for n in NODES)
            needed = " | ".join(f"{streams_needed(work, there, n):,}" for n in (2, 256))
            yield f"| {work.hidden} | {name} | {shares} | {needed} |"
