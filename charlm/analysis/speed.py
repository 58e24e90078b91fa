"""The speed of charlm on this machine: kinds of work, their cost in arithmetic, and their rates. Nothing is printed."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..config.model import ModelConfig
from ..config.optimizer import OptimizerConfig
from ..config.reset import ResetConfig
from ..config.sampling import DrawConfig
from ..config.truncation import TruncationConfig
from ..kernels.peak import OPERATIONS, multiply_add
from ..kernels.tasks import Plan
from ..nn.network import Network, Training
from ..nn.optimizer import Optimizer
from ..nn.parameters import Parameters
from ..registry import CELLS
from ..tbptt.newest import Newest
from ..tbptt.plan import Position
from ..tbptt.resets import Resets
from ..tbptt.streams import Streams

VOCABULARY = 65  # tinyshakespeare's
_CALL_CHARACTERS = 20_000  # of one call, at most: as in training, where calls take a fraction of a second
_READ_STEPS = 64
_DRAWN_STEPS = 512


@dataclass(frozen=True)
class Row:
    """One kind of work. mode: train, sample or eval; streams: for sampling, texts drawn side by side."""

    cell: str
    hidden: int
    layers: int = 1
    streams: int = 1
    k1: int = 50
    k2: int = 50
    mode: str = "train"
    vocabulary: int = VOCABULARY
    threads: int | None = None  # None: as many as asked for
    precision: str = "float32"  # see PrecisionConfig

    @property
    def name(self) -> str:
        """The row's name in tables; `--rows` selects by a part of it."""
        what = f"{self.cell} {self.hidden} x {self.layers}"
        suffix = ", 1 thread" if self.threads == 1 else ""
        suffix += "" if self.precision == "float32" else f", {self.precision}"
        if self.mode == "train":
            return f"{what}, S={self.streams}, k1={self.k1}" + (f" k2={self.k2}" if self.k2 != self.k1 else "") + suffix
        if self.mode == "sample":
            return f"sample {what}" + (f", count={self.streams}" if self.streams > 1 else "") + suffix
        return f"eval {what}, " + ("in order" if self.streams == 1 else f"streams={self.streams}") + suffix

    @property
    def flops(self) -> float:
        """Floating-point operations per character in matrix products, the one-hot input's lookup not counted.

        Training takes the products forward once, and twice back over k2 steps for every k1; the output layer thrice.
        """
        cell = CELLS[self.cell]
        matrices = self.layers - 1 + (self.layers if cell.recurrence in ("matrix", "product") else 0)
        cells = 2.0 * len(cell.gates) * self.hidden**2 * matrices
        output = 2.0 * self.hidden * self.vocabulary
        if self.mode != "train":
            return cells + output
        return cells * (1 + 2 * self.k2 / self.k1) + 3 * output


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
    Row("lstm", 90, 3, 16, 20, 20, threads=1),  # NNCP's small LSTM (Bellard 2019)
    Row("lstm", 256, mode="sample"),
    Row("lstm", 256, mode="sample", precision="bfloat16"),
    Row("lstm", 256, streams=32, mode="sample"),
    Row("lstm", 256, mode="eval"),
    Row("lstm", 256, streams=8, mode="eval"),
    Row("mlstm", 128),
    Row("indrnn", 128),
    Row("mingru", 128),
    Row("mlstm", 256, 1, 32, 64, 64),
    Row("indrnn", 256, 1, 32, 64, 64),
    Row("mingru", 256, 1, 32, 64, 64),
]
QUICK = [ROWS[2], ROWS[5], ROWS[13], ROWS[16]]


def peak(threads: int, seconds: float = 0.2) -> float:
    """Measure floating-point operations a second of multiply-adds alone, on `threads` threads at once."""
    rounds, spent = 1 << 14, 0.0
    multiply_add(1)  # compiled, or read from the cache
    with ThreadPoolExecutor(threads) as pool:
        while spent < seconds:
            begun = time.perf_counter()
            list(pool.map(multiply_add, [rounds] * threads))
            spent = time.perf_counter() - begun
            rounds *= 2
    return threads * (rounds // 2) * OPERATIONS / spent


class Job:
    """A row's work, made ready: `once` does a piece of it on random text."""

    def __init__(self, row: Row, threads: int, characters: int = _CALL_CHARACTERS) -> None:
        """characters: of a piece, roughly; at least two blocks."""
        self.row = row
        model = ModelConfig(row.cell, hidden=row.hidden, layers=row.layers, dropout=0.0)
        parameters = Parameters(model, row.vocabulary)
        parameters.initialise(0)
        if row.precision == "bfloat16":
            parameters = parameters.rounded()
        trains = row.mode == "train"
        block = row.k1 if trains else _READ_STEPS if row.mode == "eval" else 1
        training = Training(row.k2) if trains else None
        self._net = Network(parameters, row.streams, block, training, row.threads or threads, fixed=not trains)
        blocks = max(2, characters // (row.streams * block)) if row.mode != "sample" else _DRAWN_STEPS
        self._steps = blocks * block
        random = np.random.default_rng(0)
        self._ids = random.integers(0, row.vocabulary, (self._steps + 1, row.streams)).astype(np.int32)
        self._resets = np.zeros((self._steps, row.streams), np.uint8)
        self._rule = Optimizer(OptimizerConfig("adam"), parameters, self._net.gradients).rule if trains else None
        self._updates = 0

    @property
    def way(self) -> tuple[int, int]:
        """Groups of streams and slices of units that the threads divide the work into now."""
        return self._net.way

    def once(self) -> int:
        """Do a piece of the work and return the number of its characters."""
        row = self.row
        if self._rule is not None:
            self._net.train(self._plan(), self._rule)
        elif row.mode == "eval":
            self._net.score(self._ids, self._resets)
        else:
            self._net.draw(self._ids[:1], self._steps, 0, 0, Resets(ResetConfig("never"), 1), DrawConfig())
        return self._steps * row.streams

    def _plan(self) -> Plan:
        row, n = self.row, self._steps // self.row.k1
        streams = Streams(self._steps * row.streams + 1, row.streams)
        self._updates += n
        return Plan(
            ids=self._ids,
            resets=self._resets,
            first_step=0,
            epoch_base=0,
            learning_rate=np.full(n, 1e-3),
            number=self._updates + np.arange(n),
            connects=np.zeros(n, np.uint8),
            **Newest(TruncationConfig(row.k1, row.k2), streams).cuts(Position(), n)._asdict(),
        )

    def rate(self, seconds: float) -> float:
        """Measure characters a second over at least `seconds`."""
        characters, begun = 0, time.perf_counter()
        while (spent := time.perf_counter() - begun) < seconds or characters == 0:
            characters += self.once()
        return characters / spent
