"""Independently recurrent network (Li et al. 2018): h' = f(W_ih x + b_ih + u * h + b_hh), f = tanh or relu.

Each unit sees only its own state, through one weight. There is no product in the loop over time.
"""

from dataclasses import replace

from .rnn import RNN

INDRNN = replace(RNN, name="indrnn", recurrence="vector", pytorch=None, onnx=None)
