"""The request for a run: the corpus, the settings that were given, and how to start."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigurationError
from .keywords import Settings
from .launch import SavingConfig
from .settings import configuration, refuse_vain


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
