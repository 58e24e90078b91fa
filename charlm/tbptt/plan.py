"""Plans: the updates of a stretch of training, as arrays for the kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..lazy import np

if TYPE_CHECKING:
    from ..kernels.tasks import Plan
    from .method import TruncationMethod
    from .resets import Resets
    from .streams import Ids, Streams


@dataclass(frozen=True)
class Position:
    """A place in training: updates made, the epoch, the next step within it, and steps made before it began."""

    updates: int = 0
    epoch: int = 0
    step: int = 0
    epoch_base: int = 0


class Cuts(NamedTuple):
    """The updates of a stretch of one epoch, as in a Plan: (U,) arrays, and gradient_scale with a factor for each step."""

    origin: np.ndarray
    start: np.ndarray
    steps: np.ndarray
    reach: np.ndarray
    losses: np.ndarray
    weight: np.ndarray
    gradient_scale: np.ndarray


def make_plan(
    truncation: TruncationMethod,
    streams: Streams,
    resets: Resets,
    ids: Ids,
    at: Position,
    updates: int,
    learning_rates: np.ndarray,
) -> tuple[Plan, Position]:
    """Return a plan of at most `updates` updates from `at` on, never past the end of the epoch, and the place after it.

    learning_rates: float64, one for each update that could be made (the rest are ignored).
    """
    from ..kernels.tasks import Plan

    cuts = truncation.cuts(at, updates)
    n, last = len(cuts.start), at.step + len(cuts.gradient_scale)
    plan = Plan(
        ids=streams.read(ids, at.step, last),
        resets=resets.read(streams, ids, at.step, last),
        first_step=at.step,
        epoch_base=at.epoch_base,
        learning_rate=learning_rates[:n],
        number=at.updates + 1 + np.arange(n),
        connects=np.ones(n, np.uint8),
        **cuts._asdict(),
    )
    if last == streams.steps:
        return plan, Position(at.updates + n, at.epoch + 1, 0, at.epoch_base + last)
    return plan, Position(at.updates + n, at.epoch, last, at.epoch_base)


def reading_plan(characters: np.ndarray, resets: np.ndarray, block: int) -> Plan:
    """Return a plan that only says what is read, in blocks of `block` steps: see Network.score."""
    from ..kernels.tasks import Plan

    starts = np.arange(0, len(resets), block)
    unused = np.zeros(len(starts))
    return Plan(
        ids=characters,
        resets=resets,
        gradient_scale=np.ones(len(resets), np.float32),
        first_step=0,
        epoch_base=0,
        origin=starts,
        start=starts,
        steps=np.minimum(block, len(resets) - starts),
        reach=starts,
        losses=starts,
        weight=unused,
        learning_rate=unused,
        number=starts,
        connects=np.ones(len(starts), np.uint8),
    )
