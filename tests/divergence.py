"""Divergence on demand: gradients become infinite at updates that a test names, not where a learning rate may cause it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from charlm.kernels.tasks import Plan
from charlm.nn.network import Network


def inject_divergence(patch: pytest.MonkeyPatch, times: Mapping[int, float]) -> None:
    """Makes the gradient of each update in `times` infinite when it is made, for the given number of times.

    The losses of such an update count infinitely much, so the kernel itself computes numbers that are not finite.
    """
    train, left = Network.train, dict(times)

    def faulty(network: Network, plan: Plan, *arguments: Any, **options: Any) -> Any:
        numbers = plan.number[: len(plan.start)].tolist()  # no update is made where the kernel is only compiled
        hit = next((number for number in numbers if left.get(number, 0) > 0), None)
        if hit is not None:
            left[hit] -= 1
            plan = plan._replace(weight=np.where(plan.number == hit, np.inf, plan.weight))
        return train(network, plan, *arguments, **options)

    patch.setattr(Network, "train", faulty)
