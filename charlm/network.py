"""A network at work: its window of stored activations, its packed weights, and the kernels called in order."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from .config import ModelConfig
from .kernels.buffers import Packed, Passing, Plan, Reports, Rule, Sizes, State, Window, Work
from .kernels.cells import CELLS
from .kernels.draw import draw
from .kernels.parallel import new_gate
from .kernels.score import score
from .kernels.train import train
from .parameters import Parameters, aligned_zeros, padded

_LEAST_STREAMS = 4  # streams worth a thread of their own


class Network:
    """Runs plans over `streams` streams.

    block: the longest block, in steps. window: steps that errors reach back; 0 for a network that only reads.
    inject_window: whether losses older than the block are injected (truncation "window").
    threads: how many share the streams; see `useful_threads`. It decides who computes what, not what comes out.
    """

    def __init__(
        self,
        parameters: Parameters,
        streams: int,
        block: int,
        window: int = 0,
        inject_window: bool = False,
        dropout_seed: int = 0,
        threads: int = 1,
    ) -> None:
        config = parameters.config
        self.parameters = parameters
        self.streams = streams
        self.trains = window > 0
        self.cell = CELLS[config.cell, config.activation]
        # A multiple of block: then no block wraps around, only the window does.
        capacity = -(-max(block, window) // block) * block
        self.sizes = Sizes(
            streams=streams,
            hidden=config.hidden,
            padded=padded(config.hidden),
            vocabulary=parameters.vocabulary,
            padded_vocabulary=padded(parameters.vocabulary),
            layers=config.layers,
            gates=self.cell.gates,
            capacity=capacity,
            loss_capacity=capacity if inject_window else block,
        )
        self.passing = _passing(config, dropout_seed, self.trains)
        self.state = State(*(aligned_zeros((config.layers, streams, self.sizes.padded)) for _ in State._fields))
        self.window = self._new_window()
        self.packed = self._new_packed()
        self.work = self._new_work()
        self.gradients = parameters.like() if self.trains else parameters
        self.threads = min(threads, streams)
        self._gate = new_gate()
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def _new_window(self) -> Window:
        z = self.sizes
        rows = z.capacity * z.streams
        h = aligned_zeros((z.layers, rows, z.padded))
        plain = not (self.passing.layer_norm or self.passing.residual or self.passing.scale != 1.0)
        return Window(
            x=np.zeros(rows, np.int32),
            y=np.zeros(rows, np.int32),
            reset=np.zeros(rows, np.uint8),
            z=aligned_zeros((z.layers, rows, z.gates * z.padded)),
            extra=aligned_zeros((z.layers, rows, self.cell.extras * z.padded)),
            h_in=aligned_zeros((z.layers, rows, z.padded)),
            h=h,
            passed=h if plain else aligned_zeros(h.shape),
            stats=aligned_zeros((z.layers if self.passing.layer_norm else 0, rows, 2)),
            logits=aligned_zeros((z.loss_capacity * z.streams, z.padded_vocabulary)),
        )

    def _new_packed(self) -> Packed:
        z = self.sizes
        square = z.padded * z.gates * z.padded
        back = z.layers if self.trains else 0
        return Packed(
            w_ih=aligned_zeros((z.layers - 1, square)),
            w_hh=aligned_zeros((z.layers, square)),
            out=aligned_zeros((1, z.padded * z.padded_vocabulary)),
            w_ih_t=aligned_zeros((max(0, back - 1), square)),
            w_hh_t=aligned_zeros((back, square)),
            out_t=aligned_zeros((1, z.vocabulary * z.padded if back else 0)),
        )

    def _new_work(self) -> Work:
        z = self.sizes
        rows = z.capacity * z.streams if self.trains else 0
        wide = z.gates * z.padded
        dz, error = aligned_zeros((rows, wide)), aligned_zeros((rows, z.padded))
        between = self.window.passed is not self.window.h
        return Work(
            recurrent=aligned_zeros((z.streams, wide)),
            dz=dz,
            dz_h=aligned_zeros(dz.shape) if self.cell.separate else dz,
            error=error,
            kept=aligned_zeros(error.shape) if self.passing.residual else error,
            dy=aligned_zeros(error.shape) if between else error,
            dh=aligned_zeros((z.streams, z.padded)),
            dc=aligned_zeros((z.streams, z.padded)),
        )

    def _run(self, kernel: Any, *arguments: Any) -> None:
        """Calls a kernel on all threads, the last rank on this one."""
        self._gate[:] = 0
        others = []
        for rank in range(self.threads - 1):
            assert self._pool is not None
            others.append(self._pool.submit(partial(kernel, *arguments, self._gate, rank, self.threads)))
        kernel(*arguments, self._gate, self.threads - 1, self.threads)
        for other in others:
            other.result()

    def train(self, plan: Plan, rule: Rule) -> Reports:
        """Makes the plan's updates; the gradient of the last one is left in `gradients`."""
        updates = len(plan.start)
        reports = Reports(
            nats=np.zeros((updates, self.streams)), norm=np.zeros(updates), applied=np.zeros(updates, np.uint8)
        )
        self._run(
            train, self.cell, self.sizes, self.passing, plan, self.parameters.weights, self.gradients.weights,
            self.packed, self.window, self.state, self.work, rule, reports,
        )  # fmt: skip
        return reports

    def score(self, characters: np.ndarray, resets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads characters (n + 1, S) int32 and resets (n, S) uint8, row i + 1 what row i should predict (-1: nothing).

        Returns losses in nats (n, S) float64 and whether the target was the most likely (n, S) uint8.
        """
        nats, hits = np.zeros(resets.shape), np.zeros(resets.shape, np.uint8)
        self._run(
            score, self.cell, self.sizes, self.passing, _reading_plan(characters, resets, self.sizes.capacity),
            self.parameters.weights, self.packed, self.window, self.state, self.work, nats, hits,
        )  # fmt: skip
        return nats, hits

    def draw(
        self, last: np.ndarray, n: int, first: int, temperature: float, top_k: int, top_p: float, seed: int
    ) -> np.ndarray:
        """n characters (n, S) int32 that follow `last` (S,), the characters read but not yet passed on."""
        self.window.x[: self.streams] = last
        out = np.zeros((n, self.streams), np.int32)
        self._run(
            draw, self.cell, self.sizes, self.passing, self.parameters.weights, self.packed, self.window, self.state,
            self.work, out, first, float(temperature), top_k, float(top_p), seed,
        )  # fmt: skip
        return out

    def clear_state(self) -> None:
        """Sets the carried state of every stream to zero."""
        for array in self.state:
            array[...] = 0

    def window_bytes(self) -> int:
        """Memory of the window of stored activations."""
        return _bytes(*self.window)

    def all_bytes(self) -> int:
        """Memory of everything that this network holds."""
        arrays = (*self.window, *self.work, *self.packed, *self.state)
        return _bytes(*arrays, self.parameters.flat, self.gradients.flat)


def _bytes(*arrays: np.ndarray) -> int:
    """Of different arrays; some names stand for the same one."""
    return sum({id(a): a.nbytes for a in arrays}.values())


def useful_threads(threads: int, streams: int) -> int:
    """At most `threads`, and no more than have enough streams each to be worth waiting for."""
    return max(1, min(threads, streams // _LEAST_STREAMS))


def _reading_plan(characters: np.ndarray, resets: np.ndarray, block: int) -> Plan:
    """A plan that only says what is read, in blocks of `block` steps."""
    starts = np.arange(0, len(resets), block)
    unused = np.zeros(len(starts))
    return Plan(
        ids=characters, resets=resets, first_step=0, epoch_base=0, start=starts,
        steps=np.minimum(block, len(resets) - starts), window=starts, losses=starts, weight=unused, learning_rate=unused,
        number=starts,
    )  # fmt: skip


def _passing(config: ModelConfig, seed: int, trains: bool) -> Passing:
    dropout = config.dropout if trains else 0.0
    units = aligned_zeros((1, padded(config.hidden)))
    units[0, : config.hidden] = 1.0
    return Passing(
        layer_norm=int(config.layer_norm),
        residual=int(config.residual),
        keep=int((1.0 - dropout) * 2**32),
        scale=1.0 / (1.0 - dropout),
        seed=seed,
        units=units,
    )
