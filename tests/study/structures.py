"""python -m tests.study.structures: which structure of the network learns most in minutes; the guide's page in figures.

The speed of each structure is measured first, in turns, and a minute is then so many updates. So whatever else a machine
does while the runs go on, or on which machine they go on, does not change what they learn.
"""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import click

from charlm.registry import CELLS, NORMS

from .__main__ import ROOT
from .runs import charlm, keep, kept, run_all
from .structures_report import draw, nats, write

STREAMS, STEPS = 32, 64  # of a block
NO_CLOCKS, CLOCKS = "1,1", "1,4"
MORE_CLOCKS = ("1,2", "1,4,4")  # of the LSTM: another clock, and a larger upper level
WITH_ALL = ("none", "batch")  # norms that clocks and variants are tried with
RESIDUAL, RECTIFIER, WIDE = "residual", "relu", "384 units"
VARIANTS = {"": (), RESIDUAL: ("--residual",), RECTIFIER: ("--activation", "relu"), WIDE: ("--hidden", 384)}
LAGS = 256  # steps back, at most
NEAR = 0.01  # nats
SEEDS = 3  # of what comes near the best


@dataclass(frozen=True)
class Structure:
    """Everything that a run's network has of its own. clocks: one number for each layer; variant: one of VARIANTS."""

    cell: str
    norm: str
    clocks: str
    variant: str = ""

    @property
    def plain(self) -> bool:
        """Return whether the cell stands by itself."""
        return (self.norm, self.clocks, self.variant) == ("none", NO_CLOCKS, "")

    def options(self) -> tuple[object, ...]:
        """Return options of `charlm train`: without tables, which would hide much of what a network by itself learns."""
        network = ("--cell", self.cell, "--norm", self.norm, "--clocks", self.clocks, *VARIANTS[self.variant])
        block = ("--streams", STREAMS, "--k1", STEPS, "--direct-order", 0, "--threads", 1)
        return (*network, "--layers", self.clocks.count(",") + 1, *block)


@dataclass(frozen=True)
class Job:
    """One run of `charlm train`. text: the file's stem; updates: as many as one thread makes in the minutes."""

    text: str
    structure: Structure
    minutes: float
    updates: int
    seed: int = 0


def structures() -> list[Structure]:
    """Every cell with every norm, with clocks, residual connections, and rectified; more clocks and units for an LSTM."""
    found = [Structure(cell, norm, NO_CLOCKS) for cell in CELLS for norm in NORMS]
    found += [Structure(cell, norm, CLOCKS) for cell in CELLS for norm in WITH_ALL]
    found += [Structure(cell, "none", NO_CLOCKS, RESIDUAL) for cell in CELLS]
    rectified = [cell for cell in CELLS if RECTIFIER in CELLS[cell].activations]
    found += [Structure(cell, norm, NO_CLOCKS, RECTIFIER) for cell in rectified for norm in WITH_ALL]
    found += [Structure("lstm", norm, clocks) for clocks in MORE_CLOCKS for norm in WITH_ALL]
    return found + [Structure("lstm", norm, CLOCKS, WIDE) for norm in WITH_ALL]


def measure(corpus: Path, work: Path, rounds: int) -> dict[Structure, float]:
    """Characters per second of each structure in training, on one thread: the median of rounds, in turns.

    What WORK/speed.jsonl holds already is not measured again.
    """
    speeds = work / "speed.jsonl"
    found: dict[Structure, list[float]] = {structure: [] for structure in structures()}
    for entry in kept(speeds):
        found.get(Structure(**entry["structure"]), []).append(entry["chars_per_second"])  # of others too, from earlier
    for number in range(rounds):
        for structure, rates in found.items():
            if len(rates) > number:
                continue
            length = ("--minutes", 0.04, "--val-fraction", 0, "--save-every", 0)
            with tempfile.TemporaryDirectory() as scratch:
                made = charlm("train", corpus, *structure.options(), *length, "--run", Path(scratch) / "run")
            if "error" in made:
                raise click.ClickException(f"{structure}: {made['error']}")
            rates.append(made["chars_per_second"])
            keep(speeds, {"structure": asdict(structure), "chars_per_second": rates[-1]})
            click.echo(f"round {number + 1}: {structure}: {rates[-1]:,.0f} characters/s", err=True)
    return {structure: statistics.median(rates) for structure, rates in found.items()}


