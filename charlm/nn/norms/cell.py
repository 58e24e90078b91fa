"""Layer norm inside the cell (Ba, Kiros & Hinton 2016), placed as by Ha, Dai & Le 2017: each gate's sum has its own norm.

The memory of an LSTM has one too before it is shown: h' = o tanh(LN(c')). In a cell that sees the two parts of its gates
separately, such as the GRU, each part has a norm, as in Ba, Kiros & Hinton's GRU.
"""

from .spec import Norm

CELL = Norm("cell", "layer norm in the cell", sums="units")
