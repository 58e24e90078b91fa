"""kill -9 at any moment, also inside the writing of a checkpoint: what --resume makes of it is the undisturbed run."""

import random
import shutil
from pathlib import Path

import pytest

from ..cli.conftest import TEXT
from ..cli.test_resume import SETTINGS
from .harness import KILL, Ended, Fault, assert_resumable, assert_same, charlm_in_child

INTERVAL = 10


def command(name: str, run: str, updates: int, resume: bool = False) -> tuple[object, ...]:
    options = SETTINGS[name]
    more: tuple[object, ...] = () if "artbp" in options or "--k1" in options else ("--k1", 8)
    return (
        "train",
        "corpus.txt",
        "--hidden",
        12,
        "--streams",
        5,
        "--eval-every",
        60,
        *options,
        *more,
        "--updates",
        updates,
        "--run",
        run,
        "--save-every",
        INTERVAL,
        *(("--resume",) if resume else ()),
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 600)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def go_on(name: str, updates: int, kill_after: float = 0.0, fault: Fault | None = None) -> Ended:
    """Goes on with the run `killed` where it was saved, or starts it if it never was."""
    begun = (Path("killed") / "last.npz").exists()
    if not begun:
        shutil.rmtree("killed", ignore_errors=True)
    return charlm_in_child(command(name, "killed", updates, begun), fault, kill_after)


def finish(name: str, updates: int, same: bool = True) -> float:
    """Lets it come to its end, where it must be what the run `straight` is; returns the seconds that took."""
    last = go_on(name, updates)
    assert last.code == 0, last.err
    if same:
        assert_same("killed", "straight")
    return last.seconds


def kill_and_resume(name: str, kills: int, chance: random.Random) -> tuple[int, float]:
    """Kills a run so many times; returns how often it was started, and the seconds from the last kill to its end."""
    updates = 300 if name != "in pieces" else 120
    shutil.rmtree("killed", ignore_errors=True)
    for _ in range(2):  # the first one may compile
        shutil.rmtree("straight", ignore_errors=True)
        straight = charlm_in_child(command(name, "straight", updates))
        assert straight.code == 0, straight.err
    starts = survived = 0
    while survived < kills:
        ended = go_on(name, updates, kill_after=chance.uniform(0.02, straight.seconds))
        starts += 1
        if ended.code == 0:  # it was through before the kill: once more from the beginning
            assert_same("killed", "straight")
            shutil.rmtree("killed")
            continue
        assert ended.code == -9, ended.err
        assert_resumable("killed", ended.updates, INTERVAL)
        survived += 1
    return starts, finish(name, updates)


def fault_and_resume(name: str, updates: int, fault: Fault) -> None:
    """A fault, after which there is a checkpoint to go on from; after a kill the end is the undisturbed run's."""
    shutil.rmtree("killed", ignore_errors=True)
    ended = charlm_in_child(command(name, "killed", updates), fault)
    assert (ended.code == -9) == (fault.kind == KILL)
    assert_resumable("killed", ended.updates, INTERVAL)
    finish(name, updates, fault.kind == KILL)


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_in_the_middle_of_a_save(name: str, folder: Path) -> None:
    """Killed halfway through all steps of writing; tests.faults kills at random moments, many times."""
    straight = charlm_in_child(command(name, "straight", 40))
    assert straight.code == 0, straight.err
    fault_and_resume(name, 40, Fault(straight.steps // 2, KILL))


def test_killed_at_every_step_of_a_save(folder: Path) -> None:
    """A few of the writes, and all other steps, of one save; half of what is written is there."""
    straight = charlm_in_child(command("long window", "straight", 20))
    assert straight.code == 0
    each = straight.steps // 5  # saves: at the beginning, two on the way, best, and one in the end
    for number in [*range(0, each, 30), *range(straight.steps - 12, straight.steps), *range(2 * each, 2 * each + 8)]:
        fault_and_resume("long window", 20, Fault(number, KILL))
