"""A clock for training that runs as fast as a test says, so that nothing depends on the processor or its load."""

from typing import Any

import pytest

from charlm.kernels.tasks import Plan
from charlm.nn.network import Network


def make_updates_take(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """Makes each update of a run take exactly so many seconds, as far as its trainer can tell."""
    train, made = Network.train, [0]

    class Clock:
        """In place of the module time."""

        @staticmethod
        def perf_counter() -> float:
            return made[0] * seconds

    def counted(network: Network, plan: Plan, *arguments: Any, **options: Any) -> Any:
        made[0] += len(plan.start)
        return train(network, plan, *arguments, **options)

    patch.setattr(Network, "train", counted)
    for module in ("trainer", "measurement", "consensus"):
        patch.setattr(f"charlm.training.{module}.time", Clock)
