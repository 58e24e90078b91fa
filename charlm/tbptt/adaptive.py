"""adaptive: newest with the smallest k2 whose measured bias is within a tolerance (Aicher, Foti & Fox 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..config.checks import MOST_STEPS, require
from ..config.declare import Declared, setting
from ..config.groups import TRUNCATION
from ..errors import CorpusError
from ..tree import take_count
from .method import Choice, Realised
from .newest import Newest

if TYPE_CHECKING:
    from ..config.truncation import TruncationConfig
    from .decay import DecayProfile

_BLOCKS = 8  # of k1 steps: the largest k2 unless another is asked for


@dataclass(frozen=True)
class Tolerance(Declared, group=TRUNCATION):
    """How much bias is accepted, and the largest k2."""

    bias_tolerance: float = setting(
        0.1, bounds=(0, 1), excluded=(0, 1), unit="D", help="Relative bias that adaptive accepts."
    )
    max_k2: int = setting(
        _BLOCKS * 64,
        bounds=(1, MOST_STEPS),
        default_text=f"{_BLOCKS} times k1",
        help="Largest k2 of adaptive.",
    )


@dataclass(frozen=True)
class ChosenK2(Realised):
    """With --truncation adaptive: its choice so far."""

    k2: int = field(metadata={"help": "The k2 that was chosen last."})

    def describe(self) -> str:
        """Return the k2 in words."""
        return f"k2 {self.k2} at last"


class Adaptive(Newest):
    """newest, whose k2 begins as the configuration's and then follows measurements, up to max_k2. k1 stays."""

    Settings = Tolerance
    pieces = ""
    measured_losses = 32

    @classmethod
    def settings_for(cls, k1: int, given: Mapping[str, Any]) -> Any:
        """Return the method's Settings; the largest k2 follows from k1 unless it is given."""
        return super().settings_for(k1, {"max_k2": _BLOCKS * k1, **given})

    @classmethod
    def check(cls, config: TruncationConfig) -> None:
        """Raise ConfigurationError for a first k2 above the largest."""
        most = config.settings.max_k2
        require(most >= config.k2, f"--max-k2 {most}: must be at least k2 {config.k2}")
        super().check(config)

    @classmethod
    def stays_within_block(cls, config: TruncationConfig) -> bool:
        """Return False: k2 may grow."""
        return False

    @property
    def _own(self) -> Tolerance:
        own: Tolerance = self.config.settings
        return own

    def _name(self) -> str:
        return f"adaptive(k1={self.config.k1}, k2 from {self.config.k2}, at most {self._own.max_k2})"

    def _remedy(self, longest: int) -> str:
        return f" while k2 is {self.k2}"

    def realised(self, steps: int, updates: int, longest: int) -> ChosenK2:
        """Return the k2 that was chosen last."""
        return ChosenK2(self.k2)

    @property
    def deepest(self) -> int:
        """The largest k2 that measurements may choose."""
        return self._own.max_k2

    @property
    def lags(self) -> int:
        """The steps back that a measurement covers: the largest k2, or an epoch if that is shorter."""
        return min(self.deepest, self._streams.steps)

    @property
    def measure_every(self) -> int:
        """Updates between measurements, which then take about a twentieth of the time."""
        return max(50, 20 * self.measured_losses * 2 * self.lags // (self._streams.count * self.config.k1))

    def require_text(self, characters: int) -> None:
        """Raise CorpusError for a text that has no room for two windows."""
        if characters <= 2 * self.lags:
            raise CorpusError(f"--max-k2 {self.lags}: too far for a training text of {characters:,} characters")

    def choose(self, profile: DecayProfile) -> Choice:
        """Take the k2 that a profile recommends, the largest one if none is enough."""
        found = profile.recommended(self._own.bias_tolerance, self.config.k1)
        self.k2 = self.lags if found is None else max(1, found)
        bias = float(profile.relative_bias(self.config.k1)[self.k2])
        return Choice(bias, bias <= self._own.bias_tolerance)

    def state_dict(self) -> dict[str, Any]:
        """Return the k2 that was chosen last."""
        return {"k2": self.k2}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a k2. Raises LeafError for one that cannot have been chosen."""
        self.k2 = take_count(state, "k2", 1, self.deepest)
