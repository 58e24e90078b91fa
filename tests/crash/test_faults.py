"""A full or read-only disk, a directory that vanishes, two writers, signals in the middle of something, divergence."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.checkpoint import load
from charlm.evaluate import Evaluator
from charlm.trainer import Trainer

from ..cli.conftest import SMALL, Result
from .harness import EIO, ENOSPC, EROFS, Fault, assert_same, charlm_in_child
from .test_kills import command, folder  # noqa: F401  a fixture

Run = Callable[..., Result]
NAME = "long window"


@pytest.mark.parametrize("kind", [ENOSPC, EROFS, EIO])
def test_a_save_that_fails_is_told_and_tried_again(kind: int, folder: Path) -> None:  # noqa: F811
    """The old checkpoint stays; training goes on, saves when it can, and ends as if nothing had been."""
    straight = charlm_in_child(command(NAME, "straight", 60))
    each = straight.steps // 8
    ended = charlm_in_child(command(NAME, "faulty", 60), Fault(3 * each, kind, 3))
    assert ended.code == 0, ended.err
    assert (
        f"not saved, training goes on and tries again: faulty/last.npz: could not be written: {os.strerror(kind)}"
        in ended.err
    )
    assert "saved again" in ended.err
    assert_same("faulty", "straight")


def test_a_disk_that_stays_full_is_an_error_in_the_end(folder: Path) -> None:  # noqa: F811
    straight = charlm_in_child(command(NAME, "straight", 60))
    ended = charlm_in_child(command(NAME, "full", 60), Fault(3 * (straight.steps // 8), ENOSPC, 1 << 40))
    assert ended.code == 1
    assert ended.updates == 60, "training went on to its end"
    assert ended.err.splitlines()[-1].startswith("Error: full/last.npz: could not be written: No space left on device")
    saved = load(Path("full/last.npz"))
    assert 0 < saved.progress["updates"] < 60
    again = charlm_in_child(command(NAME, "full", 60, resume=True))
    assert again.code == 0, again.err
    assert_same("full", "straight")


def test_a_full_disk_at_the_beginning(folder: Path) -> None:  # noqa: F811
    """With a real limit on the size of files; nothing is trained that could not be kept."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    environment = {**os.environ, "CHARLM_CACHE": str(folder / "cache")}
    done = subprocess.run([sys.executable, "-m", "charlm", *map(str, command(NAME, "full", 60)), "-q"], preexec_fn=limit,
                          capture_output=True, text=True, check=False, env=environment)  # fmt: skip
    assert done.returncode == 1
    assert re.fullmatch(r"Error: full/last.npz: could not be written: File too large\n", done.stderr)
    assert sorted(path.name for path in Path("full").iterdir()) == ["config.json", "metrics.jsonl"]


def test_a_directory_that_vanishes(folder: Path) -> None:  # noqa: F811
    def remove(pid: int) -> None:
        while not Path("gone/last.npz").exists():
            time.sleep(0.01)
        while Path("gone").exists():  # a file that is written meanwhile keeps the directory
            shutil.rmtree("gone", ignore_errors=True)

    ended = charlm_in_child(command(NAME, "gone", 3000), meanwhile=remove)
    assert ended.code == 1
    assert "not saved, training goes on" in ended.err
    assert ended.updates == 3000
    assert "Error: gone/last.npz: could not be written: No such file or directory" in ended.err


def test_one_writer_a_run(folder: Path) -> None:  # noqa: F811
    """The second is refused and told who is there; the lock ends with its process, even one that is killed."""
    second: list[Any] = []
    assert charlm_in_child(command(NAME, "other", 2)).code == 0
    assert charlm_in_child(("export", "other", "m.safetensors")).code == 0

    def meet(pid: int) -> None:
        while not Path("one/last.npz").exists():
            time.sleep(0.01)
        for words in ((*command(NAME, "one", 9), "--resume"), (*command(NAME, "one", 9), "--force"),
                      ("import", "m.safetensors", "--run", "one", "--force")):  # fmt: skip
            command_line = [sys.executable, "-m", "charlm", *map(str, words), "-q"]
            second.append((pid, subprocess.run(command_line, capture_output=True, text=True, check=False)))

    ended = charlm_in_child(command(NAME, "one", 1_000_000), kill_after=1.0, meanwhile=meet)
    assert ended.code == -9
    for pid, done in second:
        assert (done.returncode, done.stdout) == (1, "")
        assert f"one is being written by process {pid} on " in done.stderr
        assert len(done.stderr.splitlines()) == 1
    reached = load(Path("one/last.npz")).progress["updates"]
    assert charlm_in_child(command(NAME, "one", reached + 5, resume=True)).code == 0


