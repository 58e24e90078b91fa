"""Named groups of arrays that kernels are handed, and the letters their shapes are written in.

S streams, T steps, H hidden units, P = H padded to a multiple of PAD, V vocabulary, VP = V padded likewise, L layers,
G gates per unit, J of them in a cell's step, E rows of P that a cell stores beside its gates, C steps that the window's
ring holds, a step's slot being step % C. X slices that the units are divided into, U = P / X units in each. K lengths of
contexts in the tables, 0 without tables, N the longest. All arrays are C-contiguous and aligned to 64 bytes; what lies in
the padding is zero and stays zero (in out_b: -1e30, so that a padded logit has no probability).

An array with a row for each step and stream holds them as its threads do (see parallel.py): the rows of the first
thread's streams [0, n) by time, row = slot * n + stream, then those of the next; one slice after the other.
"""

from typing import NamedTuple

import numpy as np

from .records import Array1, Array2, Array3, Row, by_value

MATRIX, VECTOR, PRODUCT, NONE = range(4)  # ways in which a cell's state enters the sums of its gates


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
    gates: int  # G
    step_gates: int  # J, those that a cell's step sees: all but a factor
    capacity: int  # C
    loss_capacity: int  # steps that the logits' ring holds


class CellSteps(NamedTuple):
    """A cell, as kernels see it. The steps are addresses of compiled functions, see steps.py."""

    recurrence: int  # MATRIX or another of the ways above
    separate: int  # 1 if the cell sees the state's part of the gates on its own, with an error of its own; else 0
    forward: int
    backward: int
    show: int  # of a cell whose memory is normalised: h from the normalised memory, and back
    show_backward: int


class Weights(NamedTuple):
    """Parameters, or their gradients, as views of one float32 buffer (R, P): matrices first, then vectors."""

    embed: Array2[np.float32]  # (V, G P)        what a character adds to the gates of layer 0
    w_ih: Array3[np.float32]  # (L - 1, P, G P)  from the layer below, layers 1 and up
    w_hh: Array3[np.float32]  # (L, P, J P)      from the layer's own state, or its product with the factor; or (L, 0, .)
    w_mh: Array3[np.float32]  # (L, P, P)        from the state to what the factor multiplies; (L, 0, .) without a factor
    out: Array2[np.float32]  # (V, P); with tables (VP + 2 K, P), the gates from row VP on
    b_ih: Array2[np.float32]  # (L, G P)
    b_hh: Array2[np.float32]  # (L, G P)
    running: Array3[np.float32]  # (L, 2, G P)   batch norm's means and variances for reading; their gradient is the block's
    gain_ih: Array2[np.float32]  # (L, G P)      norm of the gates' sums, or of the input's part; (0, .) without it
    gain_hh: Array2[np.float32]  # (L, G P)      of the state's part, where a cell sees it on its own
    u: Array2[np.float32]  # (L, G P)            from a unit's own state; (0, .) if not VECTOR
    gain: Array2[np.float32]  # (L, P)           layer norm, or of the cell's memory; (0, P) without it
    shift: Array2[np.float32]  # (L, P)
    direct_b: Array2[np.float32]  # (1, B)       biases of the tables' gates, by bucket: see direct.py; (1, 0) without them
    out_b: Array2[np.float32]  # (1, O)          the last rows of P, as many as it takes


class Packed(NamedTuple):
    """Weight matrices in panels for `product`; each row the part of a matrix that belongs to one slice.

    [n]: n columns, rounded up to whole panels.
    """

    w_ih: Array2[np.float32]  # ((L - 1) X, P [G U])
    w_hh: Array2[np.float32]  # (L X, P [J U])
    w_mh: Array2[np.float32]  # (L X, P [U])
    out: Array2[np.float32]  # (1, P [O])
    w_ih_t: Array2[np.float32]  # ((L - 1) X, G P [U])  transposed, for the way back; (0, .) where nothing is trained
    w_hh_t: Array2[np.float32]  # (L X, J P [U])
    w_mh_t: Array2[np.float32]  # (L X, P [U])
    out_t: Array2[np.float32]  # (X, rows of out * [U])


