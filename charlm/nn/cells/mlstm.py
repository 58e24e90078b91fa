"""Multiplicative LSTM (Krause et al. 2016, after Sutskever, Martens & Hinton 2011): the state is multiplied by the input.

m = (W_mx x + b_mx + b_mh) * (W_mh h), and m takes the place of h in the gates of an LSTM:
i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh m + b_hh
c' = f c + i g        h' = o tanh(c')

So each character has a recurrent matrix of its own, W_hh diag(W_mx x) W_mh.
"""

from dataclasses import replace

from .lstm import LSTM
from .spec import Gate

MLSTM = replace(LSTM, name="mlstm", gates=(*LSTM.gates, Gate("m", "factor")), recurrence="product", pytorch=None, onnx=None)
