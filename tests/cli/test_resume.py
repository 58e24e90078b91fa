"""--resume continues bit for bit as if training had never stopped."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.training.trainer import Trainer

from .conftest import Result

Run = Callable[..., Result]

SETTINGS = {
    "plain": (),
    "long window": ("--k2", 21),
    "window, reset by line": ("--k2", 21, "--truncation", "window", "--reset", "line"),
    "short window, state kept": ("--k2", 3, "--reset", "never"),
    "gru, dropout, two layers": ("--cell", "gru", "--layers", 2, "--dropout", 0.3, "--k2", 24, "--optimizer", "rmsprop"),
    "rnn, norm, residual": (
        "--cell",
        "rnn",
        "--layers",
        3,
        "--layer-norm",
        "--residual",
        "--dropout",
        0.2,
        "--optimizer",
        "sgd",
        "--momentum",
        0.9,
        "--nesterov",
        "--k2",
        16,
        "--schedule",
        "plateau",
        "--lr",
        0.2,
    ),
    "adagrad, every": ("--optimizer", "adagrad", "--reset-every", 11, "--k2", 13, "--schedule", "constant"),
    "adam, decayed": ("--optimizer", "adam", "--weight-decay", 0.01, "--layers", 1, "--reset", "block"),
    "artbp": ("--truncation", "artbp", "--mean-length", 6, "--tail", 4),
    "adaptive": ("--truncation", "adaptive", "--max-k2", 24, "--bias-tolerance", 0.3),
    "in pieces": ("--k1", 40, "--memory", 1, "--hidden", 40, "--layers", 2, "--dropout", 0.2),
    "tables join late": ("--direct-epochs", 1, "--direct-order", 5, "--dropout", 0.2),
    "tables of one order": ("--direct-order", 1, "--truncation", "window", "--k2", 21, "--reset-every", 9),
    "norm in the cell": ("--cell", "gru", "--layers", 2, "--norm", "cell", "--dropout", 0.2, "--k2", 21),
    "norm of memories": ("--cell", "lstm", "--layers", 2, "--norm", "cell", "--truncation", "window", "--k2", 19),
    "batch norm": ("--cell", "lstm", "--layers", 2, "--norm", "batch", "--dropout", 0.2, "--k2", 21, "--reset", "line"),
    "multiplicative": ("--cell", "mlstm", "--layers", 2, "--dropout", 0.2, "--k2", 21, "--norm", "both"),
    "independent": ("--cell", "indrnn", "--activation", "relu", "--layers", 3, "--k2", 21, "--norm", "cell"),
    "clocks": ("--layers", 3, "--clocks", "1,3,2", "--dropout", 0.2, "--k2", 12, "--norm", "cell", "--reset", "line"),
    "minimal": ("--cell", "mingru", "--layers", 2, "--truncation", "window", "--k2", 21, "--residual"),
    "adamw, after": ("--optimizer", "adamw", "--weight-decay", 0.1, "--reset-after", "fox", "--warmup", 30),
}


def contents(run: str) -> dict[str, np.ndarray]:
    """All arrays of both checkpoints; of the meta data what is no wall-clock time."""
    found = {}
    for name in ("last", "best"):
        with np.load(Path(run) / f"{name}.npz", allow_pickle=False) as file:
            for key in file.files:
                found[f"{name}/{key}"] = file[key]
        meta = json.loads(str(found.pop(f"{name}/meta")[()]))
        for clock in ("seconds", "chars_per_second", "run"):
            meta["progress"].pop(clock)
        for clock in ("seconds", "timed_chars") if name == "last" else ():
            meta["state"]["trainer"].pop(clock)
        found[f"{name}/meta"] = np.array(json.dumps(meta))
    lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    found["metrics"] = np.array(json.dumps([line | {"seconds": 0} for line in lines]))
    return found


@pytest.mark.parametrize("options", SETTINGS.values(), ids=SETTINGS.keys())
def test_resume(run: Run, corpus: Path, options: tuple[object, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped twice: in the middle of an epoch, and right before an epoch's last, shorter block."""
    monkeypatch.setattr("charlm.training.metrics_log._LOG_CHARS", 600)
    k1 = options[options.index("--k1") + 1] if "--k1" in options else 8
    assert isinstance(k1, int)
    common = ("train", "corpus.txt", "--hidden", 12, "--streams", 5, "--eval-every", 60, *options)
    if "artbp" not in options and "--k1" not in options:
        common += ("--k1", k1)
    steps = -(-(int(len(corpus.read_text()) * 0.9) - 1) // 5)
    blocks = -(-steps // k1)
    assert steps % k1 != 0, "the last block of an epoch must be a shorter one"
    end = 2 * blocks + 40
    assert run(*common, "--updates", end, "--run", "straight", "--threads", 1).code == 0
    done = Trainer._is_over
    for stop in (37, blocks - 1, end):

        def stops(trainer: Trainer, stop: int = stop) -> bool:
            if end > trainer.run.state.updates >= stop:
                trainer.request_stop()
            return done(trainer)

        monkeypatch.setattr(Trainer, "_is_over", stops)
        resume = ("--resume",) if stop > 37 else ()
        save = ("--save-every", 7 if stop == end else stop)  # a run stops only where it would save
        result = run(*common, "--updates", end, "--run", "pieces", *save, "--threads", 2, *resume, "--json")
        assert result.code == 0, result.err
        assert json.loads(result.out)["updates"] == stop
    straight, pieces = contents("straight"), contents("pieces")
    assert straight.keys() == pieces.keys()
    for name, array in straight.items():
        assert np.array_equal(array, pieces[name]), name


def test_a_run_can_be_made_longer_but_not_otherwise_changed(run: Run, corpus: Path) -> None:
    common = ("train", "corpus.txt", "--hidden", 12, "--streams", 3)
    assert run(*common, "--updates", 5).code == 0
    assert json.loads(run("train", "corpus.txt", "--resume", "--updates", 9, "--json").out)["updates"] == 9
    assert json.loads(run(*common, "--resume", "--json").out)["updates"] == 9
    result = run("train", "corpus.txt", "--resume", "--hidden", 16)
    assert result.code == 2
    assert "--hidden 16: the run was made with --hidden 12" in result.err
    Path("corpus.txt").write_text(corpus.read_text().replace("fox", "cat"))
    result = run("train", "corpus.txt", "--resume", "--updates", 12)
    assert result.code == 1
    assert "not the text that the run was trained on: its contents have changed: name the same files" in result.err
