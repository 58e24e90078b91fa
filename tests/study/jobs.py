"""What the study trains: every cell and method of truncation on texts with a known answer, and on a natural text."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

CELLS = ("rnn", "lstm", "gru")
DISTANCES = (4, 8, 20, 40, 80)
LENGTH = 200_000  # characters of a text that says letters again
STREAMS = 64
UPDATES = 8000
NATURAL_K1 = 16

BELOW, ABOVE, FAR, ARTBP, ADAPTIVE = "TBPTT, k2 = k1", "TBPTT, k2 = 4 k1", "TBPTT, k2 = 16 k1", "ARTBP, L0 = k1", "adaptive"
FORGETFUL, FULL = "k2 = k1, reset each block", "full"
METHODS = (BELOW, ABOVE, FAR, ARTBP, ADAPTIVE, FORGETFUL, FULL)


@dataclass(frozen=True)
class Job:
    """One run of `charlm train`. text: the file's stem, again8 and so on, or python."""

    text: str
    cell: str
    method: str
    seed: int
    options: tuple[str, ...]


def _cut(method: str, k1: int, longest: int) -> tuple[str, ...]:
    """The options of a method; longest: steps of an epoch."""
    if method == ARTBP:
        return ("--truncation", "artbp", "--mean-length", str(k1))
    if method == ADAPTIVE:
        return ("--truncation", "adaptive", "--k1", str(k1), "--max-k2", str(8 * k1))
    if method == FULL:
        return ("--k1", str(longest), "--memory", "200")
    k2 = k1 * {ABOVE: 4, FAR: 16}.get(method, 1)
    return ("--k1", str(k1), "--k2", str(k2), *(("--reset", "block") if method == FORGETFUL else ()))


def _gates(cell: str, steps: float) -> tuple[str, ...]:
    """Gates that at first keep the state for about so many steps."""
    return () if cell == "rnn" else ("--forget-bias", f"{math.log(steps):.2f}")


def again(seed: int) -> Iterator[Job]:
    """The letter that is said again after D characters. k1 is D / 2, so k2 = k1 does not reach it and k2 = 4 k1 does.

    Every run reads as many characters; "full" makes one update of all of an epoch.
    """
    for distance in DISTANCES:
        k1, longest = distance // 2, -(-(LENGTH * 9 // 10 - 1) // STREAMS)
        for cell in CELLS:
            rate = "5e-3" if cell == "rnn" else "1e-2"
            for method in METHODS:
                updates = UPDATES * k1 // longest if method == FULL else UPDATES
                size = ("--hidden", "64", "--streams", str(STREAMS), "--lr", rate, "--updates", str(updates))
                options = (*size, *_gates(cell, distance), *_cut(method, k1, longest))
                yield Job(f"again{distance}", cell, method, seed, options)


def natural(seed: int) -> Iterator[Job]:
    """Python's standard library, read twice. Two updates would teach nothing, so "full" is an update every 1,000 steps."""
    for cell in CELLS:
        rate = "1e-3" if cell == "rnn" else "4e-3"
        for method in METHODS:
            size = ("--hidden", "128", "--streams", "32", "--lr", rate, "--epochs", "2")
            yield Job("python", cell, method, seed, (*size, *_cut(method, NATURAL_K1, 1000)))


def exploding(seed: int) -> Iterator[Job]:
    """A rectifier network with a learning rate at which gradients explode, with and without clipping."""
    for clip in ("0", "1"):
        options = ("--activation", "relu", "--optimizer", "sgd", "--lr", "1", "--schedule", "constant", "--clip", clip)
        size = ("--hidden", "128", "--streams", "32", "--updates", "1500")
        yield Job("python", "rnn", f"--clip {clip}", seed, (*size, *options))
