"""The most multiply-adds that a core can make: the measure that products are held against."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import REGISTERS, kernel
from .numba_internals import JIT
from .simd import LANES
from .simd.vector import call, spread

_CHAINS = 3 * REGISTERS // 4  # independent sums: enough to hide an instruction's latency, few enough for registers
OPERATIONS = 2 * _CHAINS * LANES  # floating-point operations of a round


def _multiply_add_plain(rounds: int) -> float:
    sums = [0.0] * _CHAINS
    for _ in range(rounds):
        sums = [total * 0.5 + 1.0 for total in sums]
    return sum(sums) * LANES


@intrinsic
def _multiply_add_compiled(typingctx: Any, rounds: Any) -> Any:
    """Make _CHAINS chains of fused multiply-adds in registers; their sum is returned so that none is optimized away."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = args[0].type
        vector = lambda value: spread(builder, ir.Constant(ir.FloatType(), value))  # noqa: E731
        initial, factor, term = vector(0.0), vector(0.5), vector(1.0)
        before, loop, done = builder.block, builder.append_basic_block("round"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        count = builder.phi(kind)
        sums = [builder.phi(initial.type) for _ in range(_CHAINS)]
        updated = [call(builder, "fma", total, factor, term) for total in sums]
        following = builder.add(count, ir.Constant(kind, 1))
        for phi, first, value in zip(
            [count, *sums], [ir.Constant(kind, 0)] + [initial] * _CHAINS, [following, *updated], strict=True
        ):
            phi.add_incoming(first, before)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[0]), loop, done)
        builder.position_at_end(done)
        total = updated[0]
        for value in updated[1:]:
            total = builder.fadd(total, value)
        result = builder.extract_element(total, ir.Constant(ir.IntType(32), 0))
        for lane in range(1, LANES):
            result = builder.fadd(result, builder.extract_element(total, ir.Constant(ir.IntType(32), lane)))
        return result

    return types.float32(types.int64), codegen


_multiply_add: Any = _multiply_add_compiled if JIT else _multiply_add_plain


@kernel
def multiply_add(rounds: int) -> float:
    """Make rounds * OPERATIONS floating-point operations on one thread; rounds > 0."""
    return _multiply_add(rounds)
