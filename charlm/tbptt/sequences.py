"""The sequences that a separator divides streams into: how many, how long, and how many of them truncation cuts."""

from dataclasses import dataclass

import numpy as np

from .streams import Ids, Resets, Streams
from .truncation import Truncation

_STEPS = 1 << 16  # read at a time


@dataclass(frozen=True)
class Sequences:
    """count: of sequences. longest: steps of the longest one. cut: those whose errors do not all reach the first step."""

    count: int
    longest: int
    cut: int


def measure(streams: Streams, resets: Resets, ids: Ids, truncation: Truncation) -> Sequences:
    """Counts what lies between two resets of a stream, and between one and the stream's end, over a whole epoch."""
    begins = np.zeros(streams.own, np.int64)  # of the sequence that is not over yet
    count = longest = cut = 0
    for first in range(0, streams.steps, _STEPS):
        last = min(streams.steps, first + _STEPS)
        found = resets.read(streams, ids, first, last)
        for s, targets in enumerate(streams.targets.tolist()):
            ends = first + np.flatnonzero(found[:, s])
            ends = ends[(ends > 0) & (ends < targets)]
            if last == streams.steps:
                ends = np.append(ends, targets)
            if len(ends):
                begin = np.concatenate([begins[s : s + 1], ends[:-1]])
                count, longest = count + len(ends), max(longest, int((ends - begin).max()))
                cut += int((truncation.first_reached(ends - 1) > begin).sum())
                begins[s] = ends[-1]
    return Sequences(count, longest, cut)
