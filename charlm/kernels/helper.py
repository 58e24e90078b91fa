"""A process that compiles kernels beside the one that waits for them.

python -m charlm.kernels.helper LATER ... --now NOW ..., each a module:kernel.
"""

import importlib
import os
import sys

from .draw import draw
from .jit import ahead
from .score import score
from .train import train


def compile_ahead() -> None:
    """Let a helper begin to compile what training needs, beside what else is to be done before it."""
    ahead(draw, score, train)


def main() -> None:
    """Compile the kernels that are named, the last first. Those that are not needed now leave the processor to others."""
    for name in reversed(sys.argv[1:]):
        if name == "--now":
            os.nice(10)
            continue
        module, _, kernel = name.partition(":")
        getattr(importlib.import_module(module), kernel).make(alone=True)


if __name__ == "__main__":
    main()
