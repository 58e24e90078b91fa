"""Sequences: the parts that resets divide streams into. Counts them and those that truncation cuts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..lazy import np

if TYPE_CHECKING:
    from .method import TruncationMethod
    from .resets import Resets
    from .streams import Ids, Streams

_STEPS = 1 << 16  # read at a time


@dataclass(frozen=True)
class Sequences:
    """Counts over an epoch.

    longest: steps of the longest sequence. cut: sequences with errors that do not reach their first step.
    """

    count: int
    longest: int
    cut: int


def measure(streams: Streams, resets: Resets, ids: Ids, truncation: TruncationMethod) -> Sequences:
    """Count the parts of an epoch between two resets of a stream, and between a reset and the stream's end."""
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