def train(corpora: dict[str, Path], work: Path, job: Job) -> dict:
    """Train, and return nats per character of the held-out text and the norms of the errors by lag."""
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        run = Path(scratch) / "run"
        length = ("--updates", job.updates, "--save-every", 0, "--seed", job.seed)
        made = charlm("train", corpora[job.text], *job.structure.options(), *length, "--run", run)
        if "error" in made:
            return made
        score = charlm("eval", run / "best.npz", "--threads", 1)
        lags = charlm("lags", run / "best.npz", "--length", LAGS + 1, "--threads", 1)
    return {"nats": score["nats_per_char"], "seconds": made["seconds"], "norms": lags["phi"]}


def grid(speeds: dict[Structure, float], texts: Sequence[str], minutes: float) -> list[Job]:
    """Every structure on every text for as long."""
    jobs = ((text, structure, speed) for structure, speed in speeds.items() for text in texts)
    return [
        Job(text, structure, minutes, round(60 * minutes * speed / (STREAMS * STEPS))) for text, structure, speed in jobs
    ]


def longer(jobs: list[Job], entries: list[dict], minutes: float) -> list[Job]:
    """Of each text and cell, the plain network and the best one, for other minutes."""
    best: dict[tuple[str, str], tuple[float, Job]] = {}
    for job, entry in zip(jobs, entries, strict=True):
        key = (job.text, job.structure.cell)
        best[key] = min(best.get(key, (float("inf"), job)), (nats(entry), job), key=lambda pair: pair[0])
    chosen = dict.fromkeys([job for job in jobs if job.structure.plain] + [job for _, job in best.values()])
    return [replace(job, minutes=minutes, updates=round(job.updates * minutes / job.minutes)) for job in chosen]


def nearest(jobs: list[Job], entries: list[dict]) -> list[Job]:
    """More seeds of those that came near the best of their text."""
    pairs = list(zip(jobs, entries, strict=True))
    best = {text: min(nats(entry) for job, entry in pairs if job.text == text) for text in {job.text for job in jobs}}
    near = [job for job, entry in pairs if nats(entry) <= best[job.text] + NEAR]
    return [replace(job, seed=seed) for seed in range(1, SEEDS) for job in near]


def _show(entry: dict) -> str:
    job = entry["job"]
    structure = " ".join(filter(None, job["structure"].values()))
    return f"{job['text']} {structure}, {job['minutes']:g} min, seed {job['seed']}: {nats(entry):.4f} nats"


@click.command()
@click.argument("texts", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/structures"), show_default=True)
@click.option("--rounds", default=3, show_default=True, help="Measurements of the speed of each structure.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=ROOT / "tests" / "study", show_default=False)
def main(texts: tuple[Path, ...], work: Path, rounds: int, output: Path) -> None:
    """Train every structure on TEXTS for a minute, the best for three, and write down what came of it.

    What has been measured and trained is kept in WORK, so that an interrupted study goes on.
    """
    work.mkdir(parents=True, exist_ok=True)
    corpora = {path.stem: path.resolve() for path in texts}
    if len(corpora) < len(texts):
        raise click.UsageError("TEXTS must have different names")
    speeds = measure(texts[0], work, rounds)
    run = partial(run_all, do=partial(train, corpora, work), results=work / "results.jsonl", show=_show)
    short = grid(speeds, list(corpora), 1)
    entries = run(short)
    more = longer(short, entries, 3)
    trained = run(more)
    entries += trained + run(nearest(short, entries)) + run(nearest(more, trained))
    click.echo(write(speeds, entries, output / "structures.md"))
    draw(entries, output / "structures.svg")


if __name__ == "__main__":
    main()
