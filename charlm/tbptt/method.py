"""Truncation methods: which steps an update's errors reach, which losses it takes, and with what weight.

Each method is a class in a file of its own, listed in charlm/registry.py. Kernels know none of them: a method only
chooses the numbers in their plans.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from ..config.declare import Declared, declarations
from ..errors import ConfigurationError
from ..lazy import np
from ..registry import TRUNCATIONS
from ..tree import LeafError, describe

if TYPE_CHECKING:
    from ..config.truncation import TruncationConfig
    from .decay import DecayProfile
    from .plan import Cuts, Position
    from .sequences import Sequences
    from .streams import Streams


@dataclass(frozen=True)
class NoSettings(Declared):
    """The settings of a method that declares none."""


@dataclass(frozen=True)
class Realised:
    """Fields that a method adds to metrics.jsonl and to train's summary: what its settings leave open. None here."""

    def describe(self) -> str:
        """Return the fields in words, for the summary; empty if there is nothing to say."""
        return ""


class Choice(NamedTuple):
    """The outcome of a measurement: the relative bias of the k2 that was chosen, and whether it is within the tolerance."""

    relative_bias: float
    within: bool


class TruncationMethod(ABC):
    """One method for one set of streams.

    Settings: a frozen dataclass of the method's own settings, declared with `setting`; each becomes an option of train.
    takes_k1: whether --k1 and --k2 belong to the method. pieces: when its blocks may be computed in pieces (--memory),
    for a message; empty if never.
    """

    Settings: ClassVar[type[Declared]] = NoSettings
    takes_k1: ClassVar[bool] = True
    pieces: ClassVar[str] = ""

    def __init__(self, config: TruncationConfig, streams: Streams, seed: int = 0, clocks: tuple[int, ...] = (1,)) -> None:
        """seed: of what a method draws at random. clocks: of the network's layers; errors go back that many times k2."""
        self.config, self._streams, self._seed, self._clocks = config, streams, seed, clocks
        self.k2 = config.k2

    # --- settings ----------------------------------------------------------------------------------------------------

    @classmethod
    def k1_and_k2(cls, k1: int | None, k2: int | None, given: Mapping[str, Any], usual_k1: int) -> tuple[int, int]:
        """Return k1 and k2 for what was asked (None: nothing). given: the method's own settings that were asked for."""
        k1 = usual_k1 if k1 is None else k1
        return k1, k1 if k2 is None else k2

    @classmethod
    def settings_for(cls, k1: int, given: Mapping[str, Any]) -> Any:
        """Return the method's Settings with these values; defaults may follow from k1. Raises ConfigurationError."""
        unknown = set(given) - {each.attribute for each in declarations(cls.Settings)}
        if unknown:
            raise ConfigurationError(f"unknown settings of a truncation: {', '.join(sorted(map(str, unknown)))}")
        return cls.Settings(**given)

    @classmethod
    def check(cls, config: TruncationConfig) -> None:
        """Raise ConfigurationError for settings that do not go together."""
        if config.memory and not cls.stays_within_block(config):
            possible = ", or ".join(dict.fromkeys(each.pieces for each in TRUNCATIONS.values() if each.pieces))
            raise ConfigurationError(f"--memory: only a block whose errors stay within it can be made in pieces: {possible}")

    @classmethod
    def stays_within_block(cls, config: TruncationConfig) -> bool:
        """Return whether no error leaves its block, so that the block can be computed in pieces."""
        return False

    # --- what users are told -----------------------------------------------------------------------------------------

    @classmethod
    def label(cls, config: TruncationConfig) -> str:
        """Return the method's name with its main settings."""
        return f"{config.kind}(k1={config.k1}, k2={config.k2})"

    @abstractmethod
    def describe(self) -> str:
        """Return a sentence that says what the method promises: reach, weight, uses of each loss, cost."""

    def describe_sequences(self, found: Sequences) -> str:
        """Return a sentence that says how many of the sequences between resets the truncation cuts."""
        if found.cut == 0:
            return "none is cut"
        return f"truncation cuts {100 * found.cut / found.count:.3g} % of them ({found.cut:,})"

    def realised(self, steps: int, updates: int, longest: int) -> Realised:
        """Return what the settings leave open, for the log and the summary.

        steps, updates: over which to take it. longest: steps of the longest block among them.
        """
        return Realised()

    def describe_layers(self) -> str:
        """Return how far errors go back in each layer, in words; empty if it is the same for all."""
        if max(self._clocks) == 1:
            return ""
        steps = [f", which steps once in {n}" * (n > 1) for n in self._clocks]
        each = [
            f"{self.reach_of(n):,} in layer {i}{how}" for i, (n, how) in enumerate(zip(self._clocks, steps, strict=True), 1)
        ]
        return "characters that errors go back at most: " + "; ".join(each)

    def reach_of(self, clock: int) -> int:
        """Return the most characters that errors go back in a layer of this clock."""
        return min(clock * self.deepest, self._streams.steps)

    # --- reach and cost ----------------------------------------------------------------------------------------------

    @property
    def deepest(self) -> int:
        """The largest k2 that the method may use."""
        return self.config.k2

    @property
    def cost(self) -> float:
        """Cost of training on a character, in units of reading it forward: forward 1, backward 2 for each time."""
        return 1 + 2 * self.config.k2 / self.config.k1

    @property
    def older_losses(self) -> int:
        """How many steps before the block have their losses injected once more."""
        return 0

    @property
    @abstractmethod
    def block(self) -> int:
        """The longest block that is planned without asking for room first, in steps."""

    @property
    @abstractmethod
    def window(self) -> int:
        """The most steps that errors reach back without asking for room first."""

    @property
    @abstractmethod
    def updates_per_epoch(self) -> int:
        """Update blocks of an epoch, the last, shorter one included; the expected number if they are random."""

    @abstractmethod
    def reaches_back(self, at: Position) -> bool:
        """Return whether the update at a position needs activations of the blocks before it."""

    @abstractmethod
    def first_reached(self, steps: np.ndarray) -> np.ndarray:
        """Return the first step of the epoch that the error of a loss at each of these steps reaches, with today's k2."""

    @abstractmethod
    def cuts(self, at: Position, updates: int) -> Cuts:
        """Return at most `updates` updates from `at` on, never past the end of the epoch."""

    # --- measurements, for methods that choose k2 by them ------------------------------------------------------------

    measured_losses: ClassVar[int] = 0  # losses that a measurement follows back

    @property
    def measure_every(self) -> int:
        """Updates between measurements of how far errors reach; 0 for none."""
        return 0

    @property
    def lags(self) -> int:
        """Steps back that a measurement is to cover; 0 for none."""
        return 0

    def require_text(self, characters: int) -> None:  # noqa: B027
        """Raise CorpusError for a training text that is too short to measure on."""

    def choose(self, profile: DecayProfile) -> Choice:
        """Choose k2 by a measurement."""
        raise NotImplementedError(f"{self.config.kind} takes no measurements")

    # --- memory ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return all that the method remembers between updates."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what state_dict returned. Raises LeafError for impossible values."""
        for name, value in state.items():
            raise LeafError(name, f"nothing, which is all that {self.config.kind} remembers", describe(value))


def make_method(config: TruncationConfig, streams: Streams, seed: int, clocks: tuple[int, ...] = (1,)) -> TruncationMethod:
    """Return the method that a configuration names. clocks: of layers. Raises ConfigurationError for an unknown name."""
    made: TruncationMethod = TRUNCATIONS[config.kind](config, streams, seed, clocks)
    return made
