"""charlm import: a run made from a PyTorch model."""

from pathlib import Path
from typing import Any

import click

from ..config.commands import ImportConfig
from ..errors import ConfigurationError
from ..registry import CELLS
from .command import Command
from .options import json_option, print_json, quiet_option, require_package
from .results import ImportResult


@click.command("import", cls=Command, settings=(ImportConfig,), makes_files=True)
@click.argument("model", type=click.Path(dir_okay=False))
@json_option
@quiet_option
def command(model: str, as_json: bool, quiet: bool, **options: Any) -> None:
    """Make a run from MODEL, a PyTorch state dict in safetensors: nn.RNN, nn.LSTM or nn.GRU, and nn.Linear.

    An nn.Embedding before them is multiplied into the first layer. The names of the modules do not matter. Files exported
    by charlm hold their vocabulary; others need --vocabulary or --bytes. `charlm train --init-from` continues training.

    \b
    Examples:
      charlm import model.safetensors --vocabulary characters.json
      charlm import model.safetensors --bytes --run runs/theirs
    """
    how = ImportConfig.from_settings(options)
    if how.vocabulary and how.use_bytes:
        raise ConfigurationError("--vocabulary and --bytes: give one of them")
    require_package("safetensors", "safetensors", "import")
    from ..corpus.vocabulary import Vocabulary
    from ..storage.checkpoint import install
    from ..storage.run_directory import default_run
    from ..storage.safetensors import load_safetensors, read_vocabulary

    target = Path(how.run) if how.run else default_run(model)
    known = Vocabulary(None) if how.use_bytes else read_vocabulary(Path(how.vocabulary)) if how.vocabulary else None
    found = load_safetensors(Path(model), known, how.activation)
    network = found.config.model
    if how.activation not in CELLS[network.cell].activations:
        raise ConfigurationError(
            f"--activation {how.activation}: the file holds a {network.cell}, whose activations are fixed"
        )
    install(found, target, how.force)
    count = found.parameters.count
    if as_json:
        size = len(found.vocabulary)
        print_json(ImportResult(str(target), network.cell, network.layers, network.hidden, size, count))
    else:
        click.echo(f"{target}: {network.cell}, {network.layers} x {network.hidden}, {count:,} parameters")
