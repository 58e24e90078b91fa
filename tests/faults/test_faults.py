"""A full or read-only disk, a directory that vanishes, two writers, signals in the middle of something, divergence."""

import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.inference.evaluation import Evaluator
from charlm.kernels.tasks import Plan
from charlm.storage.checkpoint import load
from charlm.training.trainer import Trainer

from ..cli.conftest import SMALL, Result
from ..divergence import inject_divergence
from ..waiting import wait_until
from .harness import EIO, ENOSPC, EROFS, Fault, alive, assert_same, charlm_in_child
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

    # Python would leave compiled modules behind that are cut off at the limit.
    environment = {**os.environ, "CHARLM_CACHE": str(folder / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "charlm", *map(str, command(NAME, "full", 60)), "-q"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"Error: full/last.npz: could not be written: File too large\n", done.stderr)
    assert sorted(path.name for path in Path("full").iterdir()) == ["config.json", "metrics.jsonl"]


def test_a_directory_that_vanishes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    plan = Trainer._plan

    def removing(trainer: Trainer, updates: int) -> Any:
        if trainer.run.state.updates >= 25 and Path("gone").exists():
            assert Path("gone/last.npz").exists()
            shutil.rmtree("gone")
        return plan(trainer, updates)

    monkeypatch.setattr(Trainer, "_plan", removing)
    ended = charlm_in_child(command(NAME, "gone", 100))
    assert ended.code == 1
    assert ended.err.count("not saved, training goes on") == 1
    assert ended.updates == 100
    assert "Error: gone/last.npz: could not be written: No such file or directory" in ended.err


def test_one_writer_a_run(folder: Path, warm: Path) -> None:  # noqa: F811
    """The second is refused and told who is there; the lock ends with its process, even one that is killed."""
    second: list[Any] = []
    assert charlm_in_child((*command(NAME, "other", 2), "--direct-order", 0)).code == 0
    assert charlm_in_child(("export", "other", "m.safetensors")).code == 0

    def meet(pid: int) -> None:
        wait_until(Path("one/last.npz").exists, lambda: alive(pid))
        for words in (
            (*command(NAME, "one", 9), "--resume"),
            (*command(NAME, "one", 9), "--force"),
            ("import", "m.safetensors", "--run", "one", "--force"),
        ):
            command_line = [str(warm / "charlm"), *map(str, words), "-q"]
            second.append((pid, subprocess.run(command_line, capture_output=True, text=True, check=False)))
        os.kill(pid, signal.SIGKILL)

    ended = charlm_in_child(command(NAME, "one", 1_000_000_000), meanwhile=meet)
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

        def interrupted(self: Evaluator, ids: Any, resets: Any, *more: Any) -> Any:
            if not stopped:
                stopped.append(True)
                signal.raise_signal(signal.SIGTERM)
            return evaluate(self, ids, resets, *more)

        patch.setattr(Evaluator, "evaluate", interrupted)
        ended = charlm_in_child(command(NAME, "stopped", 200))
    assert ended.code == 143, ended.err
    assert ended.updates == 60
    assert "continue with: charlm train corpus.txt --run stopped --resume" in ended.err
    assert not Path("stopped/best.npz").exists(), "it was not made"
    assert charlm_in_child(command(NAME, "stopped", 200, resume=True)).code == 0
    assert_same("stopped", "straight")


SAVES = ("train", "corpus.txt", *SMALL[:-2], "--save-every", 10, "--schedule", "constant", "--run", "runs/x")


@pytest.mark.parametrize(
    ("times", "returns"),
    [
        ({25: 2, 47: 1}, [(25, 20, 0.5), (25, 20, 0.25), (47, 40, 0.125)]),
        ({1: 1}, [(1, 0, 0.5)]),
        ({20: 1, 21: 1}, [(20, 10, 0.5), (21, 20, 0.25)]),
    ],
)
def test_divergence_returns_to_the_last_good_state(
    run: Run,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    times: dict[int, int],
    returns: list[tuple[int, int, float]],
) -> None:
    """Each time with half of the learning rate that it had; what was given up leaves no trace, and the rest is learnt."""
    inject_divergence(monkeypatch, times)
    result = run(*SAVES, "--updates", 60, "--warmup", 0, "--json")
    assert result.code == 0, result.err
    pattern = (
        r"^update (\d+): training diverged: the gradient of update (\d+) is not finite: back to update \1, with (\S+) of"
    )
    found = [(int(at), int(to), float(factor)) for to, at, factor in re.findall(pattern, result.err, re.MULTILINE)]
    assert found == returns
    assert result.err.count("diverged") == len(returns)
    assert json.loads(result.out)["updates"] == 60
    for name in ("last.npz", "best.npz"):
        assert np.isfinite(load(Path("runs/x") / name).parameters.flat).all()
    saved = load(Path("runs/x/last.npz"))
    assert (saved.state["trainer"]["rollbacks"], saved.state["schedule"]["factor"]) == (len(returns), returns[-1][2])
    lines = [json.loads(line) for line in Path("runs/x/metrics.jsonl").read_text().splitlines()]
    validated = {line["updates"]: line["val_nats"] for line in lines if "val_nats" in line}
    assert [line["updates"] for line in lines if "val_nats" in line] == [*range(3, 61, 3)], "what was given up left no lines"
    assert validated[60] < min(validated[update] for update in validated if update <= max(3, returns[-1][1]))
    rates = {line["updates"]: line["learning_rate"] for line in lines if "learning_rate" in line}
    assert len(rates) == sum("learning_rate" in line for line in lines)
    asked = saved.config.optimizer.learning_rate
    assert rates == {update: asked * factor_at(update, returns) for update in rates}


def factor_at(update: int, returns: list[tuple[int, int, float]]) -> float:
    """The share of the learning rate that an update is made with that counts in the end."""
    return min((factor for _, to, factor in returns if to < update), default=1.0)


@pytest.mark.parametrize(("more", "returns"), [((), 5), (("--max-rollbacks", 1), 1), (("--max-rollbacks", 0), 0)])
def test_divergence_is_given_up_with_advice(
    run: Run,
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    more: tuple[object, ...],
    returns: int,
) -> None:
    inject_divergence(monkeypatch, {25: math.inf})
    result = run(*SAVES, "--updates", 60, *more)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1] == (
        f"Error: training diverged: the gradient of update 25 is not finite, after {returns} returns to the last good "
        "state: try a lower --lr or --clip, or --cell lstm or gru; what was saved last is kept"
    )
    factors = [
        float(factor) for factor in re.findall(r": back to update 20, with (\S+) of the learning rate$", result.err, re.M)
    ]
    assert factors == [0.5 ** (i + 1) for i in range(returns)]
    saved = load(Path("runs/x/last.npz"))
    assert saved.progress["updates"] == 20
    assert np.isfinite(saved.parameters.flat).all()


def test_parameters_that_are_not_finite_are_never_saved(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Also where every gradient was finite."""
    run_kernel = Trainer._run_kernel

    def spoiled(trainer: Trainer, plan: Plan) -> Any:
        found = run_kernel(trainer, plan)
        if trainer.run.state.updates > 30 and trainer.run.state.rollbacks == 0:
            trainer.run.parameters.flat[0, 0] = np.inf
        return found

    monkeypatch.setattr(Trainer, "_run_kernel", spoiled)
    result = run("train", "corpus.txt", *SMALL[:-2], "--updates", 60, "--save-every", 10, "--run", "runs/x")
    assert result.code == 0
    assert "made parameters that are not finite: back to update 30, with 0.5 of the learning rate" in result.err
