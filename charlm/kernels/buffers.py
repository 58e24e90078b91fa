"""Named groups of arrays that kernels are handed, and the letters their shapes are written in.

S streams, T steps, H hidden units, P = H padded to a multiple of PAD, V vocabulary, VP = V padded likewise, L layers,
G gates per unit, E rows of P that a cell stores beside its gates, C steps that the window's ring holds, a step's slot
being step % C. X slices that the units are divided into, U = P / X units in each. K lengths of contexts in the tables, 0
without tables, N the longest. All arrays are C-contiguous and aligned to 64 bytes; what lies in the padding is zero and
stays zero (in out_b: -1e30, so that a padded logit has no probability).

An array with a row for each step and stream holds them as its threads do (see parallel.py): the rows of the first
thread's streams [0, n) by time, row = slot * n + stream, then those of the next; one slice after the other.
"""

from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """The letters above, as int64."""

    streams: int
    hidden: int
    padded: int
    units: int  # U
    vocabulary: int
    padded_vocabulary: int
    outputs: int  # O, the width of a row of logits: VP, and behind them the gates of the tables, 2 K padded
    layers: int
    gates: int
    capacity: int  # C
    loss_capacity: int  # steps that the logits' ring holds


class CellSteps(NamedTuple):
    """A cell, as kernels see it. The steps are addresses of compiled functions, see steps.py."""

    separate: int  # 1 if the cell sees the state's part of the gates on its own, with an error of its own; else 0
    forward: int
    backward: int


class Weights(NamedTuple):
    """Parameters, or their gradients, as views of one float32 buffer (R, P): matrices first, then vectors."""

    embed: np.ndarray  # (V, G P)        what a character adds to the gates of layer 0
    w_ih: np.ndarray  # (L - 1, P, G P)  from the layer below, layers 1 and up
    w_hh: np.ndarray  # (L, P, G P)      from the layer's own state
    out: np.ndarray  # (V, P); with tables (VP + 2 K, P), the gates from row VP on
    b_ih: np.ndarray  # (L, G P)
    b_hh: np.ndarray  # (L, G P)
    gain: np.ndarray  # (L, P)           layer norm; (0, P) without it
    shift: np.ndarray  # (L, P)
    direct_b: np.ndarray  # (1, B)       biases of the tables' gates, by bucket: see direct.py; (1, 0) without them
    out_b: np.ndarray  # (1, O)          the last rows of P, as many as it takes


class Packed(NamedTuple):
    """Weight matrices in panels for `product`; each row the part of a matrix that belongs to one slice."""

    w_ih: np.ndarray  # ((L - 1) X, P G U)
    w_hh: np.ndarray  # (L X, P G U)
    out: np.ndarray  # (1, P O)
    w_ih_t: np.ndarray  # ((L - 1) X, G P U)  transposed, for the way back; (0, .) where nothing is trained
    w_hh_t: np.ndarray  # (L X, G P U)
    out_t: np.ndarray  # (X, rows of out * U)


class Window(NamedTuple):
    """The activations of the last C steps: a ring that moves over the corpus, nothing in it is computed twice."""

    x: np.ndarray  # (X C S,) int32    characters read
    y: np.ndarray  # (X C S,) int32    targets; -1 where a stream has ended
    reset: np.ndarray  # (X C S,) uint8    1 where the state was set to zero before this step
    context: np.ndarray  # (X C S, K) uint64  hashes of the contexts that end with the character read
    section: np.ndarray  # (X C S,) uint64  key of the section of the training text whose counts are left out: see Tables
    gradient_scale: np.ndarray  # (C,) float32       factor on errors that pass from this step to the one before it
    z: np.ndarray  # (L, X C S, G U)      gates
    extra: np.ndarray  # (L, X C S, E U)
    h_in: np.ndarray  # (L, X C S, U)     state that entered the step
    h: np.ndarray  # (L, X C S, U)        state that left it
    passed: np.ndarray  # (L, X C S, U)   what the layer hands up; h itself where nothing is done to it
    stats: np.ndarray  # (L, C S, 2)      layer norm's mean and 1 / deviation; (0, ., .) without it
    logits: np.ndarray  # (loss capacity * S, O)  the errors take their place
    bucket: np.ndarray  # (loss capacity * S, 2 K) int16  of each gate's bias; -1 where a gate has no part
    loss: np.ndarray  # (C S,) float64    loss of the step's target
    border_h: np.ndarray  # (B, X L S, U)  states at the borders of a block's pieces, B + 1 of which are the longest block
    border_c: np.ndarray  # (B, X L S, U)
    border_context: np.ndarray  # (B, X S, N) uint64


