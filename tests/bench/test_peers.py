"""The peers do charlm's work: from the same parameters, on the same text, their updates have the same losses."""

import functools
import importlib
import importlib.util
import json
import py_compile
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pytest

import charlm
from charlm.analysis.speed import ROWS
from charlm.registry import CELLS

from .peers.work import MODES, Peer, Text, Work, next_block
from .rows import PEERS, programs

T = TypeVar("T")
FOLDER = Path(__file__).parent / "peers"
UPDATES = 12
K1, HIDDEN, RATE, CLIP = 10, 12, 0.01, 0.2
SMALL = {  # work that each program can do
    "numpy": [("rnn", 1, 1), ("lstm", 1, 1)],
    "torch": [("rnn", 1, 3), ("lstm", 2, 3), ("gru", 2, 3)],
    "jax": [("rnn", 1, 3), ("lstm", 2, 3), ("gru", 2, 3)],
}
CASES = [(name, *work) for name, works in SMALL.items() for work in works]


def peer_of(name: str) -> Callable[[Work, Text], Peer]:
    """Return the class of a program."""
    program = importlib.import_module(f"tests.bench.peers.{name}_charrnn")
    found: Callable[[Work, Text], Peer] = getattr(program, f"{name.capitalize()}Peer")
    return found


def losses_of(name: str, work: Work, text: Text, updates: int) -> list[float]:
    """Return the loss of each update of a program."""
    peer = peer_of(name)(work, text)
    while len(peer.losses) < updates:
        peer.train()
    return list(peer.losses)


def characters_of(name: str, work: Work, text: Text) -> int:
    """Return the number of characters that a program samples or evaluates in one piece of work."""
    peer = peer_of(name)(work, text)
    return peer.sample() if work.mode == "sample" else peer.evaluate()


def run_peer(name: str, do: Callable[..., T], *arguments: object) -> T:
    """Return do(name, *arguments); skip the test when the program's library is not installed.

    JAX starts threads for good, and other tests fork this process: so it gets a process of its own.
    """
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: make peers")
    if name != "jax":
        return do(name, *arguments)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(do, name, *arguments).result()


def write_text(path: Path, streams: int) -> Path:
    """Write a random text of 8 letters that divides evenly into streams of UPDATES blocks."""
    letters = np.random.default_rng(1).choice(list("abcdefg\n"), UPDATES * K1 * streams + 1)
    path.write_text("".join(letters), newline="")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for charlm's runs."""
    return tmp_path_factory.mktemp("runs")


@functools.cache
def trained_by_charlm(cell: str, layers: int, streams: int, folder: Path) -> tuple[float, Path]:
    """Return charlm's mean loss over UPDATES updates, and a checkpoint of the parameters that they started from."""
    text, losses = write_text(folder / "text.txt", streams), []

    def listen(event: charlm.Event) -> None:
        if isinstance(event, charlm.Validation):
            losses.append(event.train_nats)

    shape = {
        "cell": cell,
        "layers": layers,
        "hidden": HIDDEN,
        "dropout": 0.0,
        "direct_order": 0,
        "streams": streams,
        "k1": K1,
    }
    rest = {
        "optimizer": "adam",
        "lr": RATE,
        "clip": CLIP,
        "schedule": "constant",
        "eval_every": UPDATES,
        "val_file": str(text),
    }
    settings = cast(charlm.Settings, shape | rest)
    for updates in (UPDATES, 0):
        run, settings["updates"] = folder / f"{cell} {layers} {streams} {updates}", updates
        charlm.train(text, run, on_event=listen, **settings)
    return losses[0], run / "last.npz"


@pytest.mark.parametrize(("name", "cell", "layers", "streams"), CASES)
def test_updates_have_the_losses_of_charlm(name: str, cell: str, layers: int, streams: int, runs: Path) -> None:
    expected, init = trained_by_charlm(cell, layers, streams, runs)
    shape = Work("train", runs / "text.txt", cell, HIDDEN, layers, streams, K1, K1, threads=1)
    work = replace(shape, learning_rate=RATE, clip=CLIP, init=init)
    losses = run_peer(name, losses_of, work, Text.read(write_text(work.corpus, streams)), UPDATES)
    assert np.mean(losses) == pytest.approx(expected, rel=1e-4)
    assert np.ptp(losses) > 0.01  # the comparison is not of constants


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
    text = write_text(tmp_path / "text.txt", 20)
    for mode in ("sample", "eval"):
        work = Work(mode, text, hidden=8, streams=2, threads=1)
        assert run_peer(name, characters_of, work, Text.read(text)) % 2 == 0


def test_torch_computes_longer_windows_again(tmp_path: Path) -> None:
    """With k2 = 2 k1 the first update is that of k2 = k1; later ones read their window with the newest parameters."""
    text = Text.read(write_text(tmp_path / "text.txt", 2))
    losses = []
    for k2 in (K1, 2 * K1):
        work = Work("train", tmp_path, hidden=8, streams=2, k1=K1, k2=k2, threads=1)
        losses.append(run_peer("torch", losses_of, work, text, 4))
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
        if row.precision != "float32" or not CELLS[row.cell].pytorch:
            assert list(found) == ["charlm"], row.name
            continue
        assert ("jax" in found) <= (importlib.util.find_spec("jax") is not None and row.k1 == row.k2)
        assert ("numpy" in found) == (row.layers == row.streams == 1 and row.k1 == row.k2 and row.cell != "gru")


def test_blocks_that_do_not_fit_start_the_text_again() -> None:
    assert next_block(0, 4, 10) == (0, True)
    assert next_block(4, 4, 10) == (4, False)
    assert next_block(8, 4, 10) == (0, True)
