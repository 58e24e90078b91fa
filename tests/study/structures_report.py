"""The table and the picture of the study of structures, from what became of its jobs."""

import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..pictures import pyplot, save
from .report import table

_COLOURS = {"none": "tab:gray", "layer": "tab:blue", "cell": "tab:orange", "batch": "tab:green", "both": "tab:red"}
_LAGS = (16, 64, 256)  # of which the table gives the errors' norms


def named(structure: dict[str, str]) -> str:
    """A structure in few words."""
    clocks = structure["clocks"]
    parts = [structure["cell"], "" if structure["norm"] == "none" else structure["norm"], structure["variant"]]
    return ", ".join(filter(None, [*parts, f"clocks {clocks}" if set(clocks) - set("1,") else ""]))


def nats(entry: dict) -> float:
    """Return an entry's loss; infinity if training diverged."""
    return entry["summary"].get("nats", math.inf)


def losses(entries: Iterable[dict], text: str, minutes: float) -> dict[str, list[float]]:
    """The losses of each structure that was trained on a text for as long, one of each seed."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        job = entry["job"]
        if (job["text"], job["minutes"]) == (text, minutes):
            found.setdefault(named(job["structure"]), []).append(nats(entry))
    return found


def _shown(values: list[float]) -> str:
    """The mean, with the standard deviation of one run where there are several."""
    if not values:
        return ""
    if not all(map(math.isfinite, values)):
        return "diverged"
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def shares(entries: Iterable[dict], text: str) -> dict[str, list[float]]:
    """The norms of d loss / d state by lag as a share of that at lag 0, of the first run of each structure on a text."""
    found: dict[str, list[float]] = {}
    for entry in entries:
        if entry["job"]["text"] == text and "norms" in entry["summary"]:
            norms = entry["summary"]["norms"]
            found.setdefault(named(entry["job"]["structure"]), [norm / norms[0] for norm in norms])
    return found


def write(speeds: dict[Any, float], entries: list[dict], path: Path) -> str:
    """Writes the table as Markdown; returns the text. speeds: characters per second by structure, a dataclass."""
    kinds = list(dict.fromkeys((entry["job"]["text"], entry["job"]["minutes"]) for entry in entries))
    columns = {kind: losses(entries, *kind) for kind in kinds}
    text = kinds[0][0]
    reach = shares(entries, text)
    head = ["structure", "characters/s", *(f"{text}, {minutes:g} min" for text, minutes in kinds)]
    rows = []
    for structure, speed in speeds.items():
        name = named(vars(structure))
        errors = [f"{100 * reach[name][lag]:.2g} %" if name in reach else "" for lag in _LAGS]
        rows.append([name, f"{speed:,.0f}", *(_shown(column.get(name, [])) for column in columns.values()), *errors])
    written = (
        "# Which structure learns most in minutes: the results of `make structures`\n\n"
        "Two layers of 256 units unless it says otherwise, three where there are three clocks; no tables, one thread; "
        "nats per character of the last tenth. With ± there are several seeds: their mean, and the standard deviation of "
        f"one. The last columns are the norms of d loss / d state so many steps back on {text}, after the first run, as "
        "shares of that at the loss itself.\n\n" + table([*head, *(f"lag {lag}" for lag in _LAGS)], rows)
    )
    path.write_text(written, encoding="utf-8")
    return written


def _draw_losses(axis: Any, entries: list[dict], text: str, cells: list[str]) -> None:
    """Cells side by side, a mark for each norm; hollow where the second layer's clock is slower."""
    for entry in entries:
        job, structure, summary = entry["job"], entry["job"]["structure"], entry["summary"]
        asked = (job["text"], job["minutes"], job["seed"], structure["variant"]) == (text, 1, 0, "")
        if not asked or "error" in summary:
            continue
        slow = structure["clocks"] == "1,4"
        if slow or structure["clocks"] == "1,1":
            colour = _COLOURS[structure["norm"]]
            label = structure["norm"] + (", clocks 1,4" if slow else "")
            place = cells.index(structure["cell"]) + (0.15 if slow else -0.15)
            mark = {"color": colour, "markerfacecolor": "none" if slow else colour}
            axis.plot([place], [summary["nats"]], "o", label=label, **mark)
    axis.set_xticks(range(len(cells)), cells)
    axis.set(title=f"{text}: nats/char after a minute")
    axis.grid(axis="y", alpha=0.3)


def draw(entries: list[dict], path: Path) -> None:
    """Write the picture as SVG: losses on each text, and how far the plain cells' errors reach."""
    plt = pyplot()
    texts = list(dict.fromkeys(entry["job"]["text"] for entry in entries))
    cells = list(dict.fromkeys(entry["job"]["structure"]["cell"] for entry in entries))
    figure, axes = plt.subplots(1, len(texts) + 1, figsize=(4 * len(texts) + 4, 4.2), layout="constrained")
    for axis, text in zip(axes, texts, strict=False):
        _draw_losses(axis, entries, text, cells)
    by_label = dict(zip(*axes[0].get_legend_handles_labels()[::-1], strict=True))
    axes[0].legend(by_label.values(), by_label.keys(), fontsize=7)
    reach = shares(entries, texts[0])
    for name in filter(reach.__contains__, [*cells, "gru, clocks 1,4"]):
        axes[-1].plot(reach[name], "--" if "clocks" in name else "-", label=name)
    axes[-1].set(yscale="log", xlabel="steps back from the loss", title="norm of d loss / d state, as a share")
    axes[-1].legend(fontsize=7)
    axes[-1].grid(alpha=0.3)
    save(figure, path)
