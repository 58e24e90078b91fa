"""The instructions of peak.py: chains of fused multiply-adds in registers, summed so that none is optimized away."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import lower_builtin, type_callable

from ..jit import LANES
from ..peak import CHAINS, rounds_of_sums
from .instructions import call, spread


@type_callable(rounds_of_sums)
def _type_rounds(context: Any) -> Callable:
    return lambda rounds: types.float32


@lower_builtin(rounds_of_sums, types.Integer)
def _lower_rounds(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = args[0].type
    vector = lambda value: spread(builder, ir.Constant(ir.FloatType(), value))  # noqa: E731
    initial, factor, term = vector(0.0), vector(0.5), vector(1.0)
    before, loop, done = builder.block, builder.append_basic_block("round"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    count = builder.phi(kind)
    sums = [builder.phi(initial.type) for _ in range(CHAINS)]
    updated = [call(builder, "fma", total, factor, term) for total in sums]
    following = builder.add(count, ir.Constant(kind, 1))
    for phi, first, value in zip(
        [count, *sums], [ir.Constant(kind, 0)] + [initial] * CHAINS, [following, *updated], strict=True
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
