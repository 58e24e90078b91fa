"""Which of several ways is the fastest, found by taking turns at the work itself."""

_TRY = 0.05  # seconds of work, at least, that are judged together
_TRIES = 2  # of each way in the beginning; the first may load or compile something
_PERIOD = 2.0  # seconds after which the others are tried again, if that is much longer than the tries took
_SPARSE = 20


class Trial:
    """The number of the way to take now, `now`. With one way nothing is measured."""

    def __init__(self, ways: int) -> None:
        self.now = 0
        self._rates = [0.0] * ways
        self._to_try = list(range(ways)) * _TRIES if ways > 1 else []
        self._tried = 0.0  # seconds spent on tries since the last decision
        self._work = self._passed = 0.0

    def record(self, work: float, passed: float) -> None:
        """Take note of a call: what was done, in any unit, and the time that passed, in seconds."""
        self._work += work
        self._passed += passed
        if len(self._rates) == 1 or self._passed < (_TRY if self._to_try else max(_PERIOD, _SPARSE * self._tried)):
            return
        self._rates[self.now] = self._work / self._passed
        if self._to_try:
            self._tried += self._passed
            self._to_try.pop(0)
        else:
            self._tried = 0.0
            self._to_try = [way for way in range(len(self._rates)) if way != self.now]
        self.now = self._to_try[0] if self._to_try else self._rates.index(max(self._rates))
        self._work = self._passed = 0.0
