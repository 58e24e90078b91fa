"""A network at work: its window of stored activations, its packed weights, and the kernels called in order."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..config.run import DrawConfig, ModelConfig
from ..distributed.ranks import Exchange
from ..errors import CharlmError, ResourceError
from ..kernels.buffers import OptimizerParams, Packed, Plan, Sizes, State, Sublayer, UpdateStats, Window, Workspace
from ..kernels.draw import draw
from ..kernels.score import score
from ..kernels.train import train
from ..registry import CELLS
from ..tree import StateDict, take_array
from .cells.spec import compiled
from .parameters import Parameters, aligned_zeros, padded
from .partition import Layout, run_together

_NOT_FINITE = "the model's probabilities are not finite: its parameters are too large to compute with"


class Network:
    """Runs plans over `streams` streams.

    block: the longest block, in steps. window: steps that errors reach back; 0 for a network that only reads.
    inject_window: whether losses older than the block are injected (truncation "window").
    dropout_seed: None for no dropout, which a network that only reads never has.
    memory: bytes that the window and the work on it may take, 0 for no limit; a block for which that is too little is
    made in pieces, see kernels/train.py.
    threads: how many may share the work. It decides who computes what and where it lies, not what comes out.
    first: the number of its first stream, where other ranks have those before it.
    """

    def __init__(
        self,
        parameters: Parameters,
        streams: int,
        block: int,
        window: int = 0,
        inject_window: bool = False,
        dropout_seed: int | None = 0,
        threads: int = 1,
        memory: int = 0,
        first: int = 0,
    ) -> None:
        config = parameters.config
        self.parameters = parameters
        self.streams = streams
        self.trains = window > 0
        self._cell = CELLS[config.cell]
        self._steps = compiled(self._cell, config.activation)
        # A multiple of block: then no block wraps around, only the window does.
        capacity = -(-max(block, window) // block) * block
        self._memory, self._pieces = memory, 1
        self._layout = Layout(parameters, padded(config.hidden), streams, threads, block, self.trains)
        self.sizes = Sizes(
            streams=streams,
            hidden=config.hidden,
            padded=padded(config.hidden),
            units=padded(config.hidden) // self._layout.slices,
            vocabulary=parameters.vocabulary,
            padded_vocabulary=padded(parameters.vocabulary),
            layers=config.layers,
            gates=len(self._cell.gates),
            capacity=capacity,
            loss_capacity=capacity if inject_window else block,
        )
        self.sublayer = _sublayer(config, dropout_seed if self.trains else None, first)
        self.state = State(
            *(aligned_zeros((config.layers * streams * self._layout.slices, self.sizes.units)) for _ in State._fields)
        )
        self.packed = self._new_packed()
        if memory:
            self._divide_block(block, memory)
        self.window, self.work = self._new_window(self.sizes), self._new_work(self.sizes)
        self.gradients = parameters.like() if self.trains else parameters
        self._pool = ThreadPoolExecutor(self.threads)

    @property
    def threads(self) -> int:
        """How many threads share the work."""
        return len(self._layout.parts)

    @property
    def _plain(self) -> bool:
        """Whether layers pass their h up untouched."""
        return not (self.sublayer.layer_norm or self.sublayer.residual or self.sublayer.scale != 1.0)

    def _divide_block(self, block: int, memory: float) -> None:
        """Sets the window's capacity and the number of pieces for blocks of this length, within so many bytes."""
        self._pieces = 1
        one, two = (self._activation_bytes(steps) for steps in (1, 2))
        pieces = np.arange(1, block + 1)
        piece = -(-block // pieces)
        needed = one + (piece - 1) * (two - one) + (pieces - 1) * _bytes(*self.state)
        fits = np.flatnonzero(needed <= memory)
        if len(fits) == 0:
            raise ResourceError(
                f"a block of {block:,} steps takes at least {needed.min() / 1e6:.1f} MB of activations, and there are "
                f"{memory / 1e6:,.0f} MB for them (--memory): use a shorter block"
            )
        self._pieces, steps = int(pieces[fits[0]]), int(piece[fits[0]])
        self.sizes = self.sizes._replace(capacity=steps, loss_capacity=steps)

    def _activation_bytes(self, steps: int) -> int:
        """Memory of a window of so many steps, and of the work on it."""
        sizes = self.sizes._replace(capacity=steps, loss_capacity=steps)
        return _bytes(*self._new_window(sizes), *self._new_work(sizes))

    def _new_window(self, z: Sizes) -> Window:
        x = self._layout.slices
        rows = z.capacity * z.streams
        h = aligned_zeros((z.layers, x * rows, z.units))
        return Window(
            x=np.zeros(x * rows, np.int32),
            y=np.zeros(x * rows, np.int32),
            reset=np.zeros(x * rows, np.uint8),
            gradient_scale=np.ones(z.capacity, np.float32),
            z=aligned_zeros((z.layers, x * rows, z.gates * z.units)),
            extra=aligned_zeros((z.layers, x * rows, self._cell.extras * z.units)),
            h_in=aligned_zeros(h.shape),
            h=h,
            passed=h if self._plain else aligned_zeros(h.shape),
            stats=aligned_zeros((z.layers if self.sublayer.layer_norm else 0, rows, 2)),
            logits=aligned_zeros((z.loss_capacity * z.streams, z.padded_vocabulary)),
            loss=np.zeros(rows),
            border_h=aligned_zeros((self._pieces - 1, *self.state.h.shape)),
            border_c=aligned_zeros((self._pieces - 1, *self.state.c.shape)),
        )

    def _new_packed(self) -> Packed:
        z, x = self.sizes, self._layout.slices
        back = z.layers if self.trains else 0
        return Packed(
            w_ih=aligned_zeros(((z.layers - 1) * x, z.padded * z.gates * z.units)),
            w_hh=aligned_zeros((z.layers * x, z.padded * z.gates * z.units)),
            out=aligned_zeros((1, z.padded * z.padded_vocabulary)),
            w_ih_t=aligned_zeros((max(0, back - 1) * x, z.gates * z.padded * z.units)),
            w_hh_t=aligned_zeros((back * x, z.gates * z.padded * z.units)),
            out_t=aligned_zeros((x, z.vocabulary * z.units if back else 0)),
        )

    def _new_work(self, z: Sizes) -> Workspace:
        x = self._layout.slices
        rows = x * z.capacity * z.streams if self.trains else 0
        dz, error = aligned_zeros((rows, z.gates * z.units)), aligned_zeros((rows, z.units))
        return Workspace(
            recurrent=aligned_zeros((x * z.streams, z.gates * z.units)),
            dz=dz,
            dz_h=aligned_zeros(dz.shape) if self._cell.separate else dz,
            error=error,
            kept=aligned_zeros(error.shape) if self.sublayer.residual else error,
            dy=error if self._plain else aligned_zeros(error.shape),
            dh=aligned_zeros(self.state.h.shape),
            dc=aligned_zeros(self.state.c.shape),
            h_runs=self._layout.unit_runs(z, 1),
            dz_runs=self._layout.unit_runs(z, z.gates),
            logit_runs=np.array([(0, 0, z.vocabulary)], np.int64),
            time_runs=self._layout.time_runs(z, z.capacity),
            loss_runs=self._layout.time_runs(z, z.loss_capacity),
        )

    def _run(self, kernel: Any, *arguments: Any, exchange: Exchange | None = None) -> None:
        run_together(kernel, arguments, self._layout.parts, self._pool, exchange)

    @property
    def longest_block(self) -> int:
        """Steps of the longest block that there is room for."""
        return self.sizes.capacity * self._pieces

    def reserve(self, block: int, memory: float = math.inf) -> None:
        """Makes room for blocks of this length, if there is none. The window is empty then, the state is kept.

        memory: bytes that there are for it; a block for which they are too few is made in pieces from now on.
        """
        if block > self.longest_block:
            self._divide_block(block, self._memory or memory)
            self.window, self.work = self._new_window(self.sizes), self._new_work(self.sizes)

    def train(self, plan: Plan, rule: OptimizerParams, lags: int = 0, exchange: Exchange | None = None) -> UpdateStats:
        """Makes the plan's updates; the gradient of the last one is left in `gradients`.

        lags: for how many steps back the errors' norms are reported. exchange: sums each gradient over the ranks.
        """
        updates, layers = len(plan.start), self.sizes.layers if lags else 0
        stats = UpdateStats(
            loss=np.zeros((updates, self.streams)),
            norm=np.zeros(updates),
            applied=np.zeros(updates, np.uint8),
            lags=np.zeros((updates, layers, 2, self._layout.slices, self.streams, lags)),
        )
        self._run(
            train,
            self._steps,
            self.sizes,
            self.sublayer,
            plan,
            self.parameters.weights,
            self.gradients.weights,
            self.packed,
            self.window,
            self.state,
            self.work,
            rule,
            stats,
            exchange=exchange,
        )
        return stats

    def score(self, characters: np.ndarray, resets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads characters (n + 1, S) int32 and resets (n, S) uint8, row i + 1 what row i should predict (-1: nothing).

        Returns losses in nats (n, S) float64 and whether the target was the most likely (n, S) uint8.
        """
        nats, correct = np.zeros(resets.shape), np.zeros(resets.shape, np.uint8)
        self._run(
            score,
            self._steps,
            self.sizes,
            self.sublayer,
            _reading_plan(characters, resets, self.sizes.capacity),
            self.parameters.weights,
            self.packed,
            self.window,
            self.state,
            self.work,
            nats,
            correct,
        )
        return nats, correct

    def draw(
        self,
        known: np.ndarray,
        n: int,
        position: int,
        first: int,
        period: int,
        separator: np.ndarray,
        how: DrawConfig,
        scored: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """n characters (n, S) int32 that follow the rows of `known` (m, S), the last of which is yet to be read.

        position: of that last character in the text; first: the number of the first draw; period, separator (ids): of
        resets. Also returns their losses in nats, (n, S) float64; (0, S) unless scored. Raises CharlmError where
        probabilities are not finite.
        """
        text = np.concatenate([known, np.zeros((n, self.streams))]).astype(np.int32)
        nats = np.zeros((n if scored else 0, self.streams))
        raw = aligned_zeros((self.streams, self.sizes.padded_vocabulary))
        self._run(
            draw,
            self._steps,
            self.sizes,
            self.sublayer,
            self.parameters.weights,
            self.packed,
            self.window,
            self.state,
            self.work,
            text,
            len(known),
            position,
            first,
            period,
            separator,
            float(how.temperature),
            how.top_k,
            float(how.top_p),
            how.seed,
            nats,
            raw,
        )
        if (text[len(known) :] < 0).any():
            raise CharlmError(_NOT_FINITE)
        return text[len(known) :], nats

    def step(self, characters: np.ndarray, resets: np.ndarray) -> np.ndarray:
        """Reads one character (S,) of each stream, after a reset where `resets` (S,) is 1; for networks of block 1.

        Returns the log-probabilities of what comes next, (S, V) float64 in nats. Raises CharlmError where they are not
        finite.
        """
        self.score(np.stack([characters, np.zeros(self.streams)]).astype(np.int32), resets[None].astype(np.uint8))
        masses = self.window.logits[: self.streams, : self.sizes.vocabulary].astype(np.float64)  # see softmax.loss
        if not np.isfinite(masses).all():
            raise CharlmError(_NOT_FINITE)
        with np.errstate(divide="ignore"):
            return np.log(masses) - np.log(masses.sum(1, keepdims=True))

    def choose_streams(self, chosen: np.ndarray) -> None:
        """Gives stream i the state that stream chosen[i] has."""
        state = self.state_dict(window=False)
        self.load_state_dict({name: values[:, chosen] for name, values in state.items()}, window=False)

    def gate_values(self) -> np.ndarray:
        """Return the sigmoid gates' values at one of the newest steps, (L, S, gates, H) in [0, 1].

        For a cell without such gates, (1 + h) / 2 if its activation is tanh, and no gates otherwise.
        """
        z, step = self.sizes, self._layout.rows(self.sizes.capacity)[0]
        chosen = self._cell.sigmoid_gates
        array, groups = (self.window.z, z.gates) if chosen else (self.window.h, 1)
        rows = [piece * z.capacity * z.streams + step for piece in range(self._layout.slices)]
        values = np.concatenate([array[:, row].reshape(z.layers, -1, groups, z.units) for row in rows], axis=3)
        values = values[..., : z.hidden]
        if chosen:
            return values[:, :, chosen]
        return (1 + values) / 2 if self.parameters.config.activation == "tanh" else values[:, :, :0]

    def clear_state(self) -> None:
        """Sets the carried state of every stream to zero."""
        for array in self.state:
            array[...] = 0

    def state_dict(self, window: bool = True) -> StateDict:
        """Return copies of the carried state and, if asked for, of the window's activations.

        Each array has its rows by layer or step and stream, whatever the threads: state_h (L, S, P), window_z
        (L, C, S, G P) and so on. The streams are the axis before the last.
        """
        return {name: self._layout.collect(array, steps, groups) for name, array, steps, groups in self._carried(window)}

    def load_state_dict(self, state: StateDict, window: bool = True) -> None:
        """Take over what `state_dict` returned for the same `window`. Raises LeafError."""
        for name, array, steps, groups in self._carried(window):
            now = self._layout.collect(array, steps, groups)
            self._layout.spread(take_array(state, name, now.shape, now.dtype), array, steps, groups)

    def _carried(self, window: bool) -> list[tuple[str, np.ndarray, int, int]]:
        """(name, array with rows in the axis before the last, steps or layers in it, groups: see Layout.collect)."""
        z, w = self.sizes, self.window
        found = [(f"state_{name}", array, z.layers, 1) for name, array in self.state._asdict().items()]
        if window:
            groups = {"z": z.gates, "extra": self._cell.extras, "h_in": 1, "h": 1, "passed": 1}
            found += [(f"window_{name}", getattr(w, name), z.capacity, n) for name, n in groups.items() if n]
            found += [(f"window_{name}", getattr(w, name)[:, None], z.capacity, 0) for name in ("x", "y", "reset")]
            if self.sublayer.layer_norm:
                found.append(("window_stats", w.stats, z.capacity, 0))
        return found

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


def _reading_plan(characters: np.ndarray, resets: np.ndarray, block: int) -> Plan:
    """A plan that only says what is read, in blocks of `block` steps."""
    starts = np.arange(0, len(resets), block)
    unused = np.zeros(len(starts))
    return Plan(
        ids=characters,
        resets=resets,
        gradient_scale=np.ones(len(resets), np.float32),
        first_step=0,
        epoch_base=0,
        origin=starts,
        start=starts,
        steps=np.minimum(block, len(resets) - starts),
        reach=starts,
        losses=starts,
        weight=unused,
        learning_rate=unused,
        number=starts,
    )


def _sublayer(config: ModelConfig, seed: int | None, first: int) -> Sublayer:
    dropout = 0.0 if seed is None else config.dropout
    units = aligned_zeros((1, padded(config.hidden)))
    units[0, : config.hidden] = 1.0
    return Sublayer(
        layer_norm=int(config.layer_norm),
        residual=int(config.residual),
        keep=int((1.0 - dropout) * 2**32),
        scale=1.0 / (1.0 - dropout),
        seed=seed or 0,
        first=first,
        units=units,
    )
