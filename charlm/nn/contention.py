"""How many threads to use while other programs want the same processors.

Threads that wait for each other go as fast as the slowest. If another program takes half of one processor from them, all of
them lose half of their time, and where they meet at every character far more: fewer threads are then faster, and what they
leave to the other program is what they had lost. Threads never sleep in a kernel, so a thread that got less processor time
than has passed did not run while it could have.
"""

from collections.abc import Sequence

import numpy as np

_WINDOW = 0.1  # seconds in kernels that are judged together
_UNDISTURBED = 0.8  # share of the time that a thread must get
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 32.0  # seconds until more threads are tried again, twice as many after each failure


class ThreadCount:
    """The number of threads to use, at most `most`. Results do not depend on it."""

    def __init__(self, most: int) -> None:
        self.now = self._most = most
        self._before = most  # the number from which more are being tried; `now` if none are
        self._wait = self._left = _FIRST_WAIT
        self._suspected = False
        self._begin(most)

    def _begin(self, threads: int) -> None:
        self._got, self._passed = np.zeros(threads), 0.0

    def record(self, shares: Sequence[float], passed: float) -> None:
        """Take note of a call: the share of its time for which each thread got a processor, and the seconds that passed.

        There may be fewer threads than `now`.
        """
        if len(shares) != len(self._got):
            self._begin(len(shares))
        self._got += np.multiply(shares, passed)
        self._passed += passed
        if self._passed < _WINDOW:
            return
        means, passed = self._got / self._passed, self._passed
        if self.now > 1 and means.min() < _UNDISTURBED:
            self._disturbed(means)
        else:
            self._undisturbed(len(means), passed)
        self._begin(len(means))

    def _disturbed(self, shares: np.ndarray) -> None:
        if self._before < self.now:
            self.now, self._wait = self._before, min(2 * self._wait, _LONGEST_WAIT)
        elif not self._suspected:  # once may be a hiccup, or a kernel that was compiled
            self._suspected = True
            return
        else:
            whole = max(int((shares >= _UNDISTURBED).sum()), int(shares.sum() + 0.25))
            self.now = self._before = max(1, min(self.now - 1, whole))
        self._suspected, self._left = False, self._wait

    def _undisturbed(self, threads: int, passed: float) -> None:
        if self._before < self.now and threads > self._before:
            self._before, self._wait = self.now, max(_FIRST_WAIT, self._wait / 2)
            self._left = self._wait
        self._suspected = False
        self._left -= passed
        if self.now < self._most and self._left <= 0:
            self.now = min(2 * self.now, self._most)
