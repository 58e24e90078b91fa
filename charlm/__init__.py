"""charlm: character language models trained by truncated backpropagation through time, TBPTT(k1, k2), on a CPU.

What the command line does, for programs. Training takes text files and the settings of `charlm train`, and tells what
happens:

>>> import charlm
>>> from pathlib import Path
>>> written = Path("rain.txt").write_text("the rain in spain stays mainly in the plain\\n" * 50)
>>> events = []
>>> model = charlm.train("rain.txt", "runs/rain", on_event=events.append, k1=16, k2=32, hidden=48, dropout=0, updates=400)
>>> [event for event in events if isinstance(event, charlm.Validation)][-1].val_nats < 0.2
True

A model, just trained or loaded, scores text in bits, and writes it:

>>> model = charlm.load("runs/rain")
>>> model.bits("the rain in spain") < model.bits("a spanish train")
True
>>> for line in model.score(["the rain in spain stays mainly in the plain\\n", "tin pans\\n"]):
...     print(line.chars, line.bits / line.chars > 1)
44 False
9 True
>>> model.sample(17, prime="the rain", temperature=0)
'the rain in spain stays m'

Nothing heavy is imported until it is used. Errors are CharlmError and what derives from it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__

if TYPE_CHECKING:
    from .config.keywords import Settings
    from .errors import CharlmError, CheckpointError, ConfigurationError, CorpusError, DivergenceError, ResourceError
    from .events import Adaptation, Alarm, Event, Note, Progress, Validation
    from .inference.generation import Text
    from .inference.line_scoring import Scored
    from .inference.model import Model, Score, load
    from .training.session import train

_HOMES = {
    "train": "training.session",
    "load": "inference.model",
    "Model": "inference.model",
    "Score": "inference.model",
    "Scored": "inference.line_scoring",
    "Text": "inference.generation",
    "Settings": "config.keywords",
    **dict.fromkeys(("Adaptation", "Alarm", "Event", "Note", "Progress", "Validation"), "events"),
    **dict.fromkeys(
        ("CharlmError", "CheckpointError", "ConfigurationError", "CorpusError", "DivergenceError", "ResourceError"), "errors"
    ),
}
__all__ = [
    "Adaptation",
    "Alarm",
    "CharlmError",
    "CheckpointError",
    "ConfigurationError",
    "CorpusError",
    "DivergenceError",
    "Event",
    "Model",
    "Note",
    "Progress",
    "ResourceError",
    "Score",
    "Scored",
    "Settings",
    "Text",
    "Validation",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    """Imports what is public when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
