"""Pictures of measurements, written as SVG that is the same each time."""

from pathlib import Path
from typing import Any


def pyplot() -> Any:
    """Return matplotlib.pyplot, set up to draw into files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams.update({"svg.hashsalt": "charlm", "font.size": 9})
    return plt


def save(figure: Any, path: Path) -> None:
    """Write a figure as SVG, without the date."""
    figure.savefig(path, metadata={"Date": None})
