"""python -m tests.bench.growth: a picture of how the cost of a character grows with each size."""

import resource
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from charlm.analysis.speed import Job, Row

from ..pictures import pyplot, save
from .__main__ import rate
from .rows import charlm_train

_BASE = Row("lstm", 128, 1, 32, 32, 32)
_SHORT = replace(_BASE, k1=16, k2=16)

# A panel of the picture: the size that varies, its values, and the row for a value.
PANELS = {
    "k2 / k1": ([1, 2, 3, 5, 8, 12, 20], lambda n: replace(_SHORT, k2=16 * n)),
    "hidden units H": ([32, 64, 128, 256, 512, 1024, 2048], lambda n: replace(_BASE, hidden=n)),
    "streams S": ([1, 2, 4, 8, 16, 32, 64, 128, 256], lambda n: replace(_BASE, streams=n)),
    "layers L": ([1, 2, 3, 4, 6, 8], lambda n: replace(_BASE, layers=n)),
    "vocabulary V": ([20, 65, 200, 650, 2000, 6500, 20_000], lambda n: replace(_BASE, vocabulary=n)),
}
_MEGABYTES = [1, 10, 100, 1000]

Point = tuple[float, float, float]  # value, microseconds per character measured, and predicted by counting


def measure(rounds: int, seconds: float, threads: int) -> dict[str, list[Point]]:
    """Measure every panel's points, each once a round. Scale the counts to meet the largest value of their panel."""
    rows = [(panel, value, make(value)) for panel, (values, make) in PANELS.items() for value in values]
    costs: list[list[float]] = [[] for _ in rows]
    for i in range(rounds):
        for (panel, value, row), found in zip(rows, costs, strict=True):
            job = Job(row, threads)
            job.once()
            found.append(1e6 / job.rate(seconds))
            click.echo(f"round {i + 1}: {panel} = {value}: {found[-1]:.3f} microseconds per character", err=True)
    points: dict[str, list[Point]] = {}
    for panel in PANELS:
        mine = [
            (value, statistics.median(c), row.flops) for (p, value, row), c in zip(rows, costs, strict=True) if p == panel
        ]
        scale = mine[-1][1] / mine[-1][2]
        points[panel] = [(value, cost, flops * scale) for value, cost, flops in mine]
    return points


def by_corpus(text: Path, seconds: float, threads: int) -> list[tuple[float, float, float]]:
    """Return (MB, microseconds per character, peak memory in MiB) of `charlm train` on the text repeated to each size."""
    piece, found = text.read_bytes(), []
    with tempfile.TemporaryDirectory() as scratch:
        for megabytes in _MEGABYTES:
            corpus = Path(scratch) / "corpus.txt"
            with corpus.open("wb") as file:
                for _ in range(max(1, round(megabytes * 1e6 / len(piece)))):
                    file.write(piece)
            cut = {"streams": 32, "k1": 64, "k2": 256, "threads": threads, "direct_order": 0}
            command = charlm_train(
                corpus, Path(scratch) / "run", hidden=256, layers=1, minutes=seconds / 60, quiet=True, **cut
            )
            click.echo(f"corpus of {megabytes} MB", err=True)
            found.append((float(megabytes), 1e6 / rate(command), _largest_memory()))
    return found


def _largest_memory() -> float:
    """Return the largest peak memory, in MiB, of the programs run so far: the last one's, since the corpora grow."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def draw(points: dict[str, list[Point]], corpora: list[tuple[float, float, float]], path: Path) -> None:
    """Write the picture as SVG."""
    plt = pyplot()
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    for axis, (panel, mine) in zip(axes.flat, points.items(), strict=False):
        values, costs, counted = zip(*mine, strict=True)
        axis.loglog(values, counted, "--", color="0.6", label="predicted by counting multiply-adds")
        axis.loglog(values, costs, "o-", color="tab:blue", label="measured")
        axis.set_xlabel(panel)
        axis.set_xticks(values, [f"{value / 1000:g}k" if value % 500 == 0 else str(value) for value in values])
        axis.set_ylim(min(costs + counted) / 1.5, max(costs + counted) * 1.5)
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(costs) < 100 * min(costs) else (1,)))
    sizes, costs, memory = zip(*corpora, strict=True)
    last = axes.flat[-1]
    last.semilogx(sizes, costs, "o-", color="tab:blue")
    last.set_xlabel("corpus, MB")
    last.set_xticks(sizes, [f"{size:,.0f}" for size in sizes])
    last.set_ylim(0, 1.5 * max(costs))
    twin = last.twinx()
    twin.plot(sizes, memory, "s--", color="tab:orange")
    twin.set_ylim(0, 3 * max(memory))
    twin.set_ylabel("peak memory, MiB", color="tab:orange")
    for axis in axes[:, 0]:
        axis.set_ylabel("microseconds per character")
    for axis in axes.flat:
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:g}"))
        axis.grid(True, which="major", alpha=0.3)
    axes.flat[0].legend(loc="upper left")
    save(figure, path)


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=1.0, show_default=True, help="Length of a measurement.")
@click.option("--threads", default=2, show_default=True)
@click.option("--corpus", type=click.Path(path_type=Path), default=Path("data/python.txt"), show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("tests/bench/growth.svg"), show_default=True)
def main(rounds: int, seconds: float, threads: int, corpus: Path, output: Path) -> None:
    """Measure and draw the time of a character against each size. Print the numbers."""
    corpora = by_corpus(corpus, 3 * seconds, threads)
    points = measure(rounds, seconds, threads)
    for panel, mine in points.items():
        click.echo(f"{panel}: " + ", ".join(f"{value:g}: {cost:.3g}" for value, cost, _ in mine) + " microseconds")
    click.echo("corpus, MB: " + ", ".join(f"{size:g}: {cost:.3g} ({memory:.0f} MiB)" for size, cost, memory in corpora))
    draw(points, corpora, output)


if __name__ == "__main__":
    main()
