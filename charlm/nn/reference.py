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
from ..registry import CELLS

Arrays = dict[str, np.ndarray]
_STEP = 1e-30
_NORM_EPSILON = 1e-5


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
    """A text to read: x, y (T, S) int ids, y = -1 if a stream has ended; resets (T, S) bool, before the step."""

    x: np.ndarray
    y: np.ndarray
    resets: np.ndarray
    dropout_seed: int = 0
    first_position: int = 0
    evidence: Evidence | None = None


def _times(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return x @ weight.T over the last two axes; leading axes of either are kept side by side."""
    return x @ np.swapaxes(weight, -1, -2)


def _row(vector: np.ndarray) -> np.ndarray:
    """Return (..., n) as (..., 1, n), to be added to every stream."""
    return vector[..., None, :]


def cell_step(config: ModelConfig, zx: np.ndarray, zh: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple:
    """Return (h', c') from the input's and the state's parts of the gates, each (..., S, G*H), and the state (..., S, H)."""
    return CELLS[config.cell].reference(zx, zh, h, c, config.activation)


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


def pass_up(
    config: ModelConfig, p: Arrays, layer: int, h: np.ndarray, below: np.ndarray | None, mask: np.ndarray
) -> np.ndarray:
    """Return residual + dropout(norm(h)), which a layer hands up."""
    if config.layer_norm:
        mean = h.mean(-1, keepdims=True)
        variance = ((h - mean) ** 2).mean(-1, keepdims=True)
        h = (h - mean) / np.sqrt(variance + _NORM_EPSILON)
        h = h * _row(p[f"norm.weight_l{layer}"]) + _row(p[f"norm.bias_l{layer}"])
    if config.dropout > 0:
        h = h * mask / (1 - config.dropout)
    return h + below if config.residual and below is not None else h


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
    constant: Callable[[int], bool] = lambda t: False,
    gradient_scale: Callable[[int], float] = lambda t: 1.0,
) -> list[np.ndarray]:
    """Return the loss of each step, T arrays (..., S).

    constant(t): whether the cells' results at step t are held constant. gradient_scale(t): a factor on derivatives that
    pass from step t to t - 1; 0 cuts them.
    """
    steps, streams = sequence.x.shape
    state = [(np.zeros((streams, config.hidden)), np.zeros((streams, config.hidden))) for _ in range(config.layers)]
    out = []
    for t in range(steps):
        hold = (lambda a: a.real) if constant(t) else (lambda a: a)
        passed: np.ndarray | None = None
        for layer in range(config.layers):
            h, c = (a.real + gradient_scale(t) * (a - a.real) for a in state[layer])
            h, c = (np.where(sequence.resets[t][:, None], 0, a) for a in (h, c))
            w_ih = p[f"rnn.weight_ih_l{layer}"]
            zx = np.swapaxes(w_ih[..., sequence.x[t]], -1, -2) if passed is None else _times(passed, w_ih)
            zh = _times(h, p[f"rnn.weight_hh_l{layer}"]) + _row(p[f"rnn.bias_hh_l{layer}"])
            h, c = (hold(a) for a in cell_step(config, zx + _row(p[f"rnn.bias_ih_l{layer}"]), zh, h, c))
            state[layer] = (h, c)
            mask = keep_mask(
                sequence.dropout_seed, layer, sequence.first_position + t, streams, config.hidden, config.dropout
            )
            below = None if passed is None else hold(passed)
            passed = pass_up(config, p, layer, h, below, mask)
            if layer + 1 < config.layers:
                passed = hold(passed)
        assert passed is not None
        logits = _times(passed, p["out.weight"]) + _row(p["out.bias"])
        if sequence.evidence is not None:
            logits = logits + direct_logits(p, passed, sequence.evidence, t)
        out.append(log_loss(logits, sequence.y[t]))
    return out


def block_loss(config: ModelConfig, p: Arrays, sequence: Sequence, window: int, injected: int, weight: float) -> np.ndarray:
    """Return the truncated loss of the block that ends with the sequence: TBPTT's definition.

    It is weight * sum of the newest `injected` steps' losses, where all but the newest `window` cell steps are constants.
    """
    steps = len(sequence.x)
    each = losses(config, p, sequence, constant=lambda t: t < steps - window)
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
