"""Explicit vectors: a value of LANES float32 numbers that kernels load, combine and store.

LLVM vectorises a plain loop only after it has proved, or checks at run time, that the arrays do not overlap; with the
dozen rows that a cell touches it gives up. Written with vectors the same loop compiles to what it says. Every function
here is plain NumPy in Python and one or a few instructions in a kernel. Rows that vectors walk over are padded to a
multiple of PAD numbers, so no loop has a tail.
"""

from ..jit import LANES
from .arithmetic import above, larger, nearest, power_of_two, smaller, sqrt
from .folds import largest, total
from .masks import keep
from .memory import PAD, ROW, load, splat, store, transpose

__all__ = [
    "LANES",
    "PAD",
    "ROW",
    "above",
    "keep",
    "larger",
    "largest",
    "load",
    "nearest",
    "power_of_two",
    "smaller",
    "splat",
    "sqrt",
    "store",
    "total",
    "transpose",
]
