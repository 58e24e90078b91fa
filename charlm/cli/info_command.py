"""charlm info: what a run is. Reads the file's meta data only, so it needs no compiler."""

import json
import math
from pathlib import Path
from typing import Any

import click

from .options import Command, json_option, print_json, run_argument


@click.command("info", cls=Command, short_help="Show what a run or checkpoint is.")
@run_argument
@json_option
def command(run: str | None, as_json: bool) -> None:
    """Show configuration, size, vocabulary and progress of RUN, a run directory or a checkpoint.

    \b
    charlm info
    charlm info runs/corpus/last.npz --json
    """
    from ..checkpoint import checkpoint_file, find_run, load_meta

    path = checkpoint_file(find_run(run))
    meta, parameters = load_meta(path)
    characters = meta["vocabulary"]
    if as_json:
        print_json({"file": str(path), "parameters": parameters, **meta})
        return
    for name, value in _label(path, meta, parameters, characters):
        click.echo(f"{name:<12}{value}")


def _label(path: Path, meta: dict[str, Any], parameters: int, characters: Any) -> list[tuple[str, str]]:
    config, progress = meta["config"], meta["progress"]
    model, cut, reset, rule = config["model"], config["truncation"], config["reset"], config["optimizer"]
    extras = [name for name in ("residual", "layer_norm") if model[name]]
    extras += [f"dropout {model['dropout']:g}"] if model["dropout"] else []
    extras += [f"forget bias {model['forget_bias']:g}"] if model.get("forget_bias") is not None else []
    best = progress["best_val_nats"]
    known = (
        "256 bytes"
        if characters == "bytes"
        else f"{len(characters):,} characters {json.dumps(''.join(characters[:60]), ensure_ascii=False)}"
    )
    return [
        ("file", str(path)),
        ("model", ", ".join([f"{model['cell']} {model['layers']} x {model['hidden']}", *extras])),
        ("parameters", f"{parameters:,}"),
        ("vocabulary", known),
        (
            "truncation",
            f"{_cut(cut)}, reset {_reset(reset)}, {config['streams']} streams",
        ),
        ("optimizer", f"{rule['rule']}, lr {rule['learning_rate']:g}, clip {rule['clip']:g}"),
        ("corpus", " ".join(config["corpus"])),
        ("progress", f"{progress['updates']:,} updates, {progress['epochs']:.2f} epochs, {progress['seconds']:.1f} s"),
        ("validation", "none" if best is None else f"best {best:.4f} nats/char, {best / math.log(2):.4f} bits/char"),
    ]


def _cut(cut: dict[str, Any]) -> str:
    if cut["kind"] == "artbp":
        return f"artbp(mean length {cut['mean_length']:g}, tail {cut['tail']:g})"
    return f"{cut['kind']}(k1={cut['k1']}, k2={cut['k2']})"


def _reset(reset: dict[str, Any]) -> str:
    if reset["policy"] == "every":
        return f"every {reset['every']:,} characters"
    return f"after {json.dumps(reset['after'], ensure_ascii=False)}" if reset["policy"] == "after" else reset["policy"]
