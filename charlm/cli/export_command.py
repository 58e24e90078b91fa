"""charlm export: a model as a file for other programs."""

from pathlib import Path

import click

from ..errors import ConfigurationError
from .command import Command
from .options import complete_run, json_option, output_file, print_json, quiet_option, require_package
from .results import ExportResult


@click.command("export", cls=Command, makes_files=True)
@click.argument("names", nargs=-1, required=True, metavar="[RUN] OUT", shell_complete=complete_run)
@json_option
@quiet_option
def command(names: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Write the model of RUN to OUT, a file whose name ends in .safetensors or .onnx.

    A .safetensors file has PyTorch's names: nn.LSTM(V, H, L) (or nn.GRU, nn.RNN) under "rnn.", nn.Linear(H, V) under
    "out."; the input is one-hot characters. Other cells and norms are named alike. A .onnx file is a graph with the state
    as input and output, so it can stream a text. Both hold the vocabulary in their metadata. They need
    pip install "charlm[safetensors]" or "charlm[onnx]".

    \b
    Examples:
      charlm export runs/corpus model.safetensors
      charlm export model.onnx
    """
    if len(names) > 2:
        raise ConfigurationError(f"give one RUN and one OUT, not {len(names)} names")
    run, out = names[0] if len(names) == 2 else None, names[-1]
    path = Path(out)
    if path.suffix not in (".safetensors", ".onnx"):
        raise ConfigurationError(f"{out}: give a name that ends in .safetensors or .onnx")
    kind, path = path.suffix[1:], output_file(str(path), "OUT")
    require_package(kind, kind, f"a {path.suffix} file")
    from ..storage.checkpoint import load_run
    from ..storage.onnx import save_onnx
    from ..storage.safetensors import save_safetensors

    saved = load_run(run)
    (save_onnx if kind == "onnx" else save_safetensors)(saved, path)
    count, size = saved.parameters.count, path.stat().st_size
    if as_json:
        print_json(ExportResult(out, kind, size, count))
    else:
        click.echo(f"{out}: {count:,} parameters, {size:,} bytes")
