"""charlm import"""

from pathlib import Path

import click

from ..config.run import activations
from ..errors import ConfigurationError
from .options import Command, Names, json_option, print_json, quiet_option, require


@click.command("import", cls=Command, makes_files=True, short_help="Make a run of a PyTorch model.")
@click.argument("model", type=click.Path(dir_okay=False))
@click.option("-o", "--run", type=click.Path(), default=None, help="Run directory (default: runs/<the file's stem>).")
@click.option(
    "--vocabulary",
    type=click.Path(dir_okay=False),
    default=None,
    metavar="FILE",
    help="A JSON list of the characters in id order, or an object from characters to ids.",
)
@click.option("--bytes", "use_bytes", is_flag=True, help="The model's ids are bytes.")
@click.option("--activation", type=Names(activations), default="tanh", show_default=True, help="Activation of an nn.RNN.")
@click.option("--force", is_flag=True, help="Replace a run that is there.")
@json_option
@quiet_option
def command(
    model: str,
    run: str | None,
    vocabulary: str | None,
    use_bytes: bool,
    activation: str,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make a run of MODEL, a PyTorch state dict in safetensors: nn.RNN, nn.LSTM or nn.GRU, and nn.Linear.

    An nn.Embedding before them is multiplied into the first layer. The modules' names do not matter. Files that charlm
    exported know their characters themselves. `charlm train --init-from` goes on from it.

    \b
    Examples:
      charlm import model.safetensors --vocabulary characters.json
      charlm import model.safetensors --bytes --run runs/theirs
    """
    if vocabulary and use_bytes:
        raise ConfigurationError("--vocabulary and --bytes: give one of them")
    require("safetensors", "safetensors", "import")
    from ..corpus.vocabulary import Vocabulary
    from ..storage.safetensors import load_safetensors, read_vocabulary
    from ..training.session import install

    target = Path(run) if run else Path("runs") / Path(model).stem
    known = Vocabulary(None) if use_bytes else read_vocabulary(Path(vocabulary)) if vocabulary else None
    found = load_safetensors(Path(model), known, activation)
    if activation != "tanh" and found.config.model.cell != "rnn":
        raise ConfigurationError(f"--activation {activation}: the file holds a {found.config.model.cell}, which has its own")
    install(found, target, force)
    network = found.config.model
    if as_json:
        print_json(
            {
                "run": str(target),
                "cell": network.cell,
                "layers": network.layers,
                "hidden": network.hidden,
                "vocabulary": len(found.vocabulary),
                "parameters": found.parameters.count,
            }
        )
    else:
        click.echo(f"{target}: {network.cell}, {network.layers} x {network.hidden}, {found.parameters.count:,} parameters")
