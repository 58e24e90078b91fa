"""The mathematics in plain float64 NumPy, forward only: the specification to read, and the oracle of the tests.

Gradients come from the complex step, f' = Im f(x + i 1e-30) / 1e-30, exact to rounding since nothing is subtracted
(Squire & Trapp 1998). "The state is held constant" is taking `.real`. So no formula here was derived by hand, and none
can share a mistake with a kernel. Parameters go by PyTorch's names and layouts. Letters as in kernels/buffers.py.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..config.model import ModelConfig
from ..kernels.direct import DISCOUNT, RATE
from ..registry import CELLS, NORMS
from .norms.batch import block_normed, normed_by
from .norms.cell import gates_normed
from .norms.spec import normalised

Arrays = dict[str, np.ndarray]
_STEP = 1e-30


@dataclass(frozen=True)
class Evidence:
    """Evidence of the tables at each step: see kernels/direct.py.

    value: (T, S, K, V), x_k(v). bucket: (T, S, 2 K) int, places of the gates' biases in direct.bias; -1 for a gate that has
    no part. last: (T, S, K) int, the character that came last after the order's context.
    """

    value: np.ndarray
    bucket: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class Sequence:
    """A text to read: x, y (T, S) int ids, y = -1 if a stream has ended; resets (T, S) bool, before the step.

    block: steps of the blocks whose own statistics batch norm takes, the last one perhaps shorter; 0: running averages.
    """

    x: np.ndarray
    y: np.ndarray
    resets: np.ndarray
    dropout_seed: int = 0
    first_position: int = 0
    evidence: Evidence | None = None
    block: int = 0


def _times(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return x @ weight.T over the last two axes; leading axes of either are kept side by side."""
    return x @ np.swapaxes(weight, -1, -2)


def _row(vector: np.ndarray) -> np.ndarray:
    """Return (..., n) as (..., 1, n), to be added to every stream."""
    return vector[..., None, :]


