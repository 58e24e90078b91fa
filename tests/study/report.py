"""The study's tables and picture, from what became of its jobs."""

import statistics
from collections.abc import Callable
from pathlib import Path

from ..pictures import pyplot, save
from .jobs import ABOVE, ADAPTIVE, ARTBP, BELOW, CELLS, DISTANCES, FAR, FORGETFUL, FULL, METHODS

_COLOURS = {
    BELOW: "tab:red",
    FORGETFUL: "tab:pink",
    ABOVE: "tab:blue",
    FAR: "tab:cyan",
    ARTBP: "tab:green",
    ADAPTIVE: "tab:orange",
}
_MARKS = dict(zip(METHODS, "ov^sD<P", strict=True))
_FREQUENT = [method for method in METHODS if method != FULL]  # the others' updates are too few to learn anything by


def chosen(entries: list[dict], **wanted: str) -> list[dict]:
    """Summaries of the jobs that are about this text, cell and method, one for each seed."""
    return [e["summary"] for e in entries if all(e["job"][key] == value for key, value in wanted.items())]


def _bits(summaries: list[dict]) -> list[float]:
    return [s["best_val_bits"] for s in summaries]


def repetition(distance: int, bits: float) -> float:
    """Bits paid for each letter that is said again, if the first cost 4 as it must and what lies between nothing."""
    return bits * (distance + 1) - 4


def _range(values: list[float], digits: int, much: float) -> str:
    """The mean, or from the least to the largest where they differ by more than `much`."""
    low, high = min(values), max(values)
    if high - low <= much:
        return f"{round(statistics.mean(values), digits) + 0.0:.{digits}f}"  # no -0.0
    return f"{low:.{digits}f} to {high:.{digits}f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def repetitions(entries: list[dict]) -> str:
    """Cells and methods against distances: bits paid for a repeated letter."""
    rows = []
    for cell in CELLS:
        for method in _FREQUENT:
            found = {d: _bits(chosen(entries, text=f"again{d}", cell=cell, method=method)) for d in DISTANCES}
            rows.append([cell, method, *(_range([repetition(d, b) for b in found[d]], 1, 0.1) for d in DISTANCES)])
    return table(["cell", "truncation", *(f"D = {d}" for d in DISTANCES)], rows)


def everything(entries: list[dict], text: str) -> str:
    """Methods against cells: bits/char, seconds and MiB of activations on one text."""
    columns: list[tuple[str, Callable[[list[dict]], str]]] = [
        ("bits/char", lambda found: _range(_bits(found), 3 if text == "python" else 4, 0.02 * min(_bits(found)))),
        ("s", lambda found: f"{statistics.mean(s['seconds'] for s in found):.1f}"),
        ("MiB", lambda found: f"{statistics.mean(s['window_bytes'] for s in found) / 2**20:.1f}"),
    ]
    rows = []
    for method in METHODS:
        cells = [chosen(entries, text=text, cell=cell, method=method) for cell in CELLS]
        rows.append([method, *(show(found) for found in cells for _, show in columns)])
    return table(["truncation", *(f"{cell}: {name}" for cell in CELLS for name, _ in columns)], rows)


def realised(entries: list[dict]) -> str:
    """What adaptive and ARTBP came to, over the seeds: the last k2; the longest segment and the largest weight."""
    rows = []
    for text in [*(f"again{d}" for d in DISTANCES), "python"]:
        row = [text]
        for cell in CELLS:
            k2 = [s["k2"] for s in chosen(entries, text=text, cell=cell, method=ADAPTIVE)]
            artbp = chosen(entries, text=text, cell=cell, method=ARTBP)
            row += [", ".join(map(str, k2)), f"{max(s['longest'] for s in artbp):,}"]
        row.append(f"{max(s['largest_weight'] for s in artbp):,.0f}")
        rows.append(row)
    head = [f"{cell}: {name}" for cell in CELLS for name in ("adaptive, k2", "ARTBP, longest")]
    return table(["text", *head, "largest weight"], rows)


