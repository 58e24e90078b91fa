"""The cells by name and activation. A new cell is one file beside these and one line here."""

from .gru import Gru
from .interface import Cell
from .lstm import Lstm
from .rnn import RnnRelu, RnnTanh

CELLS: dict[tuple[str, str], Cell] = {
    ("lstm", "tanh"): Lstm(),
    ("gru", "tanh"): Gru(),
    ("rnn", "tanh"): RnnTanh(),
    ("rnn", "relu"): RnnRelu(),
}
