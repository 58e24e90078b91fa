"""Batch norm (Ioffe & Szegedy 2015) of the input's part of the gates, over a block (Laurent et al. 2016).

A network that only reads takes running averages of the statistics instead, so that no character is predicted with the help
of those that follow it.
"""

from .spec import Norm

BATCH = Norm("batch", "batch norm", sums="block")
