"""The study of structures takes the right runs again, and its table says what they came to."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from charlm.registry import CELLS, NORMS

from .structures import LAGS, Job, Structure, grid, longer, measure, nearest, structures
from .structures_report import draw, named, write

PLAIN, GOOD, BEST = Structure("lstm", "none", "1,1"), Structure("gru", "cell", "1,1"), Structure("gru", "batch", "1,4")


def entry(job: Job) -> dict:
    """A made-up one: loss by structure, longer runs better, the next seed worse; indrnn diverges."""
    if job.structure.cell == "indrnn":
        return {"job": asdict(job), "summary": {"error": "diverged"}}
    nats = {BEST: 1.3, GOOD: 1.305}.get(job.structure, 1.5) - job.minutes / 100 + job.seed / 50
    return {"job": asdict(job), "summary": {"nats": nats, "norms": [2 * 0.9**lag for lag in range(LAGS + 1)]}}


def test_all_structures() -> None:
    found = structures()
    assert len(set(found)) == len(found) > len(CELLS) * (len(NORMS) + 2)
    assert [s for s in found if s.plain] == [Structure(cell, "none", "1,1") for cell in CELLS]
    assert named(asdict(PLAIN)) == "lstm"
    assert named(asdict(BEST)) == "gru, batch, clocks 1,4"
    assert named(asdict(Structure("rnn", "batch", "1,1", "relu"))) == "rnn, batch, relu"
    with pytest.raises(KeyError):
        Structure("rnn", "none", "1,1", "elu").options()


def test_updates_are_what_a_minute_holds() -> None:
    jobs = grid({PLAIN: 2048.0, GOOD: 4096.0}, ["a", "b"], 0.5)
    assert [(job.text, job.updates) for job in jobs] == [("a", 30), ("b", 30), ("a", 60), ("b", 60)]


def test_runs_that_are_worth_more() -> None:
    jobs = grid(dict.fromkeys(structures(), 2048.0), ["a"], 1)
    entries = [entry(job) for job in jobs]
    more = longer(jobs, entries, 3)
    assert len({str(job) for job in more}) == len(more)
    assert {(job.minutes, job.updates) for job in more} == {(3, 180)}
    assert {job.structure for job in more if job.structure.cell == "gru"} == {Structure("gru", "none", "1,1"), BEST}
    assert {(job.structure, job.seed) for job in nearest(jobs, entries)} == {(s, n) for s in (BEST, GOOD) for n in (1, 2)}


def test_table_and_picture(tmp_path: Path) -> None:
    speeds = dict.fromkeys(structures(), 1e4)
    jobs = grid(speeds, ["a", "b"], 1)
    entries = [entry(job) for job in jobs]
    entries += [entry(job) for job in [*longer(jobs, entries, 3), *nearest(jobs, entries)]]
    text = write(speeds, entries, tmp_path / "structures.md")
    assert (tmp_path / "structures.md").read_text(encoding="utf-8") == text
    rows = {line.split(" | ")[0]: line for line in text.splitlines()}
    best = "| gru, batch, clocks 1,4 | 10,000 | 1.310 ± 0.020 | 1.310 ± 0.020 | 1.270 | 1.270 | 19 % | 0.12 % | 1.9e-10 % |"
    assert rows["| gru, batch, clocks 1,4"] == best
    assert rows["| indrnn"] == "| indrnn | 10,000 | diverged | diverged | diverged | diverged |  |  |  |"
    draw(entries, tmp_path / "structures.svg")
    assert (tmp_path / "structures.svg").stat().st_size > 20_000


def test_speeds_that_are_known_are_not_measured_again(tmp_path: Path) -> None:
    lines = [json.dumps({"structure": asdict(s), "chars_per_second": n}) for n in (5, 9, 7) for s in structures()]
    (tmp_path / "speed.jsonl").write_text("\n".join(lines) + "\n")
    assert measure(tmp_path / "no.txt", tmp_path, 3) == dict.fromkeys(structures(), 7)