class Window(NamedTuple):
    """The activations of the last C steps: a ring that moves over the corpus, nothing in it is computed twice."""

    x: Array1[np.int32]  # (X C S,)    characters read
    y: Array1[np.int32]  # (X C S,)    targets; -1 where a stream has ended
    reset: Array1[np.uint8]  # (X C S,)    1 where the state was set to zero before this step
    since: Array1[np.int64]  # (X C S,)    characters that the stream has read since then
    steps: Array2[np.uint8]  # (L, X C S)  1 where the layer makes a step; 0 where it waits, or the stream has ended
    context: Array2[np.uint64]  # (X C S, K)  hashes of the contexts that end with the character read
    section: Array1[np.uint64]  # (X C S,)  key of the section of the training text whose counts are left out: see Tables
    gradient_scale: Array1[np.float32]  # (C,)       factor on errors that pass from this step to the one before it
    ends: Array1[np.int64]  # (C,)      slot at which the block ends that the slot belongs to; with batch norm
    sums: Array3[np.float32]  # (L, X C S, G U)   what is normalised before it becomes z; z itself without a norm of gates
    sums_h: Array3[np.float32]  # (L, X C S, G U) the state's part, where it is normalised on its own
    memory: Array3[np.float32]  # (L, X C S, U)   the memory after the step, where it is normalised
    scales: Array3[np.float32]  # (L, X C S, 2 (2 G + 1))  mean and 1 / deviation of each gate's sums, sums_h, the memory
    columns: Array3[np.float32]  # (L, 2 C + 2, G P)  the same of a block's sums, in the rows of its last slot: batch norm
    z: Array3[np.float32]  # (L, X C S, G U)      gates
    extra: Array3[np.float32]  # (L, X C S, E U)
    factor: Array3[np.float32]  # (L, X C S, U)   the state's part of the product, of a cell that has one
    product: Array3[np.float32]  # (L, X C S, U)  the factor times it
    h_in: Array3[np.float32]  # (L, X C S, U)     state that entered the step
    h: Array3[np.float32]  # (L, X C S, U)        state that left it
    passed: Array3[np.float32]  # (L, X C S, U)   what the layer hands up; h itself where nothing is done to it
    stats: Array3[np.float32]  # (L, C S, 2)      layer norm's mean and 1 / deviation; (0, ., .) without it
    logits: Array2[np.float32]  # (loss capacity * S, O)  the errors take their place
    bucket: Array2[np.int16]  # (loss capacity * S, 2 K)  of each gate's bias; -1 where a gate has no part
    loss: Array1[np.float64]  # (C S,)    loss of the step's target


class State(NamedTuple):
    """States that a step starts from: the one that is carried on (B = 1), or those at the borders of a block's pieces."""

    h: Array3[np.float32]  # (B, X L S, U)  a thread's streams, layer by layer; one slice after the other
    c: Array3[np.float32]  # (B, X L S, U)
    since: Array2[np.int64]  # (B, X S)  characters read since the last reset
    context: Array3[np.uint64]  # (B, X S, N)  hashes of the last 1 .. N characters read before


class Workspace(NamedTuple):
    """Scratch memory, one set for all layers, and where products find what they add up.

    Runs are rows (in a, in b, length), int64: see matmul.py. Those of `product` collect a row from its slices; those of
    `accumulate` are rows of steps and streams, all streams of slot 0 first, then those of slot 1.
    """

    recurrent: Array2[np.float32]  # (X S, G U)  the state's part of the gates at one step
    dz: Array2[np.float32]  # (X C S, G U)       error of the gates' sums, of the input's part where they are apart
    dz_h: Array2[np.float32]  # (X C S, G U)     the same of the state's part; dz itself where they are not apart
    dx: Array2[np.float32]  # (X C S, G U)       dz before the norm, as the layer below sees it; may be dz itself
    ds: Array2[np.float32]  # (X C S, G U)       dz_h before the norm, as the state sees it; may be dz_h itself
    dm: Array2[np.float32]  # (X S, U)           error of the normalised memory at one step
    dp: Array2[np.float32]  # (X S, U)           error of the product at one step, of a cell that has one
    df: Array2[np.float32]  # (X C S, U)         error of the state's part of it
    norm_sums: Array2[np.float32]  # (X S, 2 (2 G + 1) U)  each stream's gradients of gain and shift of what scales lists
    means: Array2[np.float32]  # (2, G P)        of a block's errors, for batch norm
    variance: Array2[np.float32]  # (L, G P)     of the newest block's sums, for batch norm
    error: Array2[np.float32]  # (X C S, U)      error of what a layer passed up
    kept: Array2[np.float32]  # (X C S, U)       the same after dropout; may be error itself unless there is a residual
    dy: Array2[np.float32]  # (X C S, U)         error of a layer's h; error itself where nothing lies between
    dh: Array2[np.float32]  # (X L S, U)         error of the state, laid out as State
    dc: Array2[np.float32]  # (X L S, U)
    h_runs: Array2[np.int64]  # (X, 3)         a row of h
    dz_runs: Array2[np.int64]  # (G X, 3)      a row of dz, gate by gate
    ds_runs: Array2[np.int64]  # (J X, 3)      the same without a factor
    logit_runs: Array2[np.int64]  # (1, 3)     a row of logits
    time_runs: Array2[np.int64]  # (C parts, 3)  rows of the first slice, twice
    step_runs: Array2[np.int64]  # (C parts, 3)  those of time_runs at which a slow layer makes a step
    step_count: Array1[np.int64]  # (1,)         how many
    loss_runs: Array2[np.int64]  # (C parts, 3)  rows of the logits, rows of the first slice