class State(NamedTuple):
    """The state that the next step starts from."""

    h: np.ndarray  # (X L S, U)  a thread's streams, layer by layer; one slice after the other
    c: np.ndarray  # (X L S, U)
    context: np.ndarray  # (X S, N) uint64  hashes of the last 1 .. N characters read before


class Workspace(NamedTuple):
    """Scratch memory, one set for all layers, and where products find what they add up.

    Runs are rows (in a, in b, length), int64: see matmul.py. Those of `product` collect a row from its slices; those of
    `accumulate` are rows of steps and streams, all streams of slot 0 first, then those of slot 1.
    """

    recurrent: np.ndarray  # (X S, G U)  the state's part of the gates at one step
    dz: np.ndarray  # (X C S, G U)       error of the gates, as the layer below sees it
    dz_h: np.ndarray  # (X C S, G U)     the same as the state sees it; dz itself where they are equal
    error: np.ndarray  # (X C S, U)      error of what a layer passed up
    kept: np.ndarray  # (X C S, U)       the same after dropout; may be error itself unless there is a residual
    dy: np.ndarray  # (X C S, U)         error of a layer's h; error itself where nothing lies between
    dh: np.ndarray  # (X L S, U)         error of the state, laid out as State
    dc: np.ndarray  # (X L S, U)
    h_runs: np.ndarray  # (X, 3)         a row of h
    dz_runs: np.ndarray  # (G X, 3)      a row of dz, gate by gate
    logit_runs: np.ndarray  # (1, 3)     a row of logits
    time_runs: np.ndarray  # (C parts, 3)  rows of the first slice, twice
    loss_runs: np.ndarray  # (C parts, 3)  rows of the logits, rows of the first slice


class Sublayer(NamedTuple):
    """Settings of what lies between layers: layer norm, dropout, residual."""

    layer_norm: int  # 0 or 1
    residual: int  # 0 or 1
    keep: int  # dropout keeps a unit whose 32-bit hash is below this; 2**32 keeps all
    scale: float  # 1 / (1 - dropout)
    seed: int  # uint64, of the dropout masks
    first: int  # number of stream 0 among all streams, where other ranks have some: it decides about dropout
    units: np.ndarray  # (1, P) float32, 1 for a real unit, 0 for padding


class Evidence(NamedTuple):
    """A thread's memory for the evidence about one character: see direct.py."""

    context: np.ndarray  # (S, N) uint64   of all streams, where the thread counts
    characters: np.ndarray  # (2, V) int32  what followed one context: anywhere, and in the section itself
    counts: np.ndarray  # (2, V) int32      how often
    own: np.ndarray  # (V,) int32           counts in the section by character; zeros
    chance: np.ndarray  # (V,) float64      by the contexts so far, but for a factor; ones
    excess: np.ndarray  # (1, V + PAD) float32     c - D of each character that followed one context
    backed_off: np.ndarray  # (1, V + PAD) float32  D u p_{k-1} of each
    found: np.ndarray  # (K V,) int32       characters with evidence, context by context
    value: np.ndarray  # (1, K V + PAD) float32  the evidence for each
    first: np.ndarray  # (K + 1,) int64     where a context's characters begin
    last: np.ndarray  # (K,) int32          the one that came last after the context, if its bucket says so
    bucket: np.ndarray  # (2 K,) int16      of the gates' biases; -1: no part


class Tables(NamedTuple):
    """Counts of what followed each context: see contexts.py. Without tables K = 0.

    Where a text is trained on that has been counted, the counts of the section that a character lies in are left out of what
    predicts it. A stream is `per_stream` sections of `stretch` steps.
    """

    lengths: np.ndarray  # (K,) int64  of the contexts that are counted, ascending; the last is N
    counts: np.ndarray  # (REGIONS, n) uint64
    used: np.ndarray  # (REGIONS,) int64  entries in each region
    own: np.ndarray  # (REGIONS, m) uint64  counts by context and section; m = 0: nothing is left out
    own_used: np.ndarray  # (REGIONS,) int64
    per_stream: int
    stretch: int
    learns: int  # 1: each block is counted after its update


class Net(NamedTuple):
    """A network, as kernels are handed it."""

    cell: CellSteps
    sizes: Sizes
    sublayer: Sublayer
    tables: Tables
    weights: Weights
    packed: Packed
    window: Window
    state: State
    work: Workspace


