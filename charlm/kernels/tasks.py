"""Named groups that say what a kernel is asked to do, and what it reports. Letters as in buffers.py.

U updates, n steps or parameters, as each says.
"""

from typing import NamedTuple

import numpy as np

from .records import Array1, Array2, Array3, Array6, by_value


class Drawing(NamedTuple):
    """Settings of drawing a text.

    The last of the known rows is what the first draw reads; those before it, at least as many as the separator has, serve
    to find the separator in. `first` numbers the draws, so that a text drawn in pieces is the text drawn at once.
    """

    known: int  # rows of the text that are given
    position: int  # of the last known character among all that are read
    first: int  # number of the first draw
    period: int  # the state is reset before every period-th character; 0: before the last one of a separator
    separator: Array1[np.int32]  # (n,)
    temperature: float
    top_k: int  # 0: all characters
    top_p: float  # a share of what top_k leaves
    seed: int
    logits: Array2[np.float32]  # (S, O) scratch, for the losses of drawn characters


class Plan(NamedTuple):
    """A stretch of characters and one row per update. Truncation methods differ in nothing but these numbers."""

    ids: Array2[np.int32]  # (n + 1, S)   characters of n steps and the last one's targets (-1: none)
    resets: Array2[np.uint8]  # (n, S)
    gradient_scale: Array1[np.float32]  # (n,)    see Window: 1 unless cuts are drawn at random
    first_step: int  # epoch step of ids[0]
    epoch_base: int  # steps made before this epoch: with the epoch step, a row's position for dropout
    origin: Array1[np.int64]  # (U,)  epoch step that lies in the window's slot 0: the window is a ring from there on
    start: Array1[np.int64]  # (U,)   epoch step at which the update's block begins
    steps: Array1[np.int64]  # (U,)   its length
    reach: Array1[np.int64]  # (U,)   steps that errors may reach back from the block's end
    losses: Array1[np.int64]  # (U,)  newest steps whose losses are injected
    weight: Array1[np.float64]  # (U,)  what each of those losses counts
    learning_rate: Array1[np.float64]  # (U,)
    number: Array1[np.int64]  # (U,)  the update's number, from 1
    connects: Array1[np.uint8]  # (U,)  1: the tables take part; 0: the network learns alone


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
    parameters: Array2[np.float32]  # (R, P) the flat buffer
    gradients: Array2[np.float32]  # (R, P)
    slots: Array3[np.float32]  # (n, R, P) the rule's running averages
    partial: Array1[np.float64]  # (R,) sum of squares of each row of the gradient


@by_value
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


class UpdateStats(NamedTuple):
    """Results of a plan's updates."""

    loss: Array2[np.float64]  # (U, S)  summed loss of each stream's new characters
    norm: Array1[np.float64]  # (U,)    global norm of the gradient before clipping
    applied: Array1[np.uint8]  # (U,)   0 where a non-finite gradient was not applied
    # (U, L, 2, P / PAD, S, n) float64: squared norms of the errors of h, and of c with h held, n steps back, in blocks of
    # PAD units; L = 0: not wanted
    lags: Array6[np.float64]
