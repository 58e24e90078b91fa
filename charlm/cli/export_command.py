"""charlm export"""

from pathlib import Path

import click

from ..errors import ConfigurationError
from .options import Command, complete_run, json_option, output_file, print_json, quiet_option, require


@click.command("export", cls=Command, makes_files=True, short_help="Write a model for other programs.")
@click.argument("names", nargs=-1, required=True, metavar="[RUN] OUT", shell_complete=complete_run)
@json_option
@quiet_option
def command(names: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Write the model of RUN to OUT; the end of its name says how.

    .safetensors has PyTorch's names: nn.LSTM(V, H, L) (or nn.GRU, nn.RNN) under "rnn.", nn.Linear(H, V) under "out.", to
    be fed one-hot characters. .onnx is a graph with the state going in and out, so that a text can be streamed. Both carry
    the vocabulary in their meta data. They need pip install "charlm[safetensors]" and "charlm[onnx]".

    \b
    Examples:
      charlm export runs/corpus model.safetensors
      charlm export model.onnx
    """
    if len(names) > 2:
        raise click.UsageError(f"one RUN and one OUT, not {len(names)} names")
    run, out = (None, *names)[-2:]
    path = Path(out or "")
    if path.suffix not in (".safetensors", ".onnx"):
        raise ConfigurationError(f"{out}: give a name that ends in .safetensors or .onnx")
    kind, path = path.suffix[1:], output_file(str(path), "OUT")
    require(kind, kind, f"a {path.suffix} file")
    from ..storage.checkpoint import load_run
    from ..storage.onnx import save_onnx
    from ..storage.safetensors import save_safetensors

    saved = load_run(run)
    (save_onnx if kind == "onnx" else save_safetensors)(saved, path)
    if as_json:
        print_json({"file": out, "format": kind, "bytes": path.stat().st_size, "parameters": saved.parameters.count})
    else:
        click.echo(f"{out}: {saved.parameters.count:,} parameters, {path.stat().st_size:,} bytes")
