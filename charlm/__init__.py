"""charlm: character language models trained by truncated backpropagation through time, TBPTT(k1, k2), on a CPU."""

__version__ = "0.1.0"
