"""Signals that stop training."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

from .options import note


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None], quiet: bool) -> Iterator[list[int]]:
    """Call stop() on the first of Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP, and collect its number; exit at once on a second.

    A SIGHUP that is ignored, as under nohup, stays ignored.
    """
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        note("stopping after this update (a second signal stops at once and keeps the last save)", quiet)
        stop()

    # SIGUSR1: Slurm's warning before the time limit; mpiexec passes it on to ranks without killing them.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
