"""Explicit vectors: a value of LANES float32 numbers that kernels load, combine and store.

LLVM vectorises a plain loop only after it has proved, or checks at run time, that the arrays do not overlap; with the
dozen rows that a cell touches it gives up. Written with vectors the same loop compiles to what it says. Every function
here is plain NumPy in Python and one or a few instructions in a kernel. Rows that vectors walk over are padded to a
multiple of PAD numbers, so no loop has a tail.

LANES is what the processor's registers hold: 16, 8 or 4. No result may depend on it. What is computed lane by lane does
not; a sum over a row would, if each lane had a partial sum of its own. So sums and maxima over rows are made in blocks of
PAD numbers, which are one vector of 16, two of 8 or four of 4: always PAD partial sums, folded by one tree.
"""

from ..jit import LANES
from .arithmetic import above, exponent, fma, larger, mantissa, nearest, pair, power_of_two, smaller, sqrt
from .folds import largest, total
from .lines import LINE, highest, lowest, same
from .masks import keep
from .memory import PAD, load, load_block, prefetch, splat, splat_block, store, transpose

__all__ = [
    "LANES",
    "LINE",
    "PAD",
    "above",
    "exponent",
    "fma",
    "highest",
    "keep",
    "larger",
    "largest",
    "load",
    "load_block",
    "lowest",
    "mantissa",
    "nearest",
    "pair",
    "power_of_two",
    "prefetch",
    "same",
    "smaller",
    "splat",
    "splat_block",
    "sqrt",
    "store",
    "total",
    "transpose",
]
