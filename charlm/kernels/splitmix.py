"""The finaliser of splitmix64 (Steele, Lea & Flood 2014): well-mixed bits of a number, for keys that need no state."""

import numpy as np

from .jit import inner


@inner
def mixed(bits):
    """Return 64 bits, each of which depends on all bits of a uint64."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
