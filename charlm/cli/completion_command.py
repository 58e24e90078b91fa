"""charlm completion: a script for the shell."""

import click
from click.shell_completion import get_completion_class

from .command import Command

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", metavar="SHELL", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print a script that lets SHELL (bash, zsh or fish) complete charlm's commands, options, choices and runs.

    \b
    Examples:
      charlm completion bash >> ~/.bashrc
      charlm completion zsh >> ~/.zshrc
      charlm completion fish > ~/.config/fish/completions/charlm.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    from . import group

    click.echo(kind(group, {}, "charlm", "_CHARLM_COMPLETE").source())
