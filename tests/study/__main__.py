"""python -m tests.study: what truncation does, measured; the guide's picture and tests/study/results.md."""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from charlm.corpus.corpus import read_corpus
from charlm.storage.checkpoint import load

from .bias import compare
from .jobs import ABOVE, DISTANCES, LENGTH, Job, again, exploding, natural
from .report import draw, write

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
    command = [
        sys.executable,
        "-m",
        "charlm",
        "train",
        str(folder / f"{job.text}.txt"),
        "--cell",
        job.cell,
        "--layers",
        "1",
        "--dropout",
        "0",
        "--direct-order",
        "0",
        *(() if "--optimizer" in job.options else ("--optimizer", "adam")),
        *job.options,
        "--seed",
        str(job.seed),
        "--threads",
        "1",
        "--save-every",
        "0",
        "--run",
        str(run),
        "--force",
        "--quiet",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 1 and "diverged" in done.stderr:
        return {"error": done.stderr.strip()}
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run_all(jobs: list[Job], folder: Path, results: Path) -> list[dict]:
    """What became of every job; what `results` already holds is not done again. As many at once as processors."""
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {json.dumps(entry["job"]): entry for entry in known}
    begun, left = time.monotonic(), [job for job in jobs if json.dumps(asdict(job)) not in done]

    def work(numbered: tuple[int, Job]) -> None:
        number, job = numbered
        with tempfile.TemporaryDirectory() as scratch:
            entry = {"job": asdict(job), "summary": train(folder, job, Path(scratch) / "run")}
        done[json.dumps(entry["job"])] = entry
        with results.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        click.echo(
            f"{number + 1} of {len(left)}, {time.monotonic() - begun:.0f} s: {job.text} {job.cell} {job.method}: "
            f"{entry['summary'].get('best_val_bits', 'diverged')}",
            err=True,
        )

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1) as pool:
        list(pool.map(work, enumerate(left)))
    return [done[json.dumps(asdict(job))] for job in jobs]


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
    entries = run_all(jobs, work, work / "results.jsonl")
    click.echo(write(entries, bias(work), output / "results.md"))
    draw(entries, output / "study.svg")


if __name__ == "__main__":
    main()