class Sublayer(NamedTuple):
    """Settings of what lies between layers: layer norm, dropout, residual."""

    layer_norm: int  # 0 or 1
    residual: int  # 0 or 1
    keep: int  # dropout keeps a unit whose 32-bit hash is below this; 2**32 keeps all
    scale: float  # 1 / (1 - dropout)
    seed: int  # uint64, of the dropout masks
    first: int  # number of stream 0 among all streams, where other ranks have some: it decides about dropout
    units: Array2[np.float32]  # (1, P) 1 for a real unit, 0 for padding


class GateNorm(NamedTuple):
    """Settings of the norm of the sums that gates are made of: see cell_norm.py and block_norm.py. All 0: none."""

    units: int  # 1: each gate of a step is normalised over its units; with block, the state's part of it alone
    apart: int  # 1: the state's part on its own, not the sum of both
    memory: int  # 1: so is the memory of the cell
    block: int  # 1: each column of the input's part is normalised over a block
    statistics: int  # 1: by the block's own statistics, which are averaged; 0: by the averages
    share: float  # of the streams of all ranks that are here


class Evidence(NamedTuple):
    """A thread's memory for the evidence about one character: see direct.py."""

    context: Array2[np.uint64]  # (S, N)   of all streams, where the thread counts
    characters: Array2[np.int32]  # (2, V)  what followed one context: anywhere, and in the section itself
    counts: Array2[np.int32]  # (2, V)      how often
    own: Array1[np.int32]  # (V,)           counts in the section by character; zeros
    chance: Array1[np.float64]  # (V,)      by the contexts so far, but for a factor; ones
    excess: Array2[np.float32]  # (1, V + PAD)     c - D of each character that followed one context
    backed_off: Array2[np.float32]  # (1, V + PAD)  D u p_{k-1} of each
    found: Array1[np.int32]  # (K V,)       characters with evidence, context by context
    value: Array2[np.float32]  # (1, K V + PAD)  the evidence for each
    first: Array1[np.int64]  # (K + 1,)     where a context's characters begin
    last: Array1[np.int32]  # (K,)          the one that came last after the context, if its bucket says so
    bucket: Array1[np.int16]  # (2 K,)      of the gates' biases; -1: no part


class Tables(NamedTuple):
    """Counts of what followed each context: see contexts.py. Without tables K = 0.

    Where a text is trained on that has been counted, the counts of the section that a character lies in are left out of what
    predicts it. A stream is `per_stream` sections of `stretch` steps.
    """

    lengths: Array1[np.int64]  # (K,)  of the contexts that are counted, ascending; the last is N
    counts: Array2[np.uint64]  # (REGIONS, n)
    used: Array1[np.int64]  # (REGIONS,)  entries in each region
    own: Array2[np.uint64]  # (REGIONS, m)  counts by context and section; m = 0: nothing is left out
    own_used: Array1[np.int64]  # (REGIONS,)
    per_stream: int
    stretch: int
    learns: int  # 1: each block is counted after its update


class Net(NamedTuple):
    """A network, as kernels are handed it."""

    cell: CellSteps
    sizes: Sizes
    sublayer: Sublayer
    norm: GateNorm
    clocks: Array1[np.int64]  # (L,)  a layer steps once in so many characters
    tables: Tables
    weights: Weights
    packed: Packed
    window: Window
    state: State
    borders: State  # B + 1 pieces are the longest block
    work: Workspace
    halves: int  # 1: packed matrices of the way forward are pairs of bfloat16 numbers, see halves.py


@by_value
class Piece(NamedTuple):
    """Steps of a block that the window holds at once: the whole block, or one of several pieces."""

    start: int  # epoch step at which it begins
    steps: int
    newer: int  # steps of the same block that newer pieces have
    room: int  # steps that errors of a layer could reach back from the block's end: what the ring holds, or the block
    end: int  # step of the ring at which it ends; its slot is end % C
    base: int  # position of the ring's step 0 for dropout
    reach: int  # steps that errors of a layer of clock 1 may reach back from its end
    losses: int  # newest steps whose losses are injected
    arrives: bool  # whether work.dh and work.dc hold errors from a newer piece
    leaves: bool  # whether they shall hold errors for an older piece
    oldest: bool  # whether it is the last on the way back


@by_value
class StepRows(NamedTuple):
    """The rows of one stream that a cell's step forward reads and writes, and its step back reads again."""

    z: Row  # (G U,) the gates' sums, then their values
    extra: Row  # (E U,) whatever the way back needs besides
    h_before: Row  # (U,) the state that enters the step
    h: Row  # (U,) the state that leaves it
