"""charlm: character language models trained by truncated backpropagation through time, TBPTT(k1, k2), on a CPU.

What the command line does, for programs:

    model = charlm.train("corpus.txt", "runs/corpus", k1=64, k2=128, minutes=3)    # or charlm.load("runs/corpus")
    model.bits("to be or not to be")        # a code length
    for line in model.score(open("log")):   # each line with its bits
        ...
    model.sample(200, prime="The ")

Nothing heavy is imported until it is used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import CharlmError, CheckpointError, ConfigurationError, CorpusError, DivergenceError, ResourceError
    from .events import Adaptation, Alarm, Event, Note, Progress, Validation
    from .lines import Scored
    from .model import Model, Score, load
    from .runs import train
    from .settings import Settings
    from .writer import Text

__version__ = "0.1.0"

_HOMES = {
    "train": "runs", "load": "model", "Model": "model", "Score": "model", "Scored": "lines", "Text": "writer",
    "Settings": "settings",
    **dict.fromkeys(("Adaptation", "Alarm", "Event", "Note", "Progress", "Validation"), "events"),
    **dict.fromkeys(("CharlmError", "CheckpointError", "ConfigurationError", "CorpusError", "DivergenceError",
                     "ResourceError"), "errors"),
}  # fmt: skip
__all__ = [
    "Adaptation", "Alarm", "CharlmError", "CheckpointError", "ConfigurationError", "CorpusError", "DivergenceError",
    "Event", "Model", "Note", "Progress", "ResourceError", "Score", "Scored", "Settings", "Text", "Validation", "load",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports what is public when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
