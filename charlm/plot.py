"""Curves as pictures (matplotlib) and as text for a terminal (plotext)."""

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .curves import AXES, Curves

_PANELS = (("learning_rate", "learning rate"), ("gradient_norm", "norm of the gradient"), ("clipped", "share clipped"))
_WIDE = 20.0  # times the smallest norm, from where on a logarithmic axis shows more
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: #1d1d1f; background: #fff;
  font: 15px/1.5 system-ui, sans-serif }}
svg {{ max-width: 100%; height: auto }}
pre {{ margin: 0 0 1rem; padding: .6rem .8rem; background: #f4f4f1; white-space: pre-wrap; overflow-wrap: anywhere }}
h2 {{ font-size: 1.05rem }}
p {{ margin: 0; color: #66666b }}
</style>
<h1>{title}</h1>
{picture}
{samples}
</html>
"""


def figure(runs: Sequence[Curves]) -> Any:
    """A matplotlib figure: bits per character against updates, characters and time; under it what the updates were like."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import EngFormatter

    drawn, axes = plt.subplots(2, 3, figsize=(13, 7.5), layout="constrained", height_ratios=(3, 2))
    for panel, (name, label) in zip(axes[0], AXES.items(), strict=True):
        _losses(panel, runs, name)
        panel.set(xlabel=label, ylabel="bits per character")
    for panel, (name, label) in zip(axes[1], _PANELS, strict=True):
        for i, run in enumerate(runs):
            panel.plot(run.column("train", "updates"), run.column("train", name), color=f"C{i}", linewidth=1.2)
        panel.set(xlabel="updates", ylabel=label)
    norms = [norm for run in runs for norm in run.column("train", "gradient_norm") if norm > 0]
    if norms and max(norms) > _WIDE * min(norms):
        axes[1][1].set_yscale("log")
    axes[0][1].xaxis.set_major_formatter(EngFormatter(sep=""))
    axes[1][2].set_ylim(-0.03, 1.03)
    for panel in axes.ravel():
        panel.grid(alpha=0.3)
    axes[0][0].legend(fontsize="small")
    return drawn


def _losses(panel: Any, runs: Sequence[Curves], name: str) -> None:
    ends = []
    for i, run in enumerate(runs):
        panel.plot(run.column("train", name), run.bits("train"), color=f"C{i}", linewidth=1, alpha=0.45,
                   label=f"{run.run}: training")  # fmt: skip
        panel.plot(run.column("validation", name), run.bits("validation"), color=f"C{i}", marker=".", linewidth=1.6,
                   label=f"{run.run}: validation")  # fmt: skip
        ends += [*run.bits("train")[1:], *run.bits("validation")]
    if ends:  # the first stretch, from guessing on, would squeeze all others
        panel.set_ylim(min(ends) - 0.1, sorted(ends)[int(0.98 * (len(ends) - 1))] + 0.3)


def save(runs: Sequence[Curves], path: Path) -> None:
    """Draws to a file whose name ends in .svg, .png or .html; the page shows the samples as well."""
    import matplotlib.pyplot as plt

    drawn = figure(runs)
    try:
        if path.suffix != ".html":
            drawn.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
            return
        picture = io.StringIO()
        drawn.savefig(picture, format="svg", metadata={"Date": None})
    finally:
        plt.close(drawn)
    svg = picture.getvalue()
    path.write_text(_page(runs, svg[svg.index("<svg") :]), encoding="utf-8")


def _page(runs: Sequence[Curves], picture: str) -> str:
    title = ", ".join(str(run.run) for run in runs)
    samples = []
    for run in runs:
        samples.append(f"<h2>How the text of {html.escape(str(run.run))} evolves</h2>")
        for line, bits in zip(run.validation, run.bits("validation"), strict=True):
            samples.append(
                f"<p>update {line['updates']:,}, {bits:.4f} bits/char</p>\n<pre>{html.escape(line['sample'])}</pre>"
            )
    return _PAGE.format(title=html.escape(title), picture=picture, samples="\n".join(samples))


def text(runs: Sequence[Curves], axis: str, width: int, height: int, colour: bool) -> str:
    """Bits per character as a plot of characters. axis: one of AXES."""
    import plotext

    plotext.clear_figure()
    plotext.plot_size(width, height)
    plotext.theme("clear" if not colour else "pro")
    for run in runs:
        for part, marker in (("train", "dot"), ("validation", "braille")):
            if getattr(run, part):
                name = "training" if part == "train" else part
                plotext.plot(run.column(part, axis), run.bits(part), label=f"{run.run}: {name}", marker=marker)
    plotext.xlabel(AXES[axis])
    plotext.title("bits per character")
    built = plotext.build()
    return built if colour else plotext.uncolorize(built)
