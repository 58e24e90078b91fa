"""The most multiply-adds that a core can make: the measure that products are held against."""

from .jit import LANES, REGISTERS, kernel

CHAINS = 3 * REGISTERS // 4  # independent sums: enough to hide an instruction's latency, few enough for registers
OPERATIONS = 2 * CHAINS * LANES  # floating-point operations of a round


def rounds_of_sums(rounds: int) -> float:
    """Make CHAINS chains of fused multiply-adds, of LANES numbers each, and return the sum of their results."""
    sums = [0.0] * CHAINS
    for _ in range(rounds):
        sums = [total * 0.5 + 1.0 for total in sums]
    return sum(sums) * LANES


@kernel
def multiply_add(rounds: int) -> float:
    """Make rounds * OPERATIONS floating-point operations on one thread; rounds > 0."""
    return rounds_of_sums(rounds)
