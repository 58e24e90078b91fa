"""The names that options choose from, and where each is defined. A new cell, norm, optimizer or truncation method is a line.

A definition is imported when its name is first asked for, so that listing the names costs nothing.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import ConfigurationError, not_among


class Registry(Mapping[str, Any]):
    """Definitions of one kind by name. Looking up an unknown name raises ConfigurationError."""

    def __init__(self, option: str, places: dict[str, str]) -> None:
        """option: what chooses among them, such as "cell". places: "package.module:NAME" within charlm, by name."""
        self._option = option
        self._places: dict[str, Any] = dict(places)

    def __getitem__(self, name: str) -> Any:
        if name not in self._places:
            raise not_among(self._option, name, self._places)
        place = self._places[name]
        if isinstance(place, str):
            module, _, attribute = place.partition(":")
            self._places[name] = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def names_with(self, has: Callable[[Any], Any]) -> str:
        """Return the names of the definitions that have a property, for a message."""
        *names, last = [name for name in self if has(self[name])]
        return f"{', '.join(names)} and {last}" if names else last

    def register(self, name: str, definition: Any) -> None:
        """Add a definition, as a line below does. Raises ConfigurationError if the name is taken."""
        if name in self._places:
            raise ConfigurationError(f"--{self._option} {name}: is already registered")
        self._places[name] = definition

    def unregister(self, name: str) -> None:
        """Remove a definition."""
        del self._places[name]


CELLS = Registry(
    "cell",
    {
        "rnn": "nn.cells.rnn:RNN",
        "lstm": "nn.cells.lstm:LSTM",
        "gru": "nn.cells.gru:GRU",
        "mlstm": "nn.cells.mlstm:MLSTM",
        "indrnn": "nn.cells.indrnn:INDRNN",
        "mingru": "nn.cells.mingru:MINGRU",
    },
)

NORMS = Registry(
    "norm",
    {
        "none": "nn.norms.none:NONE",
        "layer": "nn.norms.layer:LAYER",
        "cell": "nn.norms.cell:CELL",
        "batch": "nn.norms.batch:BATCH",
        "both": "nn.norms.both:BOTH",
    },
)

OPTIMIZERS = Registry(
    "optimizer",
    {
        "adam": "nn.optimizers.adam:ADAM",
        "adamw": "nn.optimizers.adamw:ADAMW",
        "rmsprop": "nn.optimizers.rmsprop:RMSPROP",
        "adagrad": "nn.optimizers.adagrad:ADAGRAD",
        "sgd": "nn.optimizers.sgd:SGD",
    },
)

TRUNCATIONS = Registry(
    "truncation",
    {
        "newest": "tbptt.newest:Newest",
        "window": "tbptt.window:Window",
        "artbp": "tbptt.artbp:Artbp",
        "adaptive": "tbptt.adaptive:Adaptive",
    },
)
