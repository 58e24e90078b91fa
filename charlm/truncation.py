"""Truncation methods: which steps an update's errors reach, which losses it takes, with what weight. Only numbers here.

newest: Williams & Peng 1990's BPTT(h; h') with h' = k1, h = k2; every loss counts once and reaches between k2 - k1 + 1
and k2 steps back. window: Sutskever 2013's "every k1 steps, k2 steps back": all losses of the last max(k1, k2) steps
are injected, so each counts about k2 / k1 times.
"""

from dataclasses import dataclass

import numpy as np

from .blocks import Resets, Streams
from .config import TruncationConfig
from .kernels.buffers import Plan


@dataclass(frozen=True)
class Position:
    """A place in training: updates made, the epoch, the next step within it, and steps made before it began."""

    updates: int = 0
    epoch: int = 0
    step: int = 0
    epoch_base: int = 0


def older_losses(config: TruncationConfig) -> int:
    """How many steps before the block have their losses injected once more."""
    return max(0, config.k2 - config.k1) if config.kind == "window" else 0


def make_plan(
    config: TruncationConfig, streams: Streams, resets: Resets, ids: np.ndarray, at: Position, updates: int,
    learning_rates: np.ndarray,
) -> tuple[Plan, Position]:  # fmt: skip
    """A plan of at most `updates` updates from `at` on, never past the end of the epoch, and the place after it.

    learning_rates: float64, one for each update that could be made (the rest are ignored).
    """
    last = min(streams.steps, at.step + updates * config.k1)
    start = np.arange(at.step, last, config.k1)
    steps = np.minimum(config.k1, last - start)
    end = start + steps
    older = np.minimum(older_losses(config), start)
    n = len(start)
    plan = Plan(
        ids=streams.read(ids, at.step, last),
        resets=resets.read(streams, ids, at.step, last),
        first_step=at.step,
        epoch_base=at.epoch_base,
        start=start,
        steps=steps,
        window=np.minimum(config.k2, end),
        losses=steps + older,
        # A short last block is not divided by its own length: its losses weigh as much as others'.
        weight=1.0 / (streams.count * (config.k1 + older)),
        learning_rate=learning_rates[:n],
        number=at.updates + 1 + np.arange(n),
    )
    if last == streams.steps:
        return plan, Position(at.updates + n, at.epoch + 1, 0, at.epoch_base + last)
    return plan, Position(at.updates + n, at.epoch, last, at.epoch_base)


def contract(config: TruncationConfig, resets: str, memory: int) -> str:
    """One line that says what k1 and k2 promise: reach, weight, uses per loss, cost, memory (bytes)."""
    k1, k2 = config.k1, config.k2
    name = f"{config.kind}(k1={k1}, k2={k2})"
    if k2 < k1:
        reach = (
            f"errors stay within the newest {k2} of {k1} steps: the output layer learns from every loss, "
            f"the cells from {k2} in {k1}"
        )
        uses = "each loss counts once"
    elif config.kind == "newest":
        reach = f"every loss reaches {k2 - k1 + 1} to {k2} steps back; {_weights(k1, k2)}"
        uses = "each loss counts once"
    else:
        reach = f"losses reach up to {k2} steps back; a dependence j steps long weighs ({k2} - j)/{k1}"
        uses = f"each loss counts {k2 / k1:.3g} times"
    cost = f"cost per character against k1 = k2: backward {k2 / k1:.3g}x, all {_relative_cost(config):.3g}x"
    reset = "" if resets in ("never", "epoch") else f"; a reset ({resets}) cuts both state and gradient"
    return f"{name}: {reach}; {uses}; {cost}; window {memory / 2**20:.1f} MiB{reset}"


def _weights(k1: int, k2: int) -> str:
    if k1 == k2:
        return f"a dependence j steps long weighs 1 - j/{k1}"
    return f"a dependence j steps long weighs 1 up to j = {k2 - k1}, then ({k2} - j)/{k1}"


def _relative_cost(config: TruncationConfig) -> float:
    """Forward once, backward (twice the forward pass's products) k2 / k1 times; window repeats the output layer too."""
    return (1 + 2 * config.k2 / config.k1) / 3
