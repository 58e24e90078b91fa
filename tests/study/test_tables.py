"""The tables' picture shows what its runs came to."""

from pathlib import Path

from .jobs import DISTANCES
from .tables import MINUTES, Curves, draw, named, table


def test_table_and_picture(tmp_path: Path) -> None:
    names = [named("LSTM", 8), named("LSTM", 0)]
    assert names == ["LSTM, tables", "LSTM, alone"]
    losses: Curves = {name: [(60 * minutes, 2 - minutes / 4) for minutes in MINUTES] for name in names}
    paid: Curves = {name: [(distance, 0.05 * distance) for distance in DISTANCES] for name in names}
    reach: Curves = {name: [(lag, 0.9**lag) for lag in range(64)] for name in names}
    rows = table(paid, "D =").splitlines()
    assert rows[0] == "|  | D = 4 | D = 8 | D = 20 | D = 40 | D = 80 |"
    assert rows[-1] == "| LSTM, alone | 0.200 | 0.400 | 1.000 | 2.000 | 4.000 |"
    draw(losses, reach, paid, tmp_path / "tables.svg")
    assert (tmp_path / "tables.svg").read_text().count("LSTM, tables") >= 3
