"""Curves and gradient decay as pictures (matplotlib), curves also as a page and as terminal text (plotext)."""

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..tbptt.decay import DecayProfile
from .curves import AXES, Curves

_PANELS = (("learning_rate", "learning rate"), ("gradient_norm", "gradient norm"), ("clipped", "share of clipped updates"))
_WIDE = 20.0  # ratio of the largest to the smallest norm above which the axis is logarithmic
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


def curves_figure(runs: Sequence[Curves]) -> Any:
    """Return a matplotlib figure of bits per character by updates, characters and time, and of the updates' properties."""
    from matplotlib.ticker import EngFormatter

    drawn, axes = _pyplot().subplots(2, 3, figsize=(13, 7.5), layout="constrained", height_ratios=(3, 2))
    for panel, (name, label) in zip(axes[0], AXES.items(), strict=True):
        _draw_losses(panel, runs, name)
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


def _draw_losses(panel: Any, runs: Sequence[Curves], name: str) -> None:
    """Draw training and validation loss of all runs. name: the horizontal axis, one of AXES."""
    ends = []
    for i, run in enumerate(runs):
        panel.plot(
            run.column("train", name),
            run.bits("train"),
            color=f"C{i}",
            linewidth=1,
            alpha=0.45,
            label=f"{run.run}: training",
        )
        panel.plot(
            run.column("validation", name),
            run.bits("validation"),
            color=f"C{i}",
            marker=".",
            linewidth=1.6,
            label=f"{run.run}: validation",
        )
        ends += [*run.bits("train")[1:], *run.bits("validation")]
    if ends:  # the first stretch starts with an untrained network: its loss would squeeze the rest of the curve
        panel.set_ylim(min(ends) - 0.1, sorted(ends)[int(0.98 * (len(ends) - 1))] + 0.3)


def lags_figure(profile: DecayProfile, k1: int, tolerance: float) -> Any:
    """Return a matplotlib figure of the gradient norm by lag and layer (mean, 10 to 90 %) and the relative bias by k2."""
    figure, (top, bottom) = _pyplot().subplots(2, 1, figsize=(8, 7), sharex=True, height_ratios=(2, 1), layout="constrained")
    lags = np.arange(len(profile.phi))
    for i, (name, norms) in enumerate(profile.layers()):
        low, high = np.quantile(norms, [0.1, 0.9], axis=0)
        mean = norms.mean(0)
        top.plot(lags, np.where(mean > 0, mean, np.nan), label=f"{name[0]}, layer {name[1:]}", color=f"C{i}")
        top.fill_between(lags, low, high, alpha=0.15, color=f"C{i}", linewidth=0)
    top.set(yscale="log", ylabel="norm of d loss / d state: mean, and 10 to 90 %")
    positive = profile.phi[profile.phi > 0]
    if len(positive):
        top.set_ylim(max(positive.min() / 100, positive.max() * 1e-9), positive.max() * 3)
    top.legend()
    bias = profile.relative_bias(k1)
    bottom.plot(np.arange(len(bias)), np.where(np.isfinite(bias), bias, np.nan), color="0.2")
    bottom.axhline(tolerance, color="C3", linestyle="--", label=f"tolerance {tolerance:g}")
    k2 = profile.recommended(tolerance, k1)
    if k2 is not None:
        bottom.axvline(k2, color="C3", label=f"k2 = {k2}")
    bottom.set(yscale="log", xlabel="steps back", ylabel=f"relative bias of k1 = {k1}, k2")
    bottom.legend()
    for axis in (top, bottom):
        axis.grid(alpha=0.3)
    return figure


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")  # works without a screen
    matplotlib.rcParams["svg.hashsalt"] = "charlm"  # reproducible ids
    import matplotlib.pyplot as plt

    return plt


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure to a .svg or .png file."""
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    _pyplot().close(figure)


def save_page(runs: Sequence[Curves], path: Path) -> None:
    """Write an HTML page with the curves and samples of the runs."""
    picture, figure = io.StringIO(), curves_figure(runs)
    figure.savefig(picture, format="svg", metadata={"Date": None})
    _pyplot().close(figure)
    svg = picture.getvalue()
    path.write_text(_page(runs, svg[svg.index("<svg") :]), encoding="utf-8", newline="\n")


def _page(runs: Sequence[Curves], picture: str) -> str:
    title = ", ".join(str(run.run) for run in runs)
    samples = []
    for run in runs:
        samples.append(f"<h2>Samples of {html.escape(str(run.run))} during training</h2>")
        for line, bits in zip(run.validation, run.bits("validation"), strict=True):
            samples.append(
                f"<p>update {line['updates']:,}, {bits:.4f} bits/char</p>\n<pre>{html.escape(line['sample'])}</pre>"
            )
    return _PAGE.format(title=html.escape(title), picture=picture, samples="\n".join(samples))


def terminal_plot(runs: Sequence[Curves], axis: str, width: int, height: int, colour: bool) -> str:
    """Return a plot of bits per character as text. axis: one of AXES. width, height: in characters."""
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
