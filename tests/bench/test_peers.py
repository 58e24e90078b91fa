"""The peers do charlm's work: from the same parameters, on the same text, their updates have the same losses."""

import importlib
import importlib.util
import json
import py_compile
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charlm.analysis.speed import ROWS

from .peers.work import MODES, Text, Work, next_block
from .rows import PEERS, charlm_train, programs

FOLDER = Path(__file__).parent / "peers"
UPDATES = 12
K1 = 10
SMALL = {  # work that each program can do
    "numpy": [("rnn", 1, 1), ("lstm", 1, 1)],
    "torch": [("rnn", 1, 3), ("lstm", 2, 3), ("gru", 2, 3)],
    "jax": [("rnn", 1, 3), ("lstm", 2, 3), ("gru", 2, 3)],
}
CASES = [(name, *work) for name, works in SMALL.items() for work in works]


def write_text(path: Path, streams: int) -> Path:
    """Write a random text of 8 letters that divides evenly into streams of UPDATES blocks."""
    letters = np.random.default_rng(1).choice(list("abcdefg\n"), UPDATES * K1 * streams + 1)
    path.write_text("".join(letters), newline="")
    return path


def loss_of_charlm(work: Work, run: Path) -> float:
    """Return charlm's mean loss over UPDATES updates, and leave its initial parameters in run/last.npz."""
    same = {"cell": work.cell, "hidden": work.hidden, "layers": work.layers, "streams": work.streams, "k1": K1}
    found = float("nan")
    for updates in (UPDATES, 0):
        options = {**same, "dropout": 0, "optimizer": "adam", "lr": work.learning_rate, "clip": work.clip}
        command = charlm_train(work.corpus, run, schedule="constant", val_fraction=0, updates=updates, **options)
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)["train_nats"] if updates else found
    return found


@pytest.mark.parametrize(("name", "cell", "layers", "streams"), CASES)
def test_updates_have_the_losses_of_charlm(name: str, cell: str, layers: int, streams: int, tmp_path: Path) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: make peers")
    text = write_text(tmp_path / "text.txt", streams)
    run = tmp_path / "run"
    shape = {"cell": cell, "hidden": 12, "layers": layers, "streams": streams, "k1": K1, "k2": K1, "threads": 1}
    work = Work("train", text, learning_rate=0.01, clip=0.2, init=run / "last.npz", **shape)  # type: ignore[arg-type]
    expected = loss_of_charlm(work, run)
    program = importlib.import_module(f"tests.bench.peers.{name}_charrnn")
    peer = next(getattr(program, found) for found in vars(program) if found.lower() == f"{name}peer")(work, Text.read(text))
    while len(peer.losses) < UPDATES:
        peer.train()
    assert np.mean(peer.losses) == pytest.approx(expected, rel=1e-4)
    assert abs(peer.losses[-1] - peer.losses[0]) > 0.01  # it has learned: the comparison is not of constants


@pytest.mark.parametrize("mode", MODES)
def test_the_numpy_program_prints_its_rate(mode: str, tmp_path: Path) -> None:
    text = write_text(tmp_path / "text.txt", 20)
    command = [
        sys.executable,
        "-m",
        "tests.bench.peers.numpy_charrnn",
        mode,
        str(text),
        "--hidden",
        "8",
        "--seconds",
        "0.01",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FOLDER.parent.parent.parent)
    found = json.loads(done.stdout)
    assert found["chars_per_second"] > 0
    assert (mode == "train") == ("loss" in found)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_programs_sample_and_evaluate(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed: make peers")
    text = write_text(tmp_path / "text.txt", 20)
    program = importlib.import_module(f"tests.bench.peers.{name}_charrnn")
    make = {"torch": "TorchPeer", "jax": "JaxPeer"}[name]
    for mode in ("sample", "eval"):
        peer = getattr(program, make)(Work(mode, text, hidden=8, streams=2, threads=1), Text.read(text))
        assert (peer.sample() if mode == "sample" else peer.evaluate()) % 2 == 0


def test_torch_computes_longer_windows_again(tmp_path: Path) -> None:
    """With k2 = 2 k1 the first update is that of k2 = k1; later ones read their window with the newest parameters."""
    pytest.importorskip("torch", reason="torch is not installed: make peers")
    program = importlib.import_module("tests.bench.peers.torch_charrnn")
    text = Text.read(write_text(tmp_path / "text.txt", 2))
    losses = []
    for k2 in (K1, 2 * K1):
        peer = program.TorchPeer(Work("train", tmp_path, hidden=8, streams=2, k1=K1, k2=k2, threads=1), text)
        while len(peer.losses) < 4:
            peer.train()
        losses.append(peer.losses)
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-6)
    assert losses[0][1:] != pytest.approx(losses[1][1:], rel=1e-6)


def test_all_programs_compile_without_their_libraries() -> None:
    files = sorted(FOLDER.glob("*_charrnn.py"))
    assert [path.stem.removesuffix("_charrnn") for path in files] == sorted(peer.package for peer in PEERS)
    for path in files:
        py_compile.compile(str(path), cfile=str(path.with_suffix(".checked")), doraise=True)
        path.with_suffix(".checked").unlink()


def test_rows_name_the_programs_that_can_do_them(tmp_path: Path) -> None:
    for row in ROWS:
        found = programs(row, tmp_path / "text.txt", 1.0, 2, tmp_path, [peer.package for peer in PEERS])
        assert next(iter(found)) == "charlm"
        assert ("jax" in found) <= (importlib.util.find_spec("jax") is not None and row.k1 == row.k2)
        assert ("numpy" in found) == (row.layers == row.streams == 1 and row.k1 == row.k2 and row.cell != "gru")


def test_blocks_that_do_not_fit_start_the_text_again() -> None:
    assert next_block(0, 4, 10) == (0, True)
    assert next_block(4, 4, 10) == (4, False)
    assert next_block(8, 4, 10) == (0, True)
