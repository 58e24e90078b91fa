"""The commands that measure a kind of work for charlm and for each peer. The kinds themselves are `charlm bench`'s."""

import sys
from pathlib import Path

from charlm.analysis.speed import Row

Command = list[str]


def _network(row: Row) -> Command:
    return ["--cell", row.cell, "--hidden", str(row.hidden), "--layers", str(row.layers)]


def _cut(row: Row) -> Command:
    return ["--streams", str(row.streams), "--k1", str(row.k1)]


def ours(row: Row, corpus: Path, seconds: float, threads: int, scratch: Path) -> Command:
    """charlm: training as a user starts it, the rest by ours.py. Same optimizer and clipping as the peers."""
    threads = row.threads or threads
    if row.mode == "train":
        return [
            sys.executable,
            "-m",
            "charlm",
            "train",
            str(corpus),
            *_network(row),
            *_cut(row),
            "--k2",
            str(row.k2),
            "--dropout",
            "0",
            "--optimizer",
            "adam",
            "--lr",
            "2e-3",
            "--clip",
            "5",
            "--schedule",
            "constant",
            "--minutes",
            str(seconds / 60),
            "--val-fraction",
            "0",
            "--save-every",
            "0",
            "--threads",
            str(threads),
            "--run",
            str(scratch / "run"),
            "--force",
            "--json",
            "--quiet",
        ]
    more = ["--streams", str(row.streams), "--threads", str(threads), "--seconds", str(seconds)]
    return [sys.executable, "-m", "tests.bench.ours", row.mode, str(corpus), *_network(row), *more]


def torch(row: Row, corpus: Path, seconds: float, threads: int, peers: Path) -> Command | None:
    """PyTorch's script; it samples one text and reads one stream at a time, which is what its users do."""
    mode = {"train": "speed"}.get(row.mode, row.mode)
    more = ["--k2", str(row.k2), "--seconds", str(seconds)] if row.mode == "train" else []
    return [
        sys.executable,
        str(peers / "torch_charrnn.py"),
        mode,
        str(corpus),
        *_network(row),
        *_cut(row),
        *more,
        "--threads",
        str(row.threads or threads),
    ]


def jax(row: Row, corpus: Path, seconds: float, threads: int, peers: Path) -> Command | None:
    """JAX's script, which trains with k1 = k2 only and takes all processors there are."""
    if row.mode != "train" or row.k1 != row.k2 or row.threads:
        return None
    return [
        sys.executable,
        str(peers / "jax_charrnn.py"),
        str(corpus),
        *_network(row),
        *_cut(row),
        "--seconds",
        str(seconds),
    ]


PEERS = {"torch": torch, "jax": jax}
