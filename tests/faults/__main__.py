"""make torture: the campaign of kills, faults and damaged files, with figures."""

import importlib.util
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ..cli.conftest import TEXT
from ..cli.test_resume import SETTINGS
from .harness import ENOSPC, KILL, Fault, charlm_in_child
from .test_hostile import flipped, refused, truncated
from .test_kills import command, fault_and_resume, kill_and_resume
from .test_text_as_it_comes import refuse_sparse_file


def kill_at_random(kills: int, chance: random.Random) -> Iterator[str]:
    """Kills spread over all settings; each run is compared with the undisturbed one in the end."""
    starts, worst, names = 0, 0.0, list(SETTINGS)
    for n, name in enumerate(names):
        started, seconds = kill_and_resume(name, kills * (n + 1) // len(names) - kills * n // len(names), chance)
        starts, worst = starts + started, max(worst, seconds)
        yield f"  {name}: the same bit for bit"
    yield f"kills survived: {kills}, of {starts} starts; the longest way from a last kill to the end of a run: {worst:.2f} s"


def fault_at_every_step() -> Iterator[str]:
    """Every step of the writing of one checkpoint, and of a run's last ones: killed there, and failed there."""
    shutil.rmtree("straight", ignore_errors=True)
    straight = charlm_in_child(command("long window", "straight", 20))
    each = straight.steps // 5  # at the beginning, at 10 and 20, the best, and once more in the end
    steps = [*range(each, 2 * each + 4), *range(straight.steps - 6, straight.steps)]
    for kind in (KILL, ENOSPC):
        for number in steps:
            fault_and_resume("long window", 20, Fault(number, kind))
    yield f"faults injected: {2 * len(steps)}, at each of {len(steps)} steps of writing a kill and a full disk"


def damage(truncations: int, flips: int, chance: random.Random) -> Iterator[str]:
    """Damaged checkpoints: refused, or what is read is what was written."""
    good = (Path("straight") / "last.npz").read_bytes()
    path, count, missed = Path("damaged.npz"), 0, 0
    for data in truncated(good, chance, truncations):
        path.write_bytes(data)
        assert refused(path)
        count += 1
    for data in flipped(good, chance, flips):
        path.write_bytes(data)
        missed += not refused(path)
        count += 1
    yield f"files damaged: {count:,}; {count - missed:,} refused, {missed} (flips without meaning) read as written"


def read_holes(folder: Path) -> Iterator[str]:
    """Read a sparse file of 4 GiB."""
    refuse_sparse_file(1 << 32, folder)
    yield "a sparse file of 4 GiB: read once, refused, nothing kept"


def fuzz(seconds: int) -> Iterator[str]:
    """Coverage-guided, where atheris is installed."""
    if importlib.util.find_spec("atheris") is None:
        yield "not fuzzed: pip install atheris"
        return
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", str(seconds)], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (runs,) = re.findall(r"^Done (\d+) runs in", done.stderr, re.MULTILINE)
    yield f"files fuzzed by atheris in {seconds} s: {int(runs):,}, no finding"


@click.command()
@click.option("--kills", default=200, show_default=True)
@click.option("--flips", default=5000, show_default=True)
@click.option("--truncations", default=500, show_default=True)
@click.option("--seconds", default=60, show_default=True, help="Of fuzzing.")
@click.option("--seed", default=0, show_default=True)
def torture(kills: int, flips: int, truncations: int, seconds: int, seed: int) -> None:
    """Kills, faults, damaged files."""
    chance, begun = random.Random(seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("charlm.training.metrics_log._LOG_CHARS", 600)
        patch.setattr("charlm.corpus.cache.root", lambda: Path(folder) / "cache")
        Path("corpus.txt").write_text(TEXT, encoding="utf-8")
        for lines in (
            kill_at_random(kills, chance),
            fault_at_every_step(),
            damage(truncations, flips, chance),
            read_holes(Path(folder) / "cache"),
            fuzz(seconds),
        ):
            for line in lines:
                print(line, file=sys.stdout, flush=True)
    print(f"{time.monotonic() - begun:.0f} s in all")


if __name__ == "__main__":
    torture()
