"""charlm plot: the curves of runs, as a picture, a page, text or numbers."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config.commands import PlotConfig
from ..errors import ConfigurationError
from .command import Command
from .options import complete_run, json_option, output_file, print_json, quiet_option, require_package
from .results import PlotResult, PlotSample

if TYPE_CHECKING:
    from ..reports.curves import Curves

_AGAINST = {"updates": "updates", "chars": "chars", "time": "seconds"}


@click.command("plot", cls=Command, settings=(PlotConfig,))
@click.argument("run", nargs=-1, metavar="[RUN...]", shell_complete=complete_run)
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, /, run: tuple[str, ...], as_json: bool, quiet: bool, **options: Any) -> None:
    """Draw the loss of runs on training text and on held-out text, in bits per character.

    A picture shows the loss against updates, characters and time, and also the learning rate, the gradient norm and the
    share of clipped updates. --json prints the numbers. Pictures need matplotlib and the text plot needs plotext: pip
    install "charlm[plot]".

    \b
    Examples:
      charlm plot
      charlm plot runs/lstm runs/gru -o both.svg
      charlm plot --samples | less
    """
    how = PlotConfig.from_settings(options)
    if how.output:
        _check_picture(ctx, how, how.output)
    from ..reports.curves import read_curves
    from ..storage.run_directory import find_run

    found = [read_curves(find_run(name)) for name in run or (None,)]
    if how.output:
        from ..reports.plot import curves_figure, save_figure, save_page

        if how.output.endswith(".html"):
            save_page(found, Path(how.output))
        else:
            save_figure(curves_figure(found), Path(how.output))
    if how.samples:
        _print_samples(found, as_json)
    elif as_json:
        for curves in found:
            print_json(PlotResult(str(curves.run), curves.train, curves.validation))
    elif not how.output:
        _print_plot(found, _AGAINST[how.against])


def _check_picture(ctx: click.Context, how: PlotConfig, output: str) -> None:
    """Raise ConfigurationError or ResourceError for a picture that cannot be drawn, or would lack what was asked for."""
    if Path(output).suffix not in (".svg", ".png", ".html"):
        raise ConfigurationError(f"--output {output}: give a name that ends in .svg, .png or .html")
    if how.samples:
        raise ConfigurationError("--samples prints the texts, --output draws the curves: give one of them")
    if ctx.get_parameter_source("against") is not click.core.ParameterSource.DEFAULT:
        raise ConfigurationError("--against is for the plot in the terminal: a picture has all three axes")
    output_file(output, "--output")
    require_package("matplotlib", "plot", "--output")


def _print_samples(found: "list[Curves]", as_json: bool) -> None:
    """Print the sample of every validation, with its loss."""
    for curves in found:
        for line, bits in zip(curves.validation, curves.bits("validation"), strict=True):
            if as_json:
                print_json(PlotSample(str(curves.run), line["updates"], bits, line["sample"]))
            else:
                click.echo(f"--- {curves.run}, update {line['updates']:,}, {bits:.4f} bits/char")
                click.echo(line["sample"])


def _print_plot(found: "list[Curves]", axis: str) -> None:
    """Draw the curves with characters, in the size of the terminal. axis: the record's key for the horizontal axis."""
    require_package("plotext", "plot", "a plot in the terminal")
    from ..reports.plot import terminal_plot

    width, height = shutil.get_terminal_size((80, 24))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(terminal_plot(found, axis, min(width, 120), min(height - 2, 30), colour).rstrip("\n"))