class Piece(NamedTuple):
    """Steps of a block that the window holds at once: the whole block, or one of several pieces."""

    start: int  # epoch step at which it begins
    steps: int
    end: int  # step of the ring at which it ends; its slot is end % C
    base: int  # position of the ring's step 0 for dropout
    reach: int  # steps that errors may reach back from its end
    losses: int  # newest steps whose losses are injected
    arrives: bool  # whether work.dh and work.dc hold errors from a newer piece
    leaves: bool  # whether they shall hold errors for an older piece
    oldest: bool  # whether it is the last on the way back


class Drawing(NamedTuple):
    """Settings of drawing a text.

    The last of the known rows is what the first draw reads; those before it, at least as many as the separator has, serve
    to find the separator in. `first` numbers the draws, so that a text drawn in pieces is the text drawn at once.
    """

    known: int  # rows of the text that are given
    position: int  # of the last known character among all that are read
    first: int  # number of the first draw
    period: int  # the state is reset before every period-th character; 0: before the last one of a separator
    separator: np.ndarray  # (n,) int32
    temperature: float
    top_k: int  # 0: all characters
    top_p: float  # a share of what top_k leaves
    seed: int
    logits: np.ndarray  # (S, O) scratch, for the losses of drawn characters


class Plan(NamedTuple):
    """A stretch of characters and one row per update. Truncation methods differ in nothing but these numbers."""

    ids: np.ndarray  # (n + 1, S) int32   characters of n steps and the last one's targets (-1: none)
    resets: np.ndarray  # (n, S) uint8
    gradient_scale: np.ndarray  # (n,) float32    see Window: 1 unless cuts are drawn at random
    first_step: int  # epoch step of ids[0]
    epoch_base: int  # steps made before this epoch: with the epoch step, a row's position for dropout
    origin: np.ndarray  # (U,) int64  epoch step that lies in the window's slot 0: the window is a ring from there on
    start: np.ndarray  # (U,) int64   epoch step at which the update's block begins
    steps: np.ndarray  # (U,) int64   its length
    reach: np.ndarray  # (U,) int64   steps that errors may reach back from the block's end
    losses: np.ndarray  # (U,) int64  newest steps whose losses are injected
    weight: np.ndarray  # (U,) float64  what each of those losses counts
    learning_rate: np.ndarray  # (U,) float64
    number: np.ndarray  # (U,) int64  the update's number, from 1
    connects: np.ndarray  # (U,) uint8  1: the tables take part; 0: the network learns alone


class OptimizerParams(NamedTuple):
    """The optimizer: its update, its constants, its memory."""

    update: int  # address of the compiled function, see steps.py
    momentum: float
    nesterov: int
    beta1: float
    beta2: float
    epsilon: float
    decay: float  # weight decay, on matrices only
    clip: float  # largest global norm of the gradient; 0: no clipping
    matrices: int  # rows of the flat buffer that belong to matrices
    parameters: np.ndarray  # (R, P) the flat buffer
    gradients: np.ndarray  # (R, P)
    slots: np.ndarray  # (n, R, P) the rule's running averages
    partial: np.ndarray  # (R,) float64, sum of squares of each row of the gradient


class Hyperparameters(NamedTuple):
    """Numbers that an optimizer's update is handed beside the rows it works on."""

    rate: float  # learning rate
    number: int  # the update's number, from 1
    scale: float  # factor on the gradient that clips its norm
    decay: float  # weight decay; 0 for what is no matrix
    momentum: float
    nesterov: int
    beta1: float
    beta2: float
    epsilon: float


class StepRows(NamedTuple):
    """The rows of one stream that a cell's step forward reads and writes, and its step back reads again."""

    z: np.ndarray  # (G U,) the gates' sums, then their values
    extra: np.ndarray  # (E U,) whatever the way back needs besides
    h_before: np.ndarray  # (U,) the state that enters the step
    h: np.ndarray  # (U,) the state that leaves it


class UpdateStats(NamedTuple):
    """Results of a plan's updates."""

    loss: np.ndarray  # (U, S) float64  summed loss of each stream's new characters
    norm: np.ndarray  # (U,) float64    global norm of the gradient before clipping
    applied: np.ndarray  # (U,) uint8   0 where a non-finite gradient was not applied
    # (U, L, 2, P / PAD, S, n) float64: squared norms of the errors of h, and of c with h held, n steps back, in blocks of
    # PAD units; L = 0: not wanted
    lags: np.ndarray
