"""A network at work: its window of stored activations, its packed weights, and the kernels called in order."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..config.sampling import DrawConfig
from ..distributed.ranks import Exchange
from ..errors import CharlmError
from ..kernels.buffers import Sizes, Window
from ..kernels.draw import draw
from ..kernels.elementary import log
from ..kernels.score import score
from ..kernels.simd import PAD
from ..kernels.tasks import Drawing, OptimizerParams, Plan, UpdateStats
from ..kernels.train import train
from ..registry import CELLS
from ..tbptt.plan import reading_plan
from ..tbptt.resets import Resets
from ..tree import StateDict
from .allocation import gate_norm, sublayer, total_bytes
from .arrays import aligned_zeros, padded
from .division import Division, step_cost
from .layout import Layout
from .parameters import Parameters
from .partition import Partition, run_together

_MOVABLE = 1 << 27  # bytes of activations that are copied when the division among threads changes
_NOT_FINITE = "the model's probabilities are not finite: its parameters are too large to compute with"


@dataclass(frozen=True)
class Training:
    """Settings of a network that trains; one that only reads has none.

    window: steps that errors reach back. older_losses: whether losses older than the block count again (truncation
    "window"). dropout_seed: None for no dropout. memory: bytes for the window and the work on it, 0 for no limit; a block
    that needs more is made in pieces, see kernels/train.py. first_stream: the number of the first stream, where other ranks
    have those before it. excludes, counts: what the tables beside the network leave out, and whether they learn: see
    ContextTables.for_kernels. statistics: whether batch norm takes each block's own and averages them; else it takes the
    averages, so that nothing is predicted from what follows it. share: of the streams of all ranks whose statistics are
    summed at each update, those of this one.
    """

    window: int
    older_losses: bool = False
    dropout_seed: int | None = None
    memory: int = 0
    first_stream: int = 0
    excludes: bool = False
    counts: bool = False
    statistics: bool = False
    share: float = 1.0


class Network:
    """Runs plans over `streams` streams. Its results do not depend on the number of threads."""

    def __init__(
        self,
        parameters: Parameters,
        streams: int,
        block: int,
        training: Training | None = None,
        threads: int = 1,
        fixed: bool = False,
    ) -> None:
        """block: the longest block, in steps. training: None for a network that only reads. threads: at most so many.

        fixed: the parameters will not change any more, so that their matrices are packed once for all calls.
        """
        config = parameters.config
        self.parameters, self.streams = parameters, streams
        if training and parameters.halves:
            raise ValueError("rounded parameters are for reading, not for training")
        self._memory, self._packs = training.memory if training else 0, 1
        self._fixed = fixed or parameters.halves
        self._cell = CELLS[config.cell]
        known = training or Training(0)
        self._tables = parameters.tables.for_kernels(known.excludes, known.counts)
        norm = gate_norm(config, known.statistics, known.share)
        between = sublayer(config, known.dropout_seed, known.first_stream)
        width, trains = padded(config.hidden), training is not None
        self._division = Division(step_cost(parameters, width, streams, block, trains), width, threads)
        self._partition_for = partial(Partition, parameters, width, streams, trains)
        sizes, partition = self._initial_sizes(block, training), self._partition_for(self._division.way)
        self._layout = Layout(parameters, self._cell, partition, sizes, between, norm, self._tables)
        if self._memory:
            self._layout.divide_block(block, self._memory)
        self.gradients = parameters.like() if training else parameters
        self._layout.allocate()
        self._pool = ThreadPoolExecutor(threads)

    def _initial_sizes(self, block: int, training: Training | None) -> Sizes:
        config = self.parameters.config
        # A multiple of block: then no block wraps around, only the window does.
        capacity = -(-max(block, training.window if training else 0) // block) * block
        return Sizes(
            streams=self.streams,
            hidden=config.hidden,
            padded=padded(config.hidden),
            units=padded(config.hidden),
            vocabulary=self.parameters.vocabulary,
            padded_vocabulary=padded(self.parameters.vocabulary),
            outputs=self.parameters.weights.out_b.shape[1],
            layers=config.layers,
            gates=len(self._cell.gates),
            step_gates=self._cell.step_gates,
            capacity=capacity,
            loss_capacity=capacity if training and training.older_losses else block,
        )

    @property
    def threads(self) -> int:
        """The number of threads that share the work."""
        return len(self._layout.partition.parts)

    @property
    def way(self) -> tuple[int, int]:
        """Groups of streams and slices of units that they divide it into."""
        return self._layout.partition.way

    @property
    def sizes(self) -> Sizes:
        """The sizes of its arrays."""
        return self._layout.sizes

    @property
    def window(self) -> Window:
        """The activations of the newest steps."""
        return self._layout.window

    @property
    def longest_block(self) -> int:
        """Steps of the longest block that there is room for."""
        return self.sizes.capacity * self._layout.pieces.number

    def reserve(self, block: int, memory: float = math.inf) -> None:
        """Make room for blocks of this length. If there was none, the window is empty afterwards; the state is kept.

        memory: bytes available. A block that needs more is made in pieces from now on. Raises ResourceError if even pieces
        need more.
        """
        if block > self.longest_block:
            self._layout.divide_block(block, self._memory or memory)
            self._layout.allocate()

    def _divide_anew(self) -> None:
        """Divide the work as is best now, unless much memory would move."""
        now, whole = self._layout.partition, self._layout.pieces.number == 1
        if self._division.way != now.way and whole and not self._memory and self.window_bytes() <= _MOVABLE:
            begun = time.perf_counter()
            self._layout = self._layout.moved(self._partition_for(self._division.way))
            self._packs = 1
            self._division.changed(time.perf_counter() - begun)

    # --- kernels -----------------------------------------------------------------------------------------------------

    def train(self, plan: Plan, rule: OptimizerParams, lags: int = 0, exchange: Exchange | None = None) -> UpdateStats:
        """Make the plan's updates; the gradient of the last one is left in `gradients`.

        lags: for how many steps back the errors' norms are reported. exchange: sums each gradient over the ranks.
        """
        self._divide_anew()
        updates, layers = len(plan.start), self.sizes.layers if lags else 0
        stats = UpdateStats(
            loss=np.zeros((updates, self.streams)),
            norm=np.zeros(updates),
            applied=np.zeros(updates, np.uint8),
            lags=np.zeros((updates, layers, 2, self.sizes.padded // PAD, self.streams, lags)),
        )
        if self._tables.learns:
            partition = self._layout.partition
            before = partition.collect(self._layout.state.context[0], 1, 0)[0]
            for part in partition.parts:
                part.evidence.context[...] = before
        work = int(plan.steps.sum())
        self._run(work, train, plan, self.gradients.weights, rule, stats, exchange=exchange)
        return stats

    def score(self, characters: np.ndarray, resets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read characters (n + 1, S) int32 and resets (n, S) uint8; row i + 1 is what row i should predict (-1: nothing).

        Returns losses in nats (n, S) float64 and whether the target was the most likely (n, S) uint8.
        """
        nats, correct = np.zeros(resets.shape), np.zeros(resets.shape, np.uint8)
        self._read(len(resets), score, reading_plan(characters, resets, self.sizes.capacity), nats, correct)
        return nats, correct

    def draw(
        self, known: np.ndarray, n: int, position: int, first: int, resets: Resets, how: DrawConfig, scored: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return n characters (n, S) int32 that follow the rows of `known` (m, S), the last of which is yet to be read.

        position: of that last character in the text; first: the number of the first draw. Also returns their losses in
        nats, (n, S) float64; (0, S) unless scored. Raises CharlmError if a probability is not finite.
        """
        text = np.concatenate([known, np.zeros((n, self.streams))]).astype(np.int32)
        nats = np.zeros((n if scored else 0, self.streams))
        drawing = Drawing(
            known=len(known),
            position=position,
            first=first,
            period=resets.period,
            separator=resets.separator,
            temperature=float(how.temperature),
            top_k=how.top_k,
            top_p=float(how.top_p),
            seed=how.seed,
            logits=aligned_zeros((self.streams, self.sizes.outputs)),
        )
        self._read(n, draw, drawing, text, nats)
        if (text[len(known) :] < 0).any():
            raise CharlmError(_NOT_FINITE)
        return text[len(known) :], nats

    def step(self, characters: np.ndarray, resets: np.ndarray) -> np.ndarray:
        """Read one character (S,) of each stream, after a reset where `resets` (S,) is 1; for networks of block 1.

        Returns the log-probabilities of what comes next, (S, V) float64 in nats. Raises CharlmError if one is not finite.
        """
        self.score(np.stack([characters, np.zeros(self.streams)]).astype(np.int32), resets[None].astype(np.uint8))
        # The kernel leaves exponentials in the place of the logits: see softmax.loss_in_place.
        masses = self.window.logits[: self.streams, : self.sizes.vocabulary].astype(np.float64)
        if not np.isfinite(masses).all():
            raise CharlmError(_NOT_FINITE)
        return np.where(masses > 0, log(masses), -np.inf) - log(masses.sum(1, keepdims=True))

    def _read(self, work: int, kernel: Any, *arguments: Any) -> None:
        self._divide_anew()
        self._run(work, kernel, *arguments, self._packs)
        self._packs = 0 if self._fixed else 1

    def _run(self, work: int, kernel: Any, *arguments: Any, exchange: Exchange | None = None) -> None:
        """Call a kernel on all threads. work: steps."""
        layout = self._layout
        took = run_together(kernel, (layout.net, *arguments), layout.partition.parts, self._pool, exchange)
        if exchange is None and layout.partition.way == self._division.way:  # with an exchange, threads sleep meanwhile
            self._division.record(kernel, work, *took)

    # --- state -------------------------------------------------------------------------------------------------------

    def clear_state(self) -> None:
        """Set the carried state of every stream to zero."""
        for array in self._layout.state:
            array[...] = 0

    def choose_streams(self, chosen: np.ndarray) -> None:
        """Give stream i the state that stream chosen[i] has."""
        state = self.state_dict(window=False)
        self.load_state_dict({name: values[:, chosen] for name, values in state.items()}, window=False)

    def state_dict(self, window: bool = True) -> StateDict:
        """Return copies of the carried state and, if asked for, of the window's activations: see Layout."""
        return self._layout.state_dict(window)

    def load_state_dict(self, state: StateDict, window: bool = True) -> None:
        """Take over what `state_dict` returned for the same `window`. Raises LeafError."""
        self._layout.load_state_dict(state, window)

    def gate_values(self) -> np.ndarray:
        """Return the sigmoid gates' values at one of the newest steps, (L, S, gates, H) in [0, 1].

        For a cell without such gates, (1 + h) / 2 if its activation is tanh, and no gates otherwise.
        """
        z, partition = self.sizes, self._layout.partition
        stepped = partition.collect(self.window.steps[..., None], z.capacity, 0)[..., 0].argmax(1)  # (L, S), some slot
        step = [partition.rows(z.capacity)[slots, np.arange(z.streams)] for slots in stepped]
        chosen = self._cell.sigmoid_gates
        array, groups = (self.window.z, z.gates) if chosen else (self.window.h, 1)
        rows = np.array([[piece * z.capacity * z.streams + row for row in step] for piece in range(partition.slices)])
        layers = np.arange(z.layers)[:, None]
        values = np.concatenate([array[layers, row].reshape(z.layers, -1, groups, z.units) for row in rows], axis=3)
        values = values[..., : z.hidden]
        if chosen:
            return values[:, :, chosen]
        return (1 + values) / 2 if self.parameters.config.activation == "tanh" else values[:, :, :0]

    def window_bytes(self) -> int:
        """Return the memory of the window of stored activations."""
        return self._layout.window_bytes

    def all_bytes(self) -> int:
        """Return the memory of everything that this network holds."""
        return total_bytes(*self._layout.arrays, self.parameters.flat, self.gradients.flat)
