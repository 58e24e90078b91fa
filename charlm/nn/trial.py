"""Which of several ways is the fastest, found by taking turns at the work itself."""

_TRY = 0.05  # seconds of work, at least, that are judged together
_TRIES = 2  # of each way in the beginning; the best counts: threads that have just begun may share a processor
_FIRST_PERIOD, _LONGEST_PERIOD = 0.5, 8.0  # seconds until others are tried again, twice as many each time nothing changes
_SPARSE = 10  # so many times as long as a try took, at least
_MARGIN = 1.03  # times as fast another must be


class Trial:
    """The number of the way to take now, `now`: the one chosen last, or one that is being tried. One way is never tried."""

    def __init__(self, ways: int) -> None:
        self.now = self._chosen = 0
        self._rates = [0.0] * ways
        self._to_try = list(range(ways)) * _TRIES if ways > 1 else []
        self._period = _FIRST_PERIOD
        self._enough = _TRY  # seconds until the rate of `now` is judged
        self._work = self._passed = self._change = 0.0

    def changed(self, seconds: float) -> None:
        """Take note of what a change from one way to another took beside the work."""
        self._change = seconds

    def record(self, work: float, passed: float) -> None:
        """Take note of a call: what was done, in any unit, and the time that passed, in seconds."""
        self._work += work
        self._passed += passed
        if len(self._rates) == 1 or self._passed < self._enough:
            return
        rate, passed, self._work, self._passed = self._work / self._passed, self._passed, 0.0, 0.0
        if self._to_try:
            self._rates[self.now] = max(rate, self._rates[self.now])
            self._to_try.pop(0)
        else:
            self._to_try = [way for way in range(len(self._rates)) if way != self.now]
            self._rates = [rate if way == self.now else 0.0 for way in range(len(self._rates))]
        if self._to_try:
            self.now, self._enough = self._to_try[0], _TRY
        else:
            self._decide(passed)

    def _decide(self, passed: float) -> None:
        """Take the fastest until the others are tried again. passed: seconds that a try took."""
        best = self._rates.index(max(self._rates))
        self.now = best if self._rates[best] > _MARGIN * self._rates[self._chosen] else self._chosen
        self._period = _FIRST_PERIOD if self.now != self._chosen else min(2 * self._period, _LONGEST_PERIOD)
        self._enough = max(self._period, _SPARSE * (passed + 2 * self._change))
        self._chosen = self.now
