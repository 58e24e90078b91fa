"""The tables as dictionaries of tuples: the twin of kernels/contexts.py and of the look-ups in kernels/direct.py."""

from collections import Counter, defaultdict

import numpy as np

from charlm.kernels.table_sizes import KINDS, RUNS, SIZES
from charlm.nn.reference import Evidence, order_evidence

MOST = (1 << 20) - 1  # a count's largest value
Context = tuple  # (length, whether the sequence begins within it, characters)


class Counts:
    """What followed each context, how often, what last, and how many times in a row."""

    def __init__(self) -> None:
        self.followed: dict[Context, Counter] = defaultdict(Counter)
        self.run: dict[Context, tuple[int, int]] = {}

    def add(self, context: Context, character: int) -> None:
        """Count a character."""
        self.followed[context][character] += 1
        last, run = self.run.get(context, (-1, 0))
        self.run[context] = (character, min(15, run + 1) if character == last else 1)


def contexts_of(ids: np.ndarray, resets: np.ndarray, lengths: tuple[int, ...]) -> list[list[list[Context]]]:
    """The contexts of these lengths that each step of each stream ends: found[t][s][k]."""
    read: list[list[int]] = [[] for _ in range(ids.shape[1])]
    found = []
    for t in range(len(resets)):
        row = []
        for s, sequence in enumerate(read):
            if resets[t, s]:
                sequence.clear()
            sequence.append(int(ids[t, s]))
            row.append([(k, len(sequence) < k, tuple(sequence[-k:])) for k in lengths])
        found.append(row)
    return found


def evidence_of(
    ids: np.ndarray,
    resets: np.ndarray,
    lengths: tuple[int, ...],
    vocabulary: int,
    block: int = 0,
    per_stream: int = 1,
    stretch: int = 1,
    most: int = MOST,
) -> Evidence:
    """What tables of these contexts know at each step of ids (T + 1, S).

    block: they count blocks of so many steps, each after it was predicted. 0: they have counted all of it beforehand, and
    the counts of the section that a step lies in are left out: stream s is sections of `stretch` steps. most: the largest
    count, but of sections.
    """
    (steps, streams), orders = resets.shape, len(lengths)
    contexts, everywhere = contexts_of(ids, resets, lengths), Counts()
    sections: dict[int, Counts] = defaultdict(Counts)
    value = np.zeros((steps, streams, orders, vocabulary))
    bucket, last = np.full((steps, streams, 2 * orders), -1), np.zeros((steps, streams, orders), int)

    def count(first: int, end: int) -> None:
        for t in range(first, end):
            for s in range(streams):
                if ids[t + 1, s] >= 0:
                    for context in contexts[t][s]:
                        everywhere.add(context, int(ids[t + 1, s]))
                        sections[s * per_stream + t // stretch].add(context, int(ids[t + 1, s]))

    if block == 0:
        count(0, steps)
    for t in range(steps):
        for s in range(streams):
            own = sections[s * per_stream + t // stretch] if block == 0 else Counts()
            chances = np.full(vocabulary, 1 / vocabulary)
            for k, context in enumerate(contexts[t][s]):
                counts = np.zeros(vocabulary)
                for v, n in everywhere.followed[context].items():
                    counts[v] = max(0, min(n, most) - own.followed[context][v])
                if counts.sum() == 0:
                    break
                value[t, s, k], chances = order_evidence(counts, chances)
                distinct = int((counts > 0).sum())
                size = min(int(counts.sum()).bit_length() - 1, SIZES - 1)
                bucket[t, s, k] = (k * SIZES + size) * KINDS + (0 if distinct == 1 else 1 if distinct <= 3 else 2)
                if block:
                    last[t, s, k], run = everywhere.run[context]
                    bucket[t, s, orders + k] = orders * SIZES * KINDS + k * RUNS + 2 * run + (distinct == 1)
        if block and ((t + 1) % block == 0 or t + 1 == steps):
            count(t + 1 - (t % block + 1), t + 1)
    return Evidence(value, bucket, last)
