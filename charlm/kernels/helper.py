"""A process that compiles kernels beside the one that waits for them: python -m charlm.kernels.helper module:kernel ..."""

import importlib
import sys

from .draw import draw
from .jit import ahead
from .score import score
from .train import train


def compile_ahead() -> None:
    """Let a helper begin to compile what training needs, beside what else is to be done before it."""
    ahead(draw, score, train)


def main() -> None:
    """Compile the kernels that are named, the last first."""
    for name in reversed(sys.argv[1:]):
        module, _, kernel = name.partition(":")
        getattr(importlib.import_module(module), kernel).make(alone=True)


if __name__ == "__main__":
    main()
