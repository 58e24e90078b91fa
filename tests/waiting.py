"""Waiting for something to happen, however long that takes here; a limit only ends a test that would hang."""

import time
from collections.abc import Callable

HANGS = 600.0  # seconds after which nothing will happen any more


def wait_until(happened: Callable[[], object], going_on: Callable[[], object] = lambda: True) -> None:
    """Returns when `happened` is true; fails where `going_on` no longer is, or after HANGS seconds."""
    deadline = time.monotonic() + HANGS
    while not happened():
        assert going_on(), "it ended before what was waited for had happened"
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)
