"""What kernels are handed: named groups of arrays, and the letters their shapes are written in.

S streams, T steps, H hidden units, P = H padded to a multiple of PAD, V vocabulary, VP = V padded likewise, L layers,
G gates per unit, E rows of P that a cell stores beside its gates, C steps that the window's ring holds. Arrays with one
row per step and stream are 2-D: row = slot * S + stream, slot = step % C. All are C-contiguous and aligned to 64 bytes;
what lies in the padding is zero and stays zero (in out_b: -1e30, so that a padded logit has no probability).
"""

from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """The letters above, as int64."""

    streams: int
    hidden: int
    padded: int
    vocabulary: int
    padded_vocabulary: int
    layers: int
    gates: int
    capacity: int  # C
    loss_capacity: int  # steps that the logits' ring holds


class Weights(NamedTuple):
    """Parameters, or their gradients, as views of one flat float32 buffer: matrices first, then vectors."""

    embed: np.ndarray  # (V, G P)        what a character adds to the gates of layer 0
    w_ih: np.ndarray  # (L - 1, P, G P)  from the layer below, layers 1 and up
    w_hh: np.ndarray  # (L, P, G P)      from the layer's own state
    out: np.ndarray  # (V, P)
    b_ih: np.ndarray  # (L, G P)
    b_hh: np.ndarray  # (L, G P)
    out_b: np.ndarray  # (1, VP)
    gain: np.ndarray  # (L, P)           layer norm; (0, P) without it
    shift: np.ndarray  # (L, P)


class Packed(NamedTuple):
    """Weight matrices in panels for `product`; each row one matrix."""

    w_ih: np.ndarray  # (L - 1, P G P)
    w_hh: np.ndarray  # (L, P G P)
    out: np.ndarray  # (1, P VP)
    w_ih_t: np.ndarray  # transposed, for the way back; (0, .) where nothing is trained
    w_hh_t: np.ndarray
    out_t: np.ndarray


class Window(NamedTuple):
    """The activations of the last C steps: a ring that moves over the corpus, nothing in it is computed twice."""

    x: np.ndarray  # (C S,) int32    characters read
    y: np.ndarray  # (C S,) int32    targets; -1 where a stream has ended
    reset: np.ndarray  # (C S,) uint8    1 where the state was set to zero before this step
    z: np.ndarray  # (L, C S, G P)      gates
    extra: np.ndarray  # (L, C S, E P)
    h_in: np.ndarray  # (L, C S, P)     state that entered the step
    h: np.ndarray  # (L, C S, P)        state that left it
    passed: np.ndarray  # (L, C S, P)   what the layer hands up; h itself where nothing is done to it
    stats: np.ndarray  # (L, C S, 2)    layer norm's mean and 1 / deviation; (0, ., .) without it
    logits: np.ndarray  # (loss capacity * S, VP); the errors take their place


class State(NamedTuple):
    """What the next step starts from."""

    h: np.ndarray  # (L, S, P)
    c: np.ndarray  # (L, S, P)


class Work(NamedTuple):
    """Scratch memory, one set for all layers."""

    recurrent: np.ndarray  # (S, G P)  the state's part of the gates at one step
    dz: np.ndarray  # (C S, G P)       error of the gates, as the layer below sees it
    dz_h: np.ndarray  # (C S, G P)     the same as the state sees it; dz itself where they are equal
    error: np.ndarray  # (C S, P)      error of what a layer passed up
    kept: np.ndarray  # (C S, P)       the same after dropout; may be error itself unless there is a residual
    dy: np.ndarray  # (C S, P)         error of a layer's h; error itself where nothing lies between
    dh: np.ndarray  # (S, P)
    dc: np.ndarray  # (S, P)


class Passing(NamedTuple):
    """What happens to a layer's output on its way up: layer norm, dropout, residual."""

    layer_norm: int  # 0 or 1
    residual: int  # 0 or 1
    keep: int  # dropout keeps a unit whose 32-bit hash is below this; 2**32 keeps all
    scale: float  # 1 / (1 - dropout)
    seed: int  # uint64, of the dropout masks
    units: np.ndarray  # (1, P) float32, 1 for a real unit, 0 for padding


class Plan(NamedTuple):
    """What to do: a stretch of characters and one row per update. Every truncation method is only other numbers here."""

    ids: np.ndarray  # (n + 1, S) int32   characters of n steps and the last one's targets (-1: none)
    resets: np.ndarray  # (n, S) uint8
    first_step: int  # epoch step of ids[0]
    epoch_base: int  # steps made before this epoch: with the epoch step, a row's position for dropout
    start: np.ndarray  # (U,) int64   epoch step at which the update's block begins
    steps: np.ndarray  # (U,) int64   its length
    window: np.ndarray  # (U,) int64  steps that errors may reach back from the block's end
    losses: np.ndarray  # (U,) int64  newest steps whose losses are injected
    weight: np.ndarray  # (U,) float64  what each of those losses counts
    learning_rate: np.ndarray  # (U,) float64
    number: np.ndarray  # (U,) int64  the update's number, from 1


class Rule(NamedTuple):
    """The optimizer: which rule, its constants, its memory."""

    kind: int  # see update.py
    momentum: float
    nesterov: int
    beta1: float
    beta2: float
    epsilon: float
    decay: float  # weight decay, on matrices only
    clip: float  # largest global norm of the gradient; 0: no clipping
    matrices: int  # numbers in the flat buffer that belong to matrices
    parameters: np.ndarray  # (1, N) the flat buffer
    gradients: np.ndarray  # (1, N)
    slots: np.ndarray  # (n, N) the rule's running averages
    partial: np.ndarray  # (parts,) float64, sums of squares of fixed pieces


class Reports(NamedTuple):
    """What a plan's updates came to."""

    nats: np.ndarray  # (U, S) float64  summed loss of each stream's new characters
    norm: np.ndarray  # (U,) float64    global norm of the gradient before clipping
    applied: np.ndarray  # (U,) uint8   0 where a non-finite gradient was not applied
