"""python -m tests.study: what truncation does, measured; the guide's picture and tests/study/results.md."""

import subprocess
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click
import numpy as np

from charlm.corpus.corpus import read_corpus
from charlm.storage.checkpoint import load

from .bias import compare
from .jobs import ABOVE, DISTANCES, LENGTH, Job, again, exploding, natural
from .report import draw, write
from .runs import charlm, run_all

ROOT = Path(__file__).parent.parent.parent
_TIED = 12  # the distance of the text that the bias of a gradient is measured on


def make_texts(folder: Path) -> None:
    """The texts that the jobs name."""
    script = str(ROOT / "data" / "make.py")
    for distance in (*DISTANCES, _TIED):
        more = ["--source", "again", "--distance", str(distance), "--length", str(LENGTH)]
        subprocess.run([sys.executable, script, str(folder / f"again{distance}.txt"), *more], check=True, stdout=sys.stderr)
    subprocess.run([sys.executable, script, str(folder / "python.txt")], check=True, stdout=sys.stderr)


def train(folder: Path, job: Job, run: Path) -> dict:
    """The job's summary, as `charlm train --json` prints it; of one that diverges, the error."""
    network = ("--cell", job.cell, "--layers", 1, "--dropout", 0, "--direct-order", 0)
    optimizer = () if "--optimizer" in job.options else ("--optimizer", "adam")
    rest = ("--seed", job.seed, "--threads", 1, "--save-every", 0, "--run", run, "--force")
    return charlm("train", folder / f"{job.text}.txt", *network, *optimizer, *job.options, *rest)


def train_for_summary(folder: Path, job: Job) -> dict:
    """The job's summary; its run is not kept."""
    with tempfile.TemporaryDirectory() as scratch:
        return train(folder, job, Path(scratch) / "run")


def _show(entry: dict) -> str:
    job = entry["job"]
    return f"{job['text']} {job['cell']} {job['method']}: {entry['summary'].get('best_val_bits', 'diverged')}"


def bias(folder: Path) -> dict[str, dict[str, float]]:
    """How biased the gradients of a trained network are, with segments half as long as the text's dependence."""
    text, run, found = folder / f"again{_TIED}.txt", folder / "bias", {}
    job = Job(
        text.stem,
        "gru",
        ABOVE,
        0,
        (
            "--hidden",
            "32",
            "--updates",
            "4000",
            "--lr",
            "1e-2",
            "--forget-bias",
            "2.5",
            "--k1",
            str(_TIED // 2),
            "--k2",
            str(2 * _TIED),
        ),
    )
    train(folder, job, run)
    ids = np.asarray(read_corpus((str(text),)).ids[:2001])
    for method, error in compare(load(run / "best.npz").parameters, ids, 4, _TIED // 2, 6.0, draws=2000).items():
        found[method] = asdict(error)
    return found


@click.command()
@click.option("--seeds", default=2, show_default=True, help="Runs of each kind.")
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path("runs/study"), show_default=True, help="Texts, results."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=ROOT / "tests" / "study",
    show_default=False,
    help="Folder for results.md and study.svg (default: beside this program).",
)
def main(seeds: int, work: Path, output: Path) -> None:
    """Train every cell with every truncation, compare with what is known, and write it down.

    What has been trained is kept in WORK/results.jsonl, so that an interrupted study goes on; remove it to start anew.
    """
    work.mkdir(parents=True, exist_ok=True)
    make_texts(work)
    jobs = [job for seed in range(seeds) for make in (exploding, natural, again) for job in make(seed)]
    entries = run_all(jobs, partial(train_for_summary, work), work / "results.jsonl", _show)
    click.echo(write(entries, bias(work), output / "results.md"))
    draw(entries, output / "study.svg")


if __name__ == "__main__":
    main()