def clipping(entries: list[dict]) -> str:
    """The rectifier network with and without clipping."""
    rows = []
    for clip in ("--clip 0", "--clip 1"):
        found = chosen(entries, cell="rnn", method=clip)
        ended = [f"{s['best_val_bits']:.3f} bits/char" if "error" not in s else "diverged" for s in found]
        rows.append([clip, ", ".join(ended)])
    return table(["rnn, relu, sgd, lr 1", "each seed"], rows)


def bias(found: dict[str, dict[str, float]]) -> str:
    """How much of TBPTT's error a mean gradient has."""
    rows = [
        [method, f"{error['along']:.2f}" + (f" ± {error['deviation']:.2f}" if error["deviation"] else "")]
        for method, error in found.items()
    ]
    return table(["gradient, D = 12, mean length 6", "error, in units of TBPTT's"], rows)


def write(entries: list[dict], biases: dict[str, dict[str, float]], path: Path) -> str:
    """Writes all tables as Markdown; returns the text."""
    parts = [
        "# What truncation does: the results of `make study`\n",
        "jobs.py says what was trained; where two runs differ much, the range is given. Seconds are of training, on one "
        "thread beside another run; MiB are the window of activations.\n",
        "## A letter that is said again after D characters: bits paid for it (4: forgotten, 0: remembered)\n",
        repetitions(entries),
        '"full" is left out here: its few updates do not teach even what lies between the letters.\n',
    ]
    for d in DISTANCES:
        parts += [f"## D = {d}: at best {4 / (d + 1):.4f} bits/char, without memory {8 / (d + 1):.4f}\n"]
        parts += [everything(entries, f"again{d}")]
    parts += ["## Python's standard library, k1 = 16, two epochs\n", everything(entries, "python")]
    parts += ["## What adaptive and ARTBP came to\n", realised(entries)]
    parts += ["## Clipping\n", clipping(entries), "## The mean gradient\n", bias(biases)]
    text = "\n".join(parts)
    path.write_text(text, encoding="utf-8")
    return text


def draw(entries: list[dict], path: Path) -> None:
    """The picture: what a repeated letter costs against its distance, cell by cell; under it the natural text."""
    plt = pyplot()
    from matplotlib.ticker import FuncFormatter, LogLocator

    figure, axes = plt.subplots(2, 3, figsize=(10, 6.6), layout="constrained", sharey="row")
    for column, cell in enumerate(CELLS):
        top, bottom = axes[:, column]
        for method in _FREQUENT:
            style = {"color": _COLOURS[method], "marker": _MARKS[method], "label": method, "markerfacecolor": "none"}
            lines = [_bits(chosen(entries, text=f"again{d}", cell=cell, method=method)) for d in DISTANCES]
            means = [statistics.mean(repetition(d, b) for b in bits) for d, bits in zip(DISTANCES, lines, strict=True)]
            top.plot(DISTANCES, means, **style)
            found = chosen(entries, text="python", cell=cell, method=method)
            seconds = statistics.mean(s["seconds"] for s in found)
            bottom.plot([seconds], [statistics.mean(_bits(found))], linestyle="none", **style)
        top.axhline(4, color="0.7", linestyle=":")
        top.axhline(0, color="0.7", linestyle=":")
        top.set(title=cell, xscale="log", xlabel="D, characters until it is said again", ylim=(-0.2, 5.2))
        top.set_xticks(DISTANCES, [str(d) for d in DISTANCES])
        top.minorticks_off()
        bottom.set(xscale="log", xlabel="seconds of training, natural text, k1 = 16")
        bottom.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        bottom.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
        bottom.minorticks_off()
        bottom.grid(alpha=0.3)
    axes[0, 0].set_ylabel("bits paid for a repeated letter")
    axes[1, 0].set_ylabel("bits/char")
    axes[1, 0].legend(*axes[0, 0].get_legend_handles_labels(), fontsize=7, loc="lower right")
    save(figure, path)