def test_stopped_in_the_middle_of_a_validation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """A signal does not wait for it; when training goes on, it is made first, and all is as it would have been."""
    assert charlm_in_child(command(NAME, "straight", 200)).code == 0
    with pytest.MonkeyPatch.context() as patch:
        evaluate = Evaluator.evaluate
        stopped: list[bool] = []

        def interrupted(self: Evaluator, ids: Any, resets: Any, on_done: Any = lambda n: None) -> Any:
            if not stopped:
                stopped.append(True)
                os.kill(os.getpid(), signal.SIGTERM)
            return evaluate(self, ids, resets, on_done)

        patch.setattr(Evaluator, "evaluate", interrupted)
        ended = charlm_in_child(command(NAME, "stopped", 200))
    assert ended.code == 143, ended.err
    assert ended.updates == 60
    assert "continue with: charlm train corpus.txt --run stopped --resume" in ended.err
    assert not Path("stopped/best.npz").exists(), "it was not made"
    assert charlm_in_child(command(NAME, "stopped", 200, resume=True)).code == 0
    assert_same("stopped", "straight")


EXPLODES = (
    "train", "corpus.txt", *SMALL[:-2], "--save-every", 10, "--cell", "rnn", "--activation", "relu", "--optimizer", "sgd",
    "--clip", 0, "--updates", 400, "--run", "runs/x",
)  # fmt: skip


def test_divergence_returns_to_the_last_good_state(run: Run, folder: Path) -> None:  # noqa: F811
    """A rectifier network whose learning rate is too high, and with half of it, and then is not."""
    result = run(*EXPLODES, "--lr", 4, "--json")
    assert result.code == 0, result.err
    pattern = r"^update (\d+): training diverged: .* is not finite: back to update \1, with ([\d.]+) of"
    found = re.findall(pattern, result.err, re.MULTILINE)
    assert len(found) >= 2
    assert [float(factor) for _, factor in found] == [0.5 ** (i + 1) for i in range(len(found))]
    assert json.loads(result.out)["best_val_nats"] < 3.0
    for name in ("last.npz", "best.npz"):
        assert np.isfinite(load(Path("runs/x") / name).parameters.flat).all()
    lines = [json.loads(line) for line in Path("runs/x/metrics.jsonl").read_text().splitlines()]
    updates = [line["updates"] for line in lines if "val_nats" in line]
    assert updates == sorted(set(updates)), "what was given up left no lines"


def test_divergence_is_given_up_with_advice(run: Run, folder: Path) -> None:  # noqa: F811
    for more, returns in (
        (("--lr", 1e18), 5),
        (("--lr", 4, "--max-rollbacks", 1), 1),
        (("--lr", 4, "--max-rollbacks", 0), 0),
    ):
        result = run(*EXPLODES, *more, "--force")
        assert (result.code, result.out) == (1, "")
        last = result.err.splitlines()[-1]
        assert f"after {returns} returns to the last good state: try a lower --lr" in last
        assert result.err.count(": back to update") == returns
        assert np.isfinite(load(Path("runs/x/last.npz")).parameters.flat).all()


def test_parameters_that_are_not_finite_are_never_saved(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Also where every gradient was finite."""
    agree = Trainer._agree

    def spoiled(trainer: Trainer, reports: Any, spent: float) -> Any:
        if trainer.updates > 30 and trainer._now.rollbacks == 0:
            trainer.parameters.flat[0, 0] = np.inf
        return agree(trainer, reports, spent)

    monkeypatch.setattr(Trainer, "_agree", spoiled)
    result = run("train", "corpus.txt", *SMALL[:-2], "--updates", 60, "--save-every", 10, "--run", "runs/x")
    assert result.code == 0
    assert "made parameters that are not finite: back to update 30, with 0.5 of the learning rate" in result.err
