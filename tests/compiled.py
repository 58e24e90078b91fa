"""Compile the kernels before tests run, each once: workers share the store of machine code, and the work."""

from charlm.kernels.draw import draw
from charlm.kernels.score import score
from charlm.kernels.train import train


def compile_kernels() -> None:
    """Compile or load the kernels that train, score and draw, and those that some networks need."""
    for each in (train, score, draw):
        each.entry(each.declared)
        for rare in each.may_call:
            rare.entry(rare.declared)
