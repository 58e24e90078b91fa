"""charlm info: a description of a run. Numba is not loaded."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.model import ModelConfig
from ..config.reset import ResetConfig
from ..config.run import RunConfig
from ..registry import CELLS, NORMS
from ..storage.run_directory import BEST, LAST, checkpoint_file, find_run
from ..units import to_bits
from .command import Command
from .options import duration, json_option, print_json, run_argument
from .results import InfoResult

if TYPE_CHECKING:
    from ..corpus.vocabulary import Vocabulary
    from ..storage.checkpoint import Meta


@click.command("info", cls=Command)
@run_argument
@json_option
def command(run: str | None, as_json: bool) -> None:
    """Show the configuration, size, vocabulary and progress of RUN, a run directory or a checkpoint.

    \b
    Examples:
      charlm info
      charlm info runs/corpus/last.npz --json
    """
    from ..storage.checkpoint import load_meta

    path = checkpoint_file(find_run(run))
    meta = load_meta(path)
    if as_json:
        config, vocabulary = meta.config.to_json(), meta.vocabulary.to_json()
        print_json(InfoResult(str(path), meta.parameters, meta.format, config, vocabulary, meta.progress))
        return
    for name, value in _label(path, meta):
        click.echo(f"{name:<12}{value}")


def _label(path: Path, meta: "Meta") -> list[tuple[str, str]]:
    """Return names and values to show, as a label does: contents, weight, source, recipe, effort, quality, use."""
    where = path.parent if path.name in (BEST, LAST) else path
    return [
        ("contents", _contents(meta.config.model)),
        ("weight", f"{meta.parameters:,} parameters, {path.stat().st_size / 1e6:.1f} MB in {path}"),
        ("alphabet", _alphabet(meta.vocabulary)),
        ("made from", _source(meta.config, meta.progress)),
        ("made by", _recipe(meta.config)),
        ("made in", _effort(meta.progress)),
        ("quality", _quality(meta.progress, len(meta.vocabulary))),
        ("serve with", f"charlm sample {where}"),
    ]


def _contents(model: ModelConfig) -> str:
    extras = [name for name in ("residual" if model.residual else "", NORMS[model.norm].label) if name]
    extras += [f"clocks {model.clocks}"] if model.clocks else []
    extras += [f"dropout {model.dropout:g}"] if model.dropout else []
    extras += [f"forget bias {model.forget_bias:g}"] if model.forget_bias is not None else []
    lengths = model.direct_lengths
    extras += [f"tables of contexts of {lengths[0]} to {lengths[-1]} characters"] if lengths else []
    has_choice = len(CELLS[model.cell].activations) > 1
    cell = f"{model.cell} ({model.activation})" if has_choice else model.cell
    layers = "1 layer" if model.layers == 1 else f"{model.layers} layers"
    return ", ".join([f"a character model: {cell}, {layers} of {model.hidden}", *extras])


def _alphabet(vocabulary: "Vocabulary") -> str:
    characters = vocabulary.characters
    if characters is None:
        return "256 bytes"
    shown = json.dumps("".join(characters[:60]), ensure_ascii=False)
    return f"{len(characters):,} characters {shown}{' and so on' if len(characters) > 60 else ''}"


def _source(config: RunConfig, progress: dict[str, Any]) -> str:
    if not config.corpus:
        return "an imported model"
    times = f", read {progress['epochs']:.2f} times" if progress else ""
    return " ".join(config.corpus) + times


def _recipe(config: RunConfig) -> str:
    if not config.corpus:
        return "unknown"
    rule = config.optimizer
    return (
        f"{config.truncation.label}, reset {_reset(config.reset)}, {config.streams} streams; {rule.rule}, "
        f"lr {rule.learning_rate:g}, weight decay {rule.weight_decay:g}, clip {rule.clip:g}"
    )


def _effort(progress: dict[str, Any]) -> str:
    if not progress:
        return "unknown"
    return (
        f"{duration(progress['seconds'])} of training, {progress['updates']:,} updates, "
        f"{progress['chars_per_second']:,.0f} characters/s"
    )


def _quality(progress: dict[str, Any], characters: int) -> str:
    best = progress.get("best_val_nats")
    guessing = f"guessing takes {math.log2(max(1, characters)):.2f}"
    if "code_bits_per_char" in progress:
        return f"its corpus coded in {progress['code_bits_per_char']:.4f} bits/char ({guessing})"
    if best is None:
        return "not measured; run charlm eval"
    return f"{to_bits(best):.4f} bits/char, {best:.4f} nats/char on held-out text ({guessing})"


def _reset(reset: ResetConfig) -> str:
    if reset.policy == "every":
        return f"every {reset.every:,} characters"
    return f"after {json.dumps(reset.after, ensure_ascii=False)}" if reset.policy == "after" else reset.policy
