"""The settings of the network."""

from dataclasses import dataclass

from ..registry import CELLS, NORMS
from .checks import require
from .declare import Declared, setting
from .groups import NETWORK

# Lengths of contexts. Each that is counted costs time, and a length between two others would tell little that is new.
_LENGTHS = (1, 2, 3, 4, 5, 6, 8, 12, 20, 32)
LONGEST = 8  # of a run that is trained; a network by itself has no tables
_LARGEST_CLOCK = 10_000
_SHORTEST = 2  # of a text that is counted beforehand: single characters tell it nothing


def activations() -> tuple[str, ...]:
    """Return the activations that some cell can have."""
    return tuple(dict.fromkeys(name for cell in CELLS.values() for name in cell.activations))


def _activation_help() -> str:
    return f"Activation of {CELLS.names_with(lambda cell: len(cell.activations) > 1)} cells."


def _forget_bias_help() -> str:
    gates = ", ".join(f"{c.gates[c.keep_gate].name} of {name}" for name, c in CELLS.items() if c.keep_gate is not None)
    return f"Initial bias of the gate that keeps the state: {gates}. The state decays to a third in about e^B steps."


def _forget_bias_default() -> str:
    return ", ".join(f"{c.keep_bias:g} for {name}" for name, c in CELLS.items() if c.keep_gate is not None)


@dataclass(frozen=True)
class ModelConfig(Declared, group=NETWORK):
    """The network: cell, sizes, norms, clocks, what lies between layers, tables, the bias of the gate that keeps state."""

    cell: str = setting("lstm", choices=CELLS, help="Kind of cell; see charlm guide networks.")
    activation: str = setting("tanh", choices=activations, help=_activation_help)
    hidden: int = setting(256, bounds=(1, 65_536), once=128, help="Hidden units per layer.")
    layers: int = setting(2, bounds=(1, 1_000), once=1, help="Number of layers.")
    dropout: float = setting(
        0.1,
        bounds=(0, 1),
        excluded=(1,),
        default_text="0.1; 0.4 below 500,000 characters, 0 above 10 million",
        once=0.0,
        help="Share of units dropped between layers and before the output layer.",
    )
    residual: bool = setting(False, help="Add the input of each layer to its output, from the second layer on.")
    norm: str = setting(
        "none",
        choices=NORMS,
        help="Normalise each layer's output over its units (layer); each gate's sum over its units, and an LSTM's memory "
        "(cell); the input's part of the gates over the streams and steps of a block (batch); or the input's part as batch "
        "does, the state's part and an LSTM's memory over units (both). batch and both exclude --memory and --once.",
    )
    layer_norm: bool = setting(False, help="Another name for --norm layer.")
    clocks: str = setting(
        "",
        unit="N,N,...",
        may_be_empty=True,
        default_text="1 for each layer",
        help="One number for each layer: a layer of clock n steps once in n characters, and its errors go back up to n "
        "times k2 characters. The first is 1. Implies --residual, so that the output depends on every character.",
    )
    direct_order: int = setting(
        0,
        bounds=(0, 32),
        default_text=str(LONGEST),
        once=32,
        help="Longest context, in characters. What followed each context in the text is counted in tables, which add to the "
        "network's prediction (direct connections). 0: no tables.",
    )
    direct_shortest: int = setting(
        _SHORTEST,
        bounds=(1, 32),
        once=1,
        help=f"Shortest context. Between it and the longest, those of {', '.join(map(str, _LENGTHS[:-1]))} and "
        f"{_LENGTHS[-1]} characters are counted too.",
    )
    direct_size: int | None = setting(
        None,
        bounds=(1, 65_536),
        unit="MB",
        default_text="room for the corpus, at most 128",
        help="Memory for the tables of --direct-order. Training takes three times this memory in all; --once takes it once.",
    )
    forget_bias: float | None = setting(
        None,
        bounds=(-100, 100),
        unit="B",
        default_text=_forget_bias_default,
        help=_forget_bias_help,
    )

    @property
    def layer_clocks(self) -> tuple[int, ...]:
        """The clock of each layer."""
        return tuple(map(int, self.clocks.split(","))) if self.clocks else (1,) * self.layers

    @property
    def slowest(self) -> int:
        """The largest clock."""
        return max(self.layer_clocks)

    @property
    def direct_lengths(self) -> tuple[int, ...]:
        """The lengths of the contexts that are counted, in ascending order; none without tables."""
        if self.direct_order == 0:
            return ()
        shortest = min(self.direct_shortest, self.direct_order)
        return tuple(sorted({shortest, *(n for n in _LENGTHS if shortest < n < self.direct_order), self.direct_order}))

    @property
    def table_megabytes(self) -> int:
        """The size of the tables beside the network, 0 without them; the least where none was chosen."""
        return (self.direct_size or 1) if self.direct_order else 0

    def __post_init__(self) -> None:
        super().__post_init__()
        cell = CELLS[self.cell]
        if self.layer_norm:
            require(
                self.norm in ("none", "layer"), f"--norm {self.norm}: --layer-norm asks for another norm; give one of them"
            )
            object.__setattr__(self, "norm", "layer")
        object.__setattr__(self, "layer_norm", self.norm == "layer")
        self._check_clocks()
        require(
            self.activation in cell.activations,
            f"--activation {self.activation} belongs to the "
            f"{CELLS.names_with(lambda c: self.activation in c.activations)} cells; {self.cell} has its own",
        )
        # Whoever asks for --direct-order 1 need not ask for another shortest context than the default.
        require(
            self.direct_order == 0 or self.direct_shortest <= max(self.direct_order, _SHORTEST),
            f"--direct-shortest {self.direct_shortest}: contexts are counted up to --direct-order {self.direct_order}",
        )
        require(
            self.forget_bias is None or cell.keep_gate is not None,
            f"--forget-bias belongs to {CELLS.names_with(lambda c: c.keep_gate is not None)}: in the {self.cell} cell no "
            "gate keeps the state",
        )

    def _check_clocks(self) -> None:
        numbers = _numbers(self.clocks)
        in_range = all(1 <= n <= _LARGEST_CLOCK for n in numbers)
        wanted = (
            f"{self.layers} whole number{'s' * (self.layers > 1)} from 1 to {_LARGEST_CLOCK:,}, one for each of --layers"
        )
        require(
            in_range and len(numbers) in (0, self.layers) and numbers[:1] in ([], [1]),
            f"--clocks {self.clocks}: must be {wanted}, separated by commas; the first must be 1, since the first layer "
            "reads every character",
        )
        object.__setattr__(self, "clocks", usual_clocks(self.clocks))
        if self.clocks:
            object.__setattr__(self, "residual", True)


def _numbers(clocks: str) -> list[int]:
    """Return the numbers of a list as --clocks takes it; 0 for what is none."""
    return [int(part) if part.strip().isdecimal() else 0 for part in clocks.split(",")] if clocks else []


def usual_clocks(clocks: str) -> str:
    """Return a list of clocks as configurations keep it: without spaces, and empty if all layers read every character.

    >>> usual_clocks("1, 4"), usual_clocks("1,1")
    ('1,4', '')
    """
    numbers = _numbers(clocks)
    return ",".join(map(str, numbers)) if any(n != 1 for n in numbers) else ""
