"""The cells by name and activation. A new cell is one file beside these and one line here."""

from .gru import Gru
from .lstm import Lstm
from .rnn import RnnRelu, RnnTanh

CELLS = {
    ("lstm", "tanh"): Lstm(),
    ("gru", "tanh"): Gru(),
    ("rnn", "tanh"): RnnTanh(),
    ("rnn", "relu"): RnnRelu(),
}
