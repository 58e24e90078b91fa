"""The request for a run: corpus, settings, directory, when it is saved, and what it starts from."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .checks import MOST_UPDATES
from .declare import Declared, setting
from .groups import NETWORK, RUN
from .keywords import Settings
from .settings import configuration, refuse_vain


@dataclass(frozen=True)
class LaunchConfig(Declared, group=RUN):
    """Options of `charlm train` besides those of RunConfig."""

    run: str | None = setting(
        None,
        spelled=("-o", "--run"),
        path="any",
        default_text="runs/<stem of the first corpus file>",
        help="Run directory.",
    )
    save_every: str = setting(
        "60s",
        unit="N|Ns",
        help="Save after N updates (500) or N seconds (60s); 0 saves only at the start and at the end.",
    )
    resume: bool = setting(
        False,
        help="Continue the run exactly where it was saved, on the same text. It keeps its settings; only --epochs, "
        "--updates, --minutes, --patience, --eval-every, --max-rollbacks, --sync-every, --save-every, --tensorboard and "
        "--threads may change.",
    )
    force: bool = setting(False, help="Start over in a directory that holds a run.")
    init_from: str | None = setting(
        None,
        path="any",
        group=NETWORK,
        unit="RUN",
        help="Start from the parameters of another run, which also sets the shape of the model.",
    )
    tensorboard: bool = setting(False, help="Also write event files for TensorBoard to the run directory.")


@dataclass(frozen=True)
class SavingConfig(Declared):
    """When a run is saved, besides at its end: after a number of updates or of seconds (0: never)."""

    updates: int = setting(0, name="save_every", bounds=(0, MOST_UPDATES), internal=True, help="Updates between saves.")
    seconds: float = setting(
        60.0, name="save_every", bounds=(0, 1_000_000_000), internal=True, help="Seconds between saves."
    )

    @classmethod
    def parse(cls, text: str) -> "SavingConfig":
        """Return what the text of --save-every says. Raises ConfigurationError."""
        try:
            return cls(0, float(text[:-1])) if text.endswith("s") else cls(int(text), 0.0)
        except ValueError:
            raise ConfigurationError(f"--save-every {text}: give updates (500) or seconds (60s)") from None


@dataclass(frozen=True)
class Request:
    """A request for a run. corpus: files, "-" for standard input. settings: those that were given.

    run: its directory. threads: None for the number of processors. resume: continue the run in the directory. force: start
    it over. init_from: another run, to start from its parameters.
    """

    corpus: tuple[str, ...]
    run: Path
    settings: Settings
    saving: SavingConfig = SavingConfig()
    threads: int | None = None
    resume: bool = False
    force: bool = False
    init_from: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError for settings that contradict each other."""
        if self.resume and self.force:
            raise ConfigurationError("--resume continues a run and --force starts it over: give one of them")
        if self.resume and self.init_from is not None:
            raise ConfigurationError("--resume continues a run and --init-from starts one: give one of them")
        refuse_vain(self.settings)
        if not self.resume and self.init_from is None:  # else the settings of another run decide what is allowed
            configuration(self.settings, self.corpus)
