"""Commands that measure one kind of work, for charlm and for each peer. The kinds are those of `charlm bench`."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from charlm.analysis.speed import Row
from charlm.registry import CELLS

Command = list[str]
Option = str | float | Path


@dataclass(frozen=True)
class Peer:
    """A program of tests/bench/peers: its column, the package it needs, and the rows it can do."""

    title: str
    package: str
    can_do: Callable[[Row], bool]


PEERS = (
    Peer("PyTorch", "torch", lambda row: row.k2 % row.k1 == 0),
    Peer("JAX", "jax", lambda row: row.k1 == row.k2 and row.threads is None),  # it takes all processors
    Peer("NumPy", "numpy", lambda row: row.cell != "gru" and row.k1 == row.k2 and row.layers == row.streams == 1),
)


def flags(options: dict[str, Option]) -> Command:
    """Return options as a command line has them: {"val_fraction": 0, "quiet": True} is --val-fraction 0 --quiet."""
    found: Command = []
    for name, value in options.items():
        found += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return found


def charlm_train(corpus: Path, run: Path, **options: Option) -> Command:
    """Return `charlm train` in a directory of its own, without saves in between, with its summary as JSON."""
    always: dict[str, Option] = {"save_every": 0, "run": run, "force": True, "json": True}
    return [sys.executable, "-m", "charlm", "train", str(corpus), *flags(options | always)]


def charlm(row: Row, corpus: Path, seconds: float, threads: int, scratch: Path) -> Command:
    """Return the command for charlm: training as a user starts it, the rest by ours.py."""
    if row.mode != "train":
        return program("tests.bench.ours", row, corpus, seconds, threads)
    network: dict[str, Option] = {"cell": row.cell, "hidden": row.hidden, "layers": row.layers, "dropout": 0}
    network["direct_order"] = 0  # peers have no tables
    cut: dict[str, Option] = {"streams": row.streams, "k1": row.k1, "k2": row.k2, "threads": row.threads or threads}
    as_peers: dict[str, Option] = {"optimizer": "adam", "lr": 2e-3, "clip": 5, "schedule": "constant", "val_fraction": 0}
    length: dict[str, Option] = {"minutes": seconds / 60, "quiet": True}
    return charlm_train(corpus, scratch / "run", **network, **cut, **as_peers, **length)


def program(module: str, row: Row, corpus: Path, seconds: float, threads: int) -> Command:
    """Return the command for a program with the options of peers/work.py."""
    network: dict[str, Option] = {"cell": row.cell, "hidden": row.hidden, "layers": row.layers, "streams": row.streams}
    if row.precision != "float32":
        network["precision"] = row.precision
    rest: dict[str, Option] = {"k1": row.k1, "k2": row.k2, "threads": row.threads or threads, "seconds": seconds}
    return [sys.executable, "-m", module, row.mode, str(corpus), *flags(network | rest)]


def programs(
    row: Row, corpus: Path, seconds: float, threads: int, scratch: Path, packages: Sequence[str]
) -> dict[str, Command]:
    """Return the commands that can do this row, by package: charlm, then those of `packages` that are installed."""
    found = {"charlm": charlm(row, corpus, seconds, threads, scratch)}
    for peer in PEERS:
        can_do = row.precision == "float32" and CELLS[row.cell].pytorch and peer.can_do(row)
        if peer.package in packages and importlib.util.find_spec(peer.package) and can_do:
            found[peer.package] = program(f"tests.bench.peers.{peer.package}_charrnn", row, corpus, seconds, threads)
    return found