def state_part(config: ModelConfig, p: Arrays, layer: int, zx: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both parts of the gates that a step sees, the state's without biases, from the input's and the state."""
    kind = CELLS[config.cell].recurrence
    if kind == "vector":
        return zx, h * _row(p[f"rnn.recurrent_l{layer}"])
    if kind == "none":
        return zx, np.zeros(1)
    if kind == "product":
        zx, factor = zx[..., : -config.hidden], zx[..., -config.hidden :]
        if NORMS[config.norm].sums != "units":
            factor = factor + sum(_row(p[f"rnn.bias_{side}_l{layer}"][..., -config.hidden :]) for side in ("ih", "hh"))
        h = factor * _times(h, p[f"rnn.weight_mh_l{layer}"])
    return zx, _times(h, p[f"rnn.weight_hh_l{layer}"])


def cell_step(
    config: ModelConfig, p: Arrays, layer: int, zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple:
    """Return (h', c') from the parts of the gates without biases, each (..., S, G*H), and the state (..., S, H).

    zx: the input's part, after the norm if a block is normalised. Norms of a step are taken here.
    """
    cell, shown = CELLS[config.cell], {}
    b_ih, b_hh = (_row(p[f"rnn.bias_{side}_l{layer}"][..., : cell.step_gates * config.hidden]) for side in ("ih", "hh"))
    norm = NORMS[config.norm]
    if norm.normalises_state(cell):
        zh = gates_normed(config.hidden, zh, _row(p[f"norm.weight_hh_l{layer}"]))
    elif norm.sums == "units":
        zx, zh = zx + zh, np.zeros(1)
    if norm.sums == "units":
        zx = gates_normed(config.hidden, zx, _row(p[f"norm.weight_ih_l{layer}"]))
    if norm.normalises_memory(cell):
        gain, shift = _row(p[f"norm.weight_c_l{layer}"]), _row(p[f"norm.bias_c_l{layer}"])
        shown = {"shown": lambda c: normalised(c, (-1,)) * gain + shift}
    return cell.reference(zx + b_ih, zh + b_hh, h, c, config.activation, **shown)


def keep_mask(seed: int, layer: int, step: int, streams: int, hidden: int, dropout: float) -> np.ndarray:
    """Return the dropout mask (S, H) of one step: 1 where a hash of seed, layer, step, stream, unit is small."""
    u64, u32 = np.uint64, np.uint32
    with np.errstate(over="ignore"):
        base = u64(seed) + u64(step) * u64(0x9E3779B97F4A7C15) + u64(layer) * u64(0x8CB92BA72F3D8DD7)
        bits = base + np.arange(streams, dtype=u64) * u64(0xD1B54A32D192ED03)
        bits = (bits ^ (bits >> u64(30))) * u64(0xBF58476D1CE4E5B9)
        bits = (bits ^ (bits >> u64(27))) * u64(0x94D049BB133111EB)
        key = ((bits ^ (bits >> u64(31))) & u64(0xFFFFFFFF)).astype(u32)[:, None]
        unit = _mix(_mix(np.arange(hidden, dtype=u32) * u32(0x9E3779B9) + key) ^ key)
    return (unit.astype(np.float64) < int((1 - dropout) * 2**32)).astype(np.float64)


def _mix(bits: np.ndarray) -> np.ndarray:
    u32 = np.uint32
    bits = (bits ^ (bits >> u32(16))) * u32(0x85EBCA6B)
    bits = (bits ^ (bits >> u32(13))) * u32(0xC2B2AE35)
    return bits ^ (bits >> u32(16))


def pass_up(config: ModelConfig, p: Arrays, layer: int, h: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return dropout(norm(h)), which a layer hands up; with residual connections, added to what the layer below did."""
    if NORMS[config.norm].between:
        h = normalised(h, (-1,)) * _row(p[f"norm.weight_l{layer}"]) + _row(p[f"norm.bias_l{layer}"])
    if config.dropout > 0:
        h = h * mask / (1 - config.dropout)
    return h


def log_loss(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return -log softmax(logits)[target] in nats, (..., S); 0 if the target is -1."""
    shifted = logits - logits.real.max(-1, keepdims=True)
    chosen = np.take_along_axis(shifted, np.broadcast_to(np.maximum(targets, 0)[:, None], (*shifted.shape[:-1], 1)), -1)
    return np.where(targets < 0, 0, np.log(np.exp(shifted).sum(-1)) - chosen[..., 0])


def order_evidence(counts: np.ndarray, chances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return x_k (V,) and p_k (V,) by absolute discounting, from counts (V,) after a context and p_{k-1} (V,)."""
    total, distinct = counts.sum(), (counts > 0).sum()
    if total == 0:
        return np.zeros(len(counts)), chances
    backed_off = DISCOUNT * distinct / total * chances
    sharper = np.maximum(counts - DISCOUNT, 0) / total + backed_off
    return np.log(sharper / backed_off), sharper


def direct_logits(p: Arrays, passed: np.ndarray, evidence: Evidence, t: int) -> np.ndarray:
    """Return what the tables add to the logits of step t, (..., S, V): evidence by order, times its gate."""
    value, bucket, last = evidence.value[t], evidence.bucket[t], evidence.last[t]
    orders, vocabulary = value.shape[-2:]
    biases = np.where(bucket >= 0, p["direct.bias"][..., bucket], 0)
    gates = np.where(bucket >= 0, RATE * (_times(passed, p["direct.weight"]) + biases), 0)
    came_last = last[..., None] == np.arange(vocabulary)
    return (gates[..., :orders, None] * value + gates[..., orders:, None] * came_last).sum(-2)


def losses(
    config: ModelConfig,
    p: Arrays,
    sequence: Sequence,
    constant: Callable[[int, int], bool] = lambda t, layer: False,
    gradient_scale: Callable[[int], float] = lambda t: 1.0,
) -> list[np.ndarray]:
    """Return the loss of each step, T arrays (..., S).

    constant(t, layer): whether what the layer makes at step t is held constant. gradient_scale(t): a factor on derivatives
    that pass from step t to t - 1; 0 cuts them. The statistics of all blocks but the last are constants.
    """
    return _Network(config, p, sequence, constant, gradient_scale).losses()


@dataclass
class _Network:
    """A network that reads a sequence, block by block and in each block layer by layer: see `losses`."""

    config: ModelConfig
    p: Arrays
    sequence: Sequence
    constant: Callable[[int, int], bool]
    gradient_scale: Callable[[int], float]

    def losses(self) -> list[np.ndarray]:
        """Return the loss of each step."""
        steps, streams = self.sequence.x.shape
        zeros, length = np.zeros((streams, self.config.hidden)), self.sequence.block or steps
        self.since = _since_reset(self.sequence.resets)
        self.state = [(zeros, zeros) for _ in range(self.config.layers)]
        out: list[np.ndarray] = []
        for first in range(0, steps, length):
            block = range(first, min(first + length, steps))
            passed: list[np.ndarray] = []
            for layer in range(self.config.layers):
                passed = self._layer(layer, block, passed)
            out += [self._loss(t, top) for t, top in zip(block, passed, strict=True)]
        return out

    def _loss(self, t: int, top: np.ndarray) -> np.ndarray:
        logits = _times(top, self.p["out.weight"]) + _row(self.p["out.bias"])
        if self.sequence.evidence is not None:
            logits = logits + direct_logits(self.p, top, self.sequence.evidence, t)
        return log_loss(logits, self.sequence.y[t])

    def _input_parts(self, layer: int, block: range, below: list[np.ndarray]) -> list[np.ndarray]:
        """Return the input's parts of a layer's gates, without biases, (..., S, G*H) for each step of a block."""
        weight, y = self.p[f"rnn.weight_ih_l{layer}"], self.sequence.y
        if layer == 0:
            zx = [np.swapaxes(weight[..., self.sequence.x[t]], -1, -2) for t in block]
        else:
            zx = [_times(x, weight) for x in below]
        zx = [self._held(t, layer, x) for t, x in zip(block, zx, strict=True)]
        if NORMS[self.config.norm].of_blocks:
            newest = block.stop == len(y)
            strikes = self.since[block.start : block.stop] % self.config.layer_clocks[layer] == 0
            alive = strikes & (y[block.start : block.stop] >= 0)
            gain = _row(self.p[f"norm.weight_ih_l{layer}"])
            if self.sequence.block == 0:
                mean, variance = (_row(self.p[f"norm.running_{name}_l{layer}"]) for name in ("mean", "var"))
                return [normed_by(x, mean, variance) * gain for x in zx]
            zx = [x * gain for x in block_normed(zx, alive, newest)]
        return zx

    def _layer(self, layer: int, block: range, below: list[np.ndarray]) -> list[np.ndarray]:
        """Run a layer over a block, from and to its state; return what it passes up, (..., S, H) for each step."""
        config, sequence, passed = self.config, self.sequence, []
        for i, (t, zx) in enumerate(zip(block, self._input_parts(layer, block, below), strict=True)):
            h, c = (a.real + self.gradient_scale(t) * (a - a.real) for a in self.state[layer])
            h, c = (np.where(sequence.resets[t][:, None], 0, a) for a in (h, c))
            zx, zh = state_part(config, self.p, layer, zx, h)
            waited = self.since[t] % config.layer_clocks[layer]
            after = cell_step(config, self.p, layer, zx, zh, h, c)
            pairs = zip(after, (h, c), strict=True)
            h, c = (self._held(t, layer, np.where(waited[:, None] == 0, new, old)) for new, old in pairs)
            self.state[layer] = (h, c)
            found = self._held_up(t, layer, pass_up(config, self.p, layer, h, self._mask(t, layer, waited)))
            passed.append(found + below[i] if config.residual and below else found)
        return passed

    def _mask(self, t: int, layer: int, waited: np.ndarray) -> np.ndarray:
        """Return the dropout mask (S, H) of what a layer hands up at step t, where its streams wait since so many steps."""
        config, sequence = self.config, self.sequence
        seed, position, streams = sequence.dropout_seed, sequence.first_position + t, len(waited)
        masks = {
            w: keep_mask(seed, layer, position - w, streams, config.hidden, config.dropout) for w in set(waited.tolist())
        }
        return np.stack([masks[w][s] for s, w in enumerate(waited.tolist())])

    def _held_up(self, t: int, layer: int, found: np.ndarray) -> np.ndarray:
        """Return what a layer hands up; never a constant in the top layer, since the output layer learns from all losses."""
        return self._held(t, layer, found) if layer + 1 < self.config.layers else found

    def _held(self, t: int, layer: int, found: np.ndarray) -> np.ndarray:
        """Return what a layer found at step t, as a constant if it shall be one."""
        return found.real if self.constant(t, layer) else found


def _since_reset(resets: np.ndarray) -> np.ndarray:
    """Return how many characters each stream has read since its last reset or its beginning, (T, S) int."""
    found = np.zeros(resets.shape, int)
    for t in range(1, len(resets)):
        found[t] = np.where(resets[t], 0, found[t - 1] + 1)
    return found


def block_loss(config: ModelConfig, p: Arrays, sequence: Sequence, window: int, injected: int, weight: float) -> np.ndarray:
    """Return the truncated loss of the block that ends with the sequence: TBPTT's definition.

    It is weight * sum of the newest `injected` steps' losses, where all but the newest `window` cell steps of a layer are
    constants; those of a layer of clock n last n characters.
    """
    steps = len(sequence.x)
    clocks = config.layer_clocks
    each = losses(config, p, sequence, constant=lambda t, layer: t < steps - window * clocks[layer])
    return weight * sum(loss.sum(-1) for loss in each[steps - injected :])


def gradient(p: Arrays, loss: Callable[[Arrays], np.ndarray], batch: int = 256) -> Arrays:
    """Return d loss / d p for every number in p by the complex step; `loss` must accept arrays with a leading axis.

    A loss may be several numbers, (n, ...) for n leading; each gradient then has their axes after those of its array.
    """
    names, sizes = list(p), [p[name].size for name in p]
    total, slopes = sum(sizes), []
    for first in range(0, total, batch):
        n = min(batch, total - first)
        shift = np.zeros((n, total), complex)
        shift[np.arange(n), first + np.arange(n)] = 1j * _STEP
        parts = np.split(shift, np.cumsum(sizes)[:-1], axis=1)
        moved = {name: p[name] + part.reshape(n, *p[name].shape) for name, part in zip(names, parts, strict=True)}
        slopes.append(loss(moved).imag / _STEP)
    flat = np.concatenate(slopes)
    pieces = np.split(flat, np.cumsum(sizes)[:-1])
    return {name: piece.reshape(p[name].shape + flat.shape[1:]) for name, piece in zip(names, pieces, strict=True)}
