"""Batch norm of the input's part of the gates, layer norm of the state's part and of the memory.

As in recurrent batch normalisation (Cooijmans et al. 2017), each part has a norm of its own. But the state's part is
normalised over its units, as by Ba, Kiros & Hinton 2016: that takes no statistics over the streams of each step.
"""

from .spec import Norm

BOTH = Norm("both", "batch norm and layer norm in the cell", sums="both")
