"""All settings that decide what a run computes, as one frozen dataclass, to JSON and back. Standard library only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import ConfigurationError
from ..registry import NORMS
from .checks import LARGEST_SEED, MOST_STREAMS, MOST_UPDATES, require
from .declare import Declaration, Declared, parts, setting
from .groups import GROUPS, LENGTH, NETWORK, RUN, TRUNCATION
from .model import ModelConfig
from .optimizer import OptimizerConfig
from .reset import ResetConfig
from .schedule import ScheduleConfig
from .truncation import TruncationConfig
from .versions import VERSION, current


@dataclass(frozen=True)
class RunConfig(Declared, group=LENGTH):
    """All that decides what a run computes. The number of threads and the run's directory do not.

    corpus: the files.
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    truncation: TruncationConfig = field(default_factory=TruncationConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig.from_settings({}))
    schedule: ScheduleConfig = field(default_factory=lambda: ScheduleConfig.from_settings({}))
    streams: int = setting(
        32,
        bounds=(1, MOST_STREAMS),
        group=TRUNCATION,
        default_text="32, fewer for a small corpus",
        once=1,
        help="Parts of the corpus that are read side by side.",
    )
    seed: int = setting(0, bounds=(0, LARGEST_SEED), group=NETWORK, help="Seed of initial parameters, dropout and cuts.")
    sync_every: int = setting(
        1,
        bounds=(1, MOST_UPDATES),
        group=RUN,
        help="With mpiexec: updates that each process makes on its own streams before the parameters are averaged.",
    )
    once: bool = setting(
        False,
        help="Read the whole corpus a single time, and report its code length under a model that learns as it reads "
        "(prequential coding).",
    )
    max_rollbacks: int = setting(
        5,
        bounds=(0, 1_000),
        help="After divergence, return to the last good state with half the learning rate, at most N times.",
    )
    use_bytes: bool = setting(
        False, spelled=("--bytes",), group=RUN, help="Model bytes instead of characters. Any file will do."
    )
    corpus: tuple[str, ...] = ()
    val_file: str | None = setting(
        None,
        spelled=("--val",),
        path="any",
        default_text="the end of the corpus",
        help="Validation text.",
    )
    val_fraction: float = setting(
        0.1,
        bounds=(0, 1),
        excluded=(1,),
        once=0.0,
        help="Share of the corpus held out at its end; 0 holds out nothing.",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if NORMS[self.model.norm].of_blocks:
            name = f"--norm {self.model.norm}"
            require(not self.truncation.memory, f"{name} takes statistics of a whole block, which --memory would divide")
            require(not self.once, f"{name}: statistics of a block know what follows in it, and --once must not know")
        self.require_rows(1)

    def require_rows(self, ranks: int) -> None:
        """Raise ConfigurationError for a norm of blocks where each rank's block is a single step of a layer and stream."""
        if NORMS[self.model.norm].of_blocks:
            each = " for each rank" if ranks > 1 else ""
            steps = -(-self.truncation.k1 // self.model.slowest)
            enough = self.streams // ranks * steps > 1
            why = f"one step of one stream has no variance: use more --streams{each} or a larger --k1"
            require(enough, f"--norm {self.model.norm}: {why}")

    @classmethod
    def declared(cls) -> tuple[Declaration, ...]:
        """Return all settings of a run, in the order of the sections of help."""
        place = {group: i for i, group in enumerate(GROUPS)}
        return tuple(sorted(super().declared(), key=lambda each: place.get(each.group, len(GROUPS))))

    def to_json(self) -> dict[str, Any]:
        """Return a plain dictionary that from_json turns back into an equal configuration."""
        return {"version": VERSION, **asdict(self), "corpus": list(self.corpus)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunConfig":
        """Read what to_json wrote, of this version or an earlier one.

        Raises ConfigurationError for unknown, missing or impossible settings.
        """
        try:
            data = current(data)
            known = {f.name for f in fields(cls)}
            require(set(data) <= known, f"unknown settings {sorted(set(data) - known)}")
            built = {name: kind(**data[name]) for name, kind in parts(cls).items()}
            corpus = data["corpus"]
            require(
                isinstance(corpus, list) and all(isinstance(name, str) for name in corpus), "corpus: must be a list of texts"
            )
            return cls(**{**data, **built, "corpus": tuple(corpus)})
        except (TypeError, KeyError, AttributeError):
            raise ConfigurationError("the settings of a run are missing or of another kind") from None
