"""How a network's work is divided among threads: groups of streams, slices of units, or a grid of both.

An estimate from the sizes names the ways that may be the fastest. It cannot know what a meeting of two threads costs on
this machine, which depends on where a hypervisor has placed two processors, and changes while a program runs. So where it
matters the ways are tried in turn, on the work itself, and again from time to time. Results do not depend on it.
"""

from typing import NamedTuple

from ..kernels.simd import PAD
from ..kernels.tile import PANEL
from .contention import ThreadCount
from .parameters import Parameters
from .trial import Trial

_LEAST_STREAMS = 2  # streams that are worth a thread of their own
# What a thread gets done in a second, roughly, as measured on cores with AVX-512. Only ratios matter, and they decide
# how the work is divided, not what comes out.
_NEAR_BYTES = 0.75e6  # a matrix of this size stays in the second-level cache from step to step
_NEAR, _FAR = 130e9, 60e9  # bytes of matrices read from there, and from the third level
_FLOPS = 200e9
_CELLS = 6e8  # units through a cell's step, forward or back
_UPDATED = 2.5e9  # parameters packed, cleared and updated
# What is read of other slices in the time of one meeting: units at a step, parameters and their gradients at an update.
# Meetings are dearer where a hypervisor has placed two processors far apart; to err on this side costs less.
_UNITS_A_MEETING, _PARAMETERS_A_MEETING = 400, 700
_LEAST, _USUAL, _MOST = 0.0, 2.5e-7, 1e-6  # seconds that a meeting of two threads takes
_WORTHWHILE = 1.1  # times as fast, by the estimate


class StepCost(NamedTuple):
    """The work in one step of all streams, from which a division is chosen."""

    streams: int
    layers: int
    recurrent: int  # bytes of a layer's recurrent matrix, read at each step forward and, in training, once back
    weights: int  # numbers in all matrices
    units: int  # of all layers
    exchanged: int  # units of each stream that other slices need
    updated: float  # parameters updated, per step; 0 where nothing is trained

    def seconds(self, groups: int, slices: int, latency: float = 0.0) -> float:
        """Estimate the time of a step with a thread for each slice in each group. latency: of a meeting of two threads."""
        passes, products = (2, 3) if self.updated else (1, 1)
        streams, matrix = -(-self.streams // groups), self.recurrent / slices
        read = passes * self.layers * matrix / (_NEAR if matrix <= _NEAR_BYTES else _FAR)
        multiplied = products * 2 * streams * self.weights / slices / _FLOPS
        stepped = passes * streams * self.units / slices / _CELLS
        exchanged = streams * self.exchanged / _UNITS_A_MEETING + self.updated / _PARAMETERS_A_MEETING
        meetings = latency * (slices - 1).bit_length() * (2 * passes * self.layers + exchanged)
        updated = self.updated / (groups * slices) / _UPDATED
        # Most of the reading goes on while something is multiplied, and not all of it.
        return (read**3 + multiplied**3) ** (1 / 3) + stepped + meetings + updated


def step_cost(parameters: Parameters, padded: int, streams: int, block: int, trains: bool) -> StepCost:
    """Return the cost of a network's step. padded: P; block: steps per update."""
    gates, layers, w = parameters.gates, parameters.config.layers, parameters.weights
    recurrent = w.w_hh[0].size + w.w_mh[0].size
    return StepCost(
        streams=streams,
        layers=layers,
        recurrent=(2 if parameters.halves else 4) * recurrent,
        weights=layers * recurrent + w.w_ih.size + w.out.size,
        units=padded * layers,
        exchanged=padded * layers * (1 + gates if trains else 1),
        updated=parameters.flat.size / block if trains else 0.0,
    )


def ways(cost: StepCost, padded: int, threads: int) -> list[tuple[int, int]]:
    """Return (groups, slices) of the way that usually takes the least time, and of others that may be worth trying.

    The others are faster if meetings cost less or more than usual, by a tenth at least, since activations must be moved.
    """
    groups = [n for n in range(1, threads + 1) if n == 1 or cost.streams // n >= _LEAST_STREAMS]
    slices = [n for n in range(1, threads + 1) if n == 1 or (padded % (n * PAD) == 0 and padded // n >= PANEL // 2)]
    choices = [(g, s) for g in groups for s in slices if g * s <= threads]

    def seconds(way: tuple[int, int], meeting: float) -> float:
        return cost.seconds(way[0], way[1], meeting)

    usual = min(choices, key=lambda way: seconds(way, _USUAL))
    found = [usual]
    for meeting in (_LEAST, _MOST):
        best = min(choices, key=lambda way: seconds(way, meeting))
        if best not in found and seconds(usual, meeting) > _WORTHWHILE * seconds(best, meeting):
            found.append(best)
    return found


class Division:
    """The way in which the work is divided now, with at most so many threads."""

    def __init__(self, cost: StepCost, padded: int, threads: int) -> None:
        self._cost, self._padded = cost, padded
        self._threads = ThreadCount(threads)
        self._consider()

        self._kind: object = None

    def _consider(self) -> None:
        self._ways = ways(self._cost, self._padded, self._threads.now)
        self._trial = Trial(len(self._ways))

    @property
    def way(self) -> tuple[int, int]:
        """The number of groups of streams, and of slices of units."""
        return self._ways[self._trial.now]

    def changed(self, seconds: float) -> None:
        """Take note of what it took to move all arrays to another division."""
        self._trial.changed(seconds)

    def record(self, kind: object, work: float, shares: list[float], passed: float) -> None:
        """Take note of a call: the kind of work, how much, each thread's share of a processor, the seconds that passed."""
        before = self._threads.now
        self._threads.record(shares, passed)
        if self._threads.now != before or kind is not self._kind:
            self._kind = kind
            self._consider()
        else:
            self._trial.record(work, passed)
