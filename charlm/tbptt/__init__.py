"""Truncated backpropagation through time: streams, resets, truncation methods and plans."""
