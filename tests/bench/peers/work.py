"""Settings, text, initial parameters and clock of a measurement, shared by all peers."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click
import numpy as np

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
MODES = ("train", "sample", "eval")
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's constants
_VALIDATION = 0.1  # the end of the text, which `eval` reads

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Work:
    """Settings of one measurement."""

    mode: str
    corpus: Path
    cell: str = "lstm"
    hidden: int = 128
    layers: int = 1
    streams: int = 1
    k1: int = 50
    k2: int = 50
    threads: int = 2
    seconds: float = 2.0
    learning_rate: float = 2e-3
    clip: float = 5.0
    init: Path | None = None
    precision: str = "float32"  # charlm only


@dataclass(frozen=True)
class Text:
    """A text as ids of its distinct characters, in their sorted order."""

    ids: np.ndarray = field(repr=False)  # (N,) int32
    vocabulary: int

    @classmethod
    def read(cls, path: Path) -> "Text":
        """Read a UTF-8 file."""
        with path.open(encoding="utf-8", newline="") as file:
            characters = np.array(list(file.read()))
        distinct, ids = np.unique(characters, return_inverse=True)
        return cls(ids.astype(np.int32), len(distinct))

    @property
    def validation(self) -> "Text":
        """The last tenth of the text."""
        return Text(self.ids[len(self.ids) - int(_VALIDATION * len(self.ids)) :], self.vocabulary)

    def side_by_side(self, streams: int) -> tuple[np.ndarray, np.ndarray]:
        """Return inputs and targets (T, S): the text divided into S streams of equal length."""
        width = (len(self.ids) - 1) // streams
        inputs = self.ids[: width * streams].reshape(streams, width)
        targets = self.ids[1 : width * streams + 1].reshape(streams, width)
        return np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T)


def initial_parameters(work: Work, vocabulary: int) -> Arrays:
    """Return float32 arrays under PyTorch's names: those of the checkpoint `work.init`, else uniform in +-1/sqrt(H)."""
    if work.init is not None:
        with np.load(work.init) as file:
            return {name.removeprefix("param/"): file[name] for name in file.files if name.startswith("param/")}
    random, bound, rows = np.random.default_rng(0), work.hidden**-0.5, GATES[work.cell] * work.hidden
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(work.layers):
        shapes[f"rnn.weight_ih_l{layer}"] = (rows, work.hidden if layer else vocabulary)
        shapes[f"rnn.weight_hh_l{layer}"] = (rows, work.hidden)
        shapes[f"rnn.bias_ih_l{layer}"] = shapes[f"rnn.bias_hh_l{layer}"] = (rows,)
    shapes |= {"out.weight": (vocabulary, work.hidden), "out.bias": (vocabulary,)}
    return {name: random.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


class Place(NamedTuple):
    """The first step of the next block, and whether it is the text's first, which needs the initial state."""

    start: int
    is_first: bool


def next_block(at: int, steps: int, length: int) -> Place:
    """Return where to read `steps` of `length` steps after position `at`. Start over when they do not fit."""
    start = 0 if at + steps > length else at
    return Place(start, start == 0)


class Peer(Protocol):
    """A program under measurement. Each method does a piece of work and returns the characters it took."""

    losses: list[float]  # mean loss of every update so far, nats

    def train(self) -> int:
        """Make one or more updates."""
        ...

    def sample(self) -> int:
        """Draw characters, each fed back as the next input."""
        ...

    def evaluate(self) -> int:
        """Score a piece of the validation text."""
        ...


def measure(piece: Callable[[], int], seconds: float, warm_up: int) -> float:
    """Return characters per second over at least `seconds`, after `warm_up` pieces that are not counted."""
    for _ in range(warm_up):
        piece()
    characters, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds or characters == 0:
        characters += piece()
    return characters / spent


def run(library: str, make: Callable[[Work, Text], Peer], warm_up: int = 5) -> None:
    """Parse the command line, measure the peer that `make` builds, and print one JSON line."""

    def measured(**options: Any) -> None:
        work = Work(**options)
        peer = make(work, Text.read(work.corpus))
        pieces = {"train": peer.train, "sample": peer.sample, "eval": peer.evaluate}
        result: dict[str, Any] = {"peer": library, "chars_per_second": measure(pieces[work.mode], work.seconds, warm_up)}
        if peer.losses:
            result["loss"] = float(np.mean(peer.losses))
        click.echo(json.dumps(result))

    with_options(measured, MODES)()


def with_options(function: Callable[..., None], modes: tuple[str, ...]) -> click.Command:
    """Return the command that calls `function` with the fields of Work."""
    options: list[click.Parameter] = [
        click.Argument(["mode"], type=click.Choice(modes)),
        click.Argument(["corpus"], type=click.Path(path_type=Path)),
        click.Option(["--cell"], type=click.Choice([*GATES]), default=Work.cell),
        click.Option(["--init"], type=click.Path(path_type=Path), help="A charlm checkpoint with the initial parameters."),
    ]
    for name in ("hidden", "layers", "streams", "k1", "k2", "threads", "seconds", "learning_rate", "clip", "precision"):
        options.append(click.Option([f"--{name.replace('_', '-')}"], default=getattr(Work, name), show_default=True))
    return click.Command("peer", params=options, callback=function, help="Print characters per second as one JSON line.")
