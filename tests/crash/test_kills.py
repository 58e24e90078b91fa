"""kill -9 at any moment, also inside the writing of a checkpoint: what --resume makes of it is the undisturbed run."""

import random
import shutil
from pathlib import Path

import pytest

from ..cli.conftest import TEXT
from ..cli.test_resume import SETTINGS
from .harness import KILL, Fault, assert_resumable, assert_same, charlm_in_child

INTERVAL = 10


def command(name: str, run: str, updates: int, resume: bool = False) -> tuple[object, ...]:
    options = SETTINGS[name]
    more: tuple[object, ...] = () if "artbp" in options or "--k1" in options else ("--k1", 8)
    return (
        "train", "corpus.txt", "--hidden", 12, "--streams", 5, "--eval-every", 60, *options, *more, "--updates", updates,
        "--run", run, "--save-every", INTERVAL, *(("--resume",) if resume else ()),
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("charlm.journal._LOG_CHARS", 600)
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def kill_and_resume(name: str, kills: int, updates: int, chance: random.Random) -> float:
    """Kills a run again and again; returns the worst time from a kill to the first update after it, in seconds."""
    straight = charlm_in_child(command(name, "straight", updates))
    assert straight.code == 0, straight.err
    done = 0
    for _ in range(kills):
        begun = (Path("killed") / "last.npz").exists()
        ended = charlm_in_child(command(name, "killed", updates, begun), kill_after=chance.uniform(0.05, straight.seconds))
        if ended.code == 0:
            shutil.rmtree("killed")
            continue
        assert ended.code == -9, ended.err
        assert_resumable("killed", ended.updates, INTERVAL)
        done = max(done, ended.updates)
    begun = (Path("killed") / "last.npz").exists()
    if not begun:
        shutil.rmtree("killed", ignore_errors=True)
    last = charlm_in_child(command(name, "killed", updates, begun))
    assert last.code == 0, last.err
    assert_same("killed", "straight")
    return last.seconds


@pytest.mark.parametrize("name", SETTINGS)
def test_killed_at_random(name: str, folder: Path) -> None:
    kill_and_resume(name, 2, 300 if name != "in pieces" else 120, random.Random(name))


def test_killed_at_every_step_of_a_save(folder: Path) -> None:
    """A few of the writes, and all other steps, of one save; half of what is written is there."""
    name = "long window"
    straight = charlm_in_child(command(name, "straight", 40))
    assert straight.code == 0
    each = straight.steps // 6  # saves: at the beginning, four on the way; best and config besides
    for number in [*range(0, each, 7), *range(straight.steps - 12, straight.steps), *range(2 * each, 2 * each + 8)]:
        shutil.rmtree("killed", ignore_errors=True)
        ended = charlm_in_child(command(name, "killed", 40), Fault(number, KILL))
        assert ended.code == -9
        assert_resumable("killed", ended.updates, INTERVAL)
        begun = (Path("killed") / "last.npz").exists()
        if not begun:
            shutil.rmtree("killed", ignore_errors=True)
        again = charlm_in_child(command(name, "killed", 40, begun))
        assert again.code == 0, again.err
        assert_same("killed", "straight")
