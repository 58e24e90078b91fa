"""The study's tables say what its runs came to."""

from dataclasses import asdict
from pathlib import Path

from .jobs import BELOW, CELLS, METHODS, Job, again, exploding, natural
from .report import draw, write

BIASES = {"TBPTT": {"along": 1.0, "deviation": 0.0}, "ARTBP": {"along": 0.02, "deviation": 0.03}}


def summary(job: Job) -> dict:
    """A made-up one: TBPTT forgets the letter, every other method remembers it, but for seed 1 of the rnn."""
    if job.method == "--clip 0":
        return {"error": "diverged"}
    bits = 2.0
    if job.text != "python":
        paid = 4 if job.method == BELOW or (job.cell, job.seed) == ("rnn", 1) else 0
        bits = (4 + paid) / (int(job.text.removeprefix("again")) + 1)
    came_to = {"k2": 12, "longest": 300 + job.seed, "largest_weight": 50.0}
    return {"best_val_bits": bits, "seconds": 10.0 + job.seed, "window_bytes": 3 << 20, **came_to}


def test_tables_and_picture(tmp_path: Path) -> None:
    jobs = [job for seed in (0, 1) for make in (exploding, natural, again) for job in make(seed)]
    assert len({str(job) for job in jobs}) == len(jobs)
    entries = [{"job": asdict(job), "summary": summary(job)} for job in jobs]
    text = write(entries, BIASES, tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == text
    rows = [line for line in text.splitlines() if line.startswith(("| rnn", "| lstm", "| gru"))][
        : len(CELLS) * (len(METHODS) - 1)
    ]
    for row in rows:
        expected = "4.0" if BELOW in row else "0.0 to 4.0" if row.startswith("| rnn") else "0.0"
        assert row.endswith(" | ".join(["", *[expected] * 5, ""]).rstrip()), row
    assert "| --clip 0 | diverged, diverged |" in text
    assert "| ARTBP | 0.02 ± 0.03 |" in text
    assert "| again8 | 12, 12 | 301 | 12, 12 | 301 | 12, 12 | 301 | 50 |" in text
    assert "0.4444 | 10.5 | 3.0" in text
    draw(entries, tmp_path / "study.svg")
    assert (tmp_path / "study.svg").stat().st_size > 20_000
