"""One flat float32 buffer with named views, its initial values, and PyTorch's names and layouts for the same numbers."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..config.model import ModelConfig
from ..kernels.buffers import Weights
from ..kernels.direct import RATE
from ..kernels.elementary import cos_turns, log
from ..kernels.parallel import share
from ..kernels.table_sizes import BUCKETS, KINDS, SIZES
from ..registry import CELLS, NORMS
from ..tree import StateDict, take_array
from .arrays import aligned_zeros, padded, to_bfloat16
from .shapes import is_learned, pytorch_shapes
from .tables import ContextTables

_FIRST_GATE = 0.5  # of the tables' gates when they join; if all were 1, the tables would predict by themselves
# Gains for which no number is drawn. For those of layer norm one is, and not used: so runs keep their initial values.
_GAINS = ("norm.weight_ih", "norm.weight_hh", "norm.weight_c")
_NO_PROBABILITY = -1e30  # the bias of logits that only pad a row


class Parameters:
    """The weights of one network, or anything of the same shape such as their gradient.

    flat: (R, P) float32, padding included. weights: views of it in the kernels' layout (see kernels/buffers.py).
    matrices: how many rows at the front of flat belong to matrices, which weight decay applies to. tables: counts beside
    the network. halves: whether the matrices that products read have been rounded to bfloat16, of which a network reads half
    as many bytes.
    """

    def __init__(self, config: ModelConfig, vocabulary: int, tables: ContextTables | None = None) -> None:
        """tables: beside the network; without counts by default."""
        self.config, self.halves = config, False
        self.tables = ContextTables(config, vocabulary) if tables is None else tables
        self.vocabulary = vocabulary
        cell = CELLS[config.cell]
        self.gates = len(cell.gates)
        p, layers, wide = padded(config.hidden), config.layers, self.gates * padded(config.hidden)
        norm, gates = NORMS[config.norm], 2 * len(config.direct_lengths)
        norms = layers if norm.between or norm.normalises_memory(cell) else 0
        shapes = {
            "embed": (vocabulary, wide),
            "w_ih": (layers - 1, p, wide),
            "w_hh": (layers, p if cell.recurrence in ("matrix", "product") else 0, cell.step_gates * p),
            "w_mh": (layers, p if cell.recurrence == "product" else 0, p),
            "out": (padded(vocabulary) + gates if gates else vocabulary, p),
            "b_ih": (layers, wide),
            "b_hh": (layers, wide),
            "running": (layers if norm.of_blocks else 0, 2, wide),
            "gain_ih": (layers if norm.sums else 0, wide),
            "gain_hh": (layers if norm.normalises_state(cell) else 0, wide),
            "u": (layers if cell.recurrence == "vector" else 0, wide),
            "gain": (norms, p),
            "shift": (norms, p),
            "direct_b": (1, padded(len(config.direct_lengths) * BUCKETS)),
            "out_b": (1, padded(vocabulary) + padded(gates)),
        }
        sizes = [math.prod(shape) for shape in shapes.values()]
        ends = np.cumsum(sizes).tolist()
        self.matrices = ends[list(shapes).index("out")] // p
        self.flat = aligned_zeros((-(-ends[-1] // p), p))
        numbers = self.flat.reshape(-1)
        pieces = zip(shapes.items(), sizes, ends, strict=True)
        views: dict[str, Any] = {name: numbers[end - size : end].reshape(shape) for (name, shape), size, end in pieces}
        self.weights = Weights(**views)

    def rows_of(self, rank: int, ranks: int) -> np.ndarray:
        """Return the rows of flat whose gradients thread `rank` of `ranks` sums, as (n, 2) int64 stretches.

        They are a share of each matrix's rows and each bias's gates; what is small and left over is the last thread's.
        Running averages are nobody's.
        """
        found, at, p = [], 0, self.flat.shape[1]
        for name, view in zip(Weights._fields, self.weights, strict=True):
            if name == "running":
                break
            for _ in range(view.shape[0] * (view.size > 0) if view.ndim == 3 or name.startswith("b_") else 1):
                size = view[0].size if view.ndim == 3 or name.startswith("b_") else view.size
                units = self.gates if name.startswith("b_") else view.shape[-2]
                lo, hi = share(units, rank, ranks)
                found.append((at + lo * (size // units) // p, at + hi * (size // units) // p))
                at += size // p
        if rank == ranks - 1:
            found.append((at + self.weights.running.size // p, len(self.flat)))
        return np.array(found, np.int64)

    def by_layer(self) -> list[list[np.ndarray]]:
        """Return the stretches (n,) of flat that a backward pass completes the gradients of, layer by layer from the top.

        A layer's stretches are its matrices; the output's belong to the top layer. Biases and norms come with the lowest.
        """
        w, top = self.weights, self.config.layers - 1
        found = [[w.w_hh[layer], w.w_mh[layer], w.w_ih[layer - 1] if layer else w.embed] for layer in range(top, -1, -1)]
        found[0].append(w.out)
        found[-1].append(self.flat[self.matrices :])
        return [[array.reshape(-1) for array in arrays] for arrays in found]

    def connect(self) -> None:
        """Open the gates of the tables, which are 0 at first, so that the network begins to learn with the tables."""
        self.weights.direct_b[0, : len(self.config.direct_lengths) * SIZES * KINDS] = _FIRST_GATE / RATE

    def rounded(self) -> "Parameters":
        """Return a copy for reading whose matrices, but for that of the characters, are rounded to bfloat16."""
        copy = self.like()
        copy.flat[...], copy.halves = self.flat, True
        for matrix in (copy.weights.w_ih, copy.weights.w_hh, copy.weights.w_mh, copy.weights.out):
            matrix[...] = to_bfloat16(matrix)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        """Send only the numbers to another process, which makes the views anew."""
        return _revived, (self.config, self.vocabulary, self.flat, self.tables, self.halves)

    def like(self) -> "Parameters":
        """Return zeros of the same shape, for a gradient."""
        return Parameters(self.config, self.vocabulary, self.tables)

    @property
    def count(self) -> int:
        """The number of parameters, without padding and without running averages."""
        return sum(view.size for _, view in self.learned_views())

    def learned_views(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield named_views but for the running averages, which are measured and not learned."""
        return ((name, view) for name, view in self.named_views() if is_learned(name))

    def named_views(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield PyTorch's names with views of the real numbers (no padding), in the kernels' order of axes.

        Matrices that feed gates: (in, G, H); biases of gates: (G, H); the rest as in PyTorch.
        """
        w, h, v, p = self.weights, self.config.hidden, self.vocabulary, padded(self.config.hidden)
        for layer in range(self.config.layers):
            source = w.embed if layer == 0 else w.w_ih[layer - 1][:h]
            yield f"rnn.weight_ih_l{layer}", source.reshape(-1, self.gates, p)[:, :, :h]
            if len(w.w_hh[layer]):
                yield f"rnn.weight_hh_l{layer}", w.w_hh[layer].reshape(p, -1, p)[:h, :, :h]
            if len(w.w_mh[layer]):
                yield f"rnn.weight_mh_l{layer}", w.w_mh[layer].reshape(p, 1, p)[:h, :, :h]
            if len(w.u):
                yield f"rnn.recurrent_l{layer}", w.u[layer].reshape(self.gates, p)[:, :h]
            yield f"rnn.bias_ih_l{layer}", w.b_ih[layer].reshape(self.gates, p)[:, :h]
            yield f"rnn.bias_hh_l{layer}", w.b_hh[layer].reshape(self.gates, p)[:, :h]
            if len(w.gain):
                kind = "_c" if len(w.gain_ih) else ""
                yield f"norm.weight{kind}_l{layer}", w.gain[layer, :h]
                yield f"norm.bias{kind}_l{layer}", w.shift[layer, :h]
            for name, gains in (("ih", w.gain_ih), ("hh", w.gain_hh)):
                if len(gains):
                    normed = self.gates if name == "ih" and len(w.running) else CELLS[self.config.cell].step_gates
                    yield f"norm.weight_{name}_l{layer}", gains[layer].reshape(self.gates, p)[:normed, :h]
            if len(w.running):
                for i, name in enumerate(("mean", "var")):
                    yield f"norm.running_{name}_l{layer}", w.running[layer, i].reshape(self.gates, p)[:, :h]
        yield "out.weight", w.out[:v, :h]
        yield "out.bias", w.out_b[0, :v]
        if self.config.direct_lengths:
            yield "direct.weight", w.out[padded(v) :, :h]
            yield "direct.bias", w.direct_b[0, : len(self.config.direct_lengths) * BUCKETS]

    def state_dict(self) -> StateDict:
        """Return copies under PyTorch's names and in its layouts, such as rnn.weight_hh_l0 (G*H, H)."""
        return {name: _to_pytorch(name, view) for name, view in self.named_views()}

    def load_state_dict(self, state: StateDict) -> None:
        """Take over what `state_dict` returned. Raises LeafError."""
        shapes = pytorch_shapes(self.config, self.vocabulary)
        for name, view in self.named_views():
            found = take_array(state, name, shapes[name])
            view[...] = found.T.reshape(view.shape) if name.startswith("rnn.weight") else found.reshape(view.shape)
        self.weights.out_b[0, self.vocabulary : padded(self.vocabulary)] = _NO_PROBABILITY

    def initialise(self, seed: int) -> None:
        """Draw initial values: uniform in +-1/sqrt(H) as PyTorch does, standard normal / 2 for characters.

        A unit's weight of its own state: uniform in [0, 1], as by Li et al. 2018. Biases are 0, except that of the gate that
        keeps the state: the configuration's forget_bias, else the cell's.
        """
        random = np.random.Generator(np.random.PCG64(seed))
        bound = 1 / math.sqrt(self.config.hidden)
        for name, view in self.named_views():
            if name == "rnn.weight_ih_l0":
                view[...] = 0.5 * _normal(random, view.shape)
            elif name == "out.weight" or "weight_" in name and not name.startswith(_GAINS):
                view[...] = 2 * bound * (random.random(view.shape) - 0.5)
            elif name.startswith("rnn.recurrent"):
                view[...] = random.random(view.shape)
            else:
                view[...] = 0.0
        for name, view in self.named_views():
            if name.startswith(("norm.weight", "norm.running_var")):
                view[...] = 1.0
        cell = CELLS[self.config.cell]
        if cell.keep_gate is not None:
            p, bias = padded(self.config.hidden), self.config.forget_bias
            kept = self.weights.b_ih.reshape(-1, self.gates, p)[:, cell.keep_gate, : self.config.hidden]
            kept[...] = cell.keep_bias if bias is None else bias
        self.weights.out_b[0, self.vocabulary : padded(self.vocabulary)] = _NO_PROBABILITY


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw standard normal numbers by Box & Muller's (1958) formula; NumPy's own depend on the C library's logarithm."""
    radius, turns = random.random((2, *shape))
    return np.sqrt(-2.0 * log(1.0 - radius)) * cos_turns(turns)


def _revived(config: ModelConfig, vocabulary: int, flat: np.ndarray, tables: ContextTables, halves: bool) -> Parameters:
    parameters = Parameters(config, vocabulary, tables)
    parameters.flat[...], parameters.halves = flat, halves
    return parameters


def _to_pytorch(name: str, view: np.ndarray) -> np.ndarray:
    if name.startswith("rnn.weight"):
        return np.ascontiguousarray(view.reshape(view.shape[0], -1).T)
    return view.reshape(-1).copy() if "bias" in name or name.startswith(("norm", "rnn.recurrent")) else view.copy()
