"""What is measured, and the commands that measure it for charlm and for each peer."""

import sys
from dataclasses import dataclass
from pathlib import Path

Command = list[str]


@dataclass(frozen=True)
class Row:
    """One kind of work. mode: train, sample or eval; count: texts sampled side by side."""

    cell: str
    hidden: int
    layers: int = 1
    streams: int = 1
    k1: int = 50
    k2: int = 50
    mode: str = "train"
    count: int = 1

    @property
    def name(self) -> str:
        """As the table prints it; `--rows` selects by a part of it."""
        what = f"{self.cell} {self.hidden} x {self.layers}"
        if self.mode == "train":
            return f"{what}, S={self.streams}, k1={self.k1}" + (f" k2={self.k2}" if self.k2 != self.k1 else "")
        if self.mode == "sample":
            return f"sample {what}" + (f", count={self.count}" if self.count > 1 else "")
        return f"eval {what}, in order"


ROWS = [
    Row("rnn", 128, k1=25, k2=25),
    Row("rnn", 128, k1=10, k2=50),
    Row("lstm", 128),
    Row("gru", 128),
    Row("lstm", 128, streams=48),
    Row("lstm", 128, 2, 50),
    Row("gru", 128, 2, 50),
    Row("rnn", 128, 2, 50),
    Row("lstm", 256, 1, 32, 64, 64),
    Row("lstm", 256, 2, 32, 64, 64),
    Row("lstm", 512, 2, 50),
    Row("lstm", 1024, 1, 64, 100, 100),
    Row("lstm", 256, mode="sample"),
    Row("lstm", 256, mode="sample", count=32),
    Row("lstm", 256, mode="eval"),
]


def _network(row: Row) -> Command:
    return ["--cell", row.cell, "--hidden", str(row.hidden), "--layers", str(row.layers)]


def _cut(row: Row) -> Command:
    return ["--streams", str(row.streams), "--k1", str(row.k1)]


def ours(row: Row, corpus: Path, seconds: float, threads: int, scratch: Path) -> Command:
    """charlm: training as a user starts it, the rest by ours.py. Same optimizer and clipping as the peers."""
    if row.mode == "train":
        return [
            sys.executable, "-m", "charlm", "train", str(corpus), *_network(row), *_cut(row), "--k2", str(row.k2),
            "--dropout", "0", "--lr", "2e-3", "--clip", "5", "--schedule", "constant", "--minutes", str(seconds / 60),
            "--val-fraction", "0", "--save-every", "0", "--threads", str(threads), "--run", str(scratch / "run"), "--force",
            "--json", "--quiet",
        ]  # fmt: skip
    more = ["--count", str(row.count), "--threads", str(threads), "--seconds", str(seconds)]
    return [sys.executable, "-m", "tests.bench.ours", row.mode, str(corpus), *_network(row), *more]


def torch(row: Row, corpus: Path, seconds: float, threads: int, peers: Path) -> Command | None:
    """PyTorch's script; it samples one text at a time, which is what its users do."""
    mode = {"train": "speed"}.get(row.mode, row.mode)
    more = ["--k2", str(row.k2), "--seconds", str(seconds)] if row.mode == "train" else []
    return [
        sys.executable, str(peers / "torch_charrnn.py"), mode, str(corpus), *_network(row), *_cut(row), *more,
        "--threads", str(threads),
    ]  # fmt: skip


def jax(row: Row, corpus: Path, seconds: float, threads: int, peers: Path) -> Command | None:
    """JAX's script, which trains with k1 = k2 only and takes all processors there are."""
    if row.mode != "train" or row.k1 != row.k2:
        return None
    return [
        sys.executable, str(peers / "jax_charrnn.py"), str(corpus), *_network(row), *_cut(row), "--seconds", str(seconds)
    ]  # fmt: skip


PEERS = {"torch": torch, "jax": jax}
