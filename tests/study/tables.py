"""python -m tests.study.tables: what tables beside the network are worth, in time and over distance; the guide's picture."""

from dataclasses import replace
from pathlib import Path

import click

from ..pictures import pyplot, save
from . import report
from .__main__ import ROOT, make_texts, train
from .jobs import ABOVE, BELOW, DISTANCES, again
from .runs import charlm

ORDER = 8  # characters that the tables see
NETWORKS = {"1 layer of 64": (64, 1), "2 layers of 256": (256, 2)}
MINUTES = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
LAGS = 64

Curves = dict[str, list[tuple[float, float]]]


def named(what: str, order: int) -> str:
    """The name of a curve."""
    return f"{what}, tables" if order else f"{what}, alone"


def over_time(corpus: Path, work: Path) -> tuple[Curves, Curves]:
    """Nats per character of the last tenth against seconds of training, and how far the longest runs' errors reach.

    Each point is a run of its own that knows when it ends. Errors are norms of d loss / d state by lag, as a share of that
    at lag 0.
    """
    text = corpus.read_text(encoding="utf-8")
    held_out = work / "held_out.txt"
    held_out.write_text(text[len(text) * 9 // 10 :], encoding="utf-8")
    losses: Curves = {}
    reach: Curves = {}
    for name, (hidden, layers) in NETWORKS.items():
        for order in (ORDER, 0):
            curve = named(name, order)
            for minutes in MINUTES:
                run = work / f"{hidden}-{order}-{minutes:g}"
                size = ("--hidden", hidden, "--layers", layers, "--direct-order", order)
                charlm("train", corpus, *size, "--minutes", minutes, "--run", run, "--force")
                nats = charlm("eval", run / "last.npz", held_out)["nats_per_char"]
                losses.setdefault(curve, []).append((60 * minutes, nats))
                click.echo(f"{curve}, {60 * minutes:g} s: {nats:.4f} nats", err=True)
            norms = charlm("lags", run / "last.npz", held_out, "--length", LAGS)["phi"]
            reach[curve] = [(lag, norm / norms[0]) for lag, norm in enumerate(norms)]
    return losses, reach


def over_distance(work: Path) -> Curves:
    """Bits paid for a letter that is said again after D characters, by an LSTM of 64 units."""
    make_texts(work)
    paid: Curves = {}
    for job in again(seed=0):
        if job.cell == "lstm" and job.method in (BELOW, ABOVE):
            for order in (ORDER, 0):
                curve, distance = named(job.method, order), int(job.text.removeprefix("again"))
                asked = replace(job, options=(*job.options, "--direct-order", str(order)))
                bits = report.repetition(distance, train(work, asked, work / "again")["best_val_bits"])
                paid.setdefault(curve, []).append((distance, bits))
                click.echo(f"{curve}, D = {distance}: {bits:.2f}", err=True)
    return paid


def draw(losses: Curves, reach: Curves, paid: Curves, path: Path) -> None:
    """Write the picture as SVG."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    labels = ("seconds of training", "steps back from the loss", "D, characters until a letter is said again")
    titles = ("nats/char of the last tenth", "norm of d loss / d state, as a share", "bits paid for a repeated letter")
    for axis, curves, label, title in zip(axes, (losses, reach, paid), labels, titles, strict=True):
        for i, (name, points) in enumerate(curves.items()):
            style = "-" if name.endswith("tables") else "--"
            axis.plot(
                *zip(*points, strict=True), style, marker="o" if len(points) < LAGS else "", color=f"C{i // 2}", label=name
            )
        axis.set(xlabel=label, title=title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="upper left" if curves is paid else "upper right")
    axes[1].set_yscale("log")
    axes[2].axvspan(min(DISTANCES), ORDER, color="0.9")
    for axis, places in ((axes[0], [60 * minutes for minutes in MINUTES]), (axes[2], DISTANCES)):
        axis.set_xscale("log")
        axis.set_xticks(places, [f"{place:g}" for place in places])
    for axis in axes:
        axis.minorticks_off()
    save(figure, path)


def table(curves: Curves, head: str) -> str:
    """Curves as rows of a table."""
    places = [f"{head} {place:g}" for place, _ in next(iter(curves.values()))]
    rows = [[name, *(f"{value:.3f}" for _, value in points)] for name, points in curves.items()]
    return report.table(["", *places], rows)


@click.command()
@click.option(
    "--corpus", type=click.Path(path_type=Path), default=ROOT / "data" / "python.txt", show_default="data/python.txt"
)
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path("runs/tables"), show_default=True, help="Texts and runs."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=ROOT / "tests" / "study" / "tables.svg")
def main(corpus: Path, work: Path, output: Path) -> None:
    """Train with and without tables, print what came of it, and draw it."""
    work.mkdir(parents=True, exist_ok=True)
    losses, reach = over_time(corpus, work)
    paid = over_distance(work)
    click.echo(table(losses, "s:"))
    click.echo(table(paid, "D ="))
    draw(losses, reach, paid, output)


if __name__ == "__main__":
    main()
