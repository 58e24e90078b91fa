"""Titles of the sections in `charlm train --help`, and their order."""

TRUNCATION = "Truncated backpropagation through time"
NETWORK = "The network"
OPTIMIZER = "The optimizer"
LENGTH = "Length of training, and validation"
RUN = "The run"

GROUPS = (TRUNCATION, NETWORK, OPTIMIZER, LENGTH, RUN)
