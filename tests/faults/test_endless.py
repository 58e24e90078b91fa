"""Input without end, and checkpoints that name one: refused, bounded, and nothing is left on the disk."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.corpus import cache
from charlm.corpus.corpus import read_corpus
from charlm.corpus.sources import read_piece
from charlm.errors import CorpusError
from charlm.storage.npz import read_archive

from ..cli.conftest import SMALL, TEXT, Result
from ..waiting import wait_until
from .test_hostile import checkpoint, rewritten  # noqa: F401  a fixture

Run = Callable[..., Result]
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1)
_DEVICE = "is a device, which may never end: pipe a part of it in"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh directory with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHARLM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path


def spools() -> list[Path]:
    """What is, or was, being copied into the cache."""
    return list(Path("cache/corpora").glob("incoming-*"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "/dev/zero", "--bytes"),
        ("train", "corpus.txt", "/dev/urandom"),
        ("train", "corpus.txt", "--val", "/dev/zero"),
    ],
    ids=" ".join,
)
def test_devices_without_an_end(run: Run, folder: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert _DEVICE in result.err
    assert not spools()


def test_devices_elsewhere(run: Run, folder: Path, warm: Path) -> None:
    assert run("train", "corpus.txt", *SMALL, "--updates", 1, "-q").code == 0
    for arguments, code in (
        (("eval", "runs/corpus", "/dev/zero"), 1),
        (("eval", "runs/corpus", "/dev/urandom", "--by", "line"), 1),
        (("sample", "--prime-file", "/dev/zero"), 1),
        (("info", "--config", "/dev/zero"), 2),
        (("lags", "runs/corpus", "/dev/zero"), 1),
    ):
        result = run(*arguments)
        assert (result.code, result.out) == (code, ""), arguments
        assert _DEVICE in result.err
    for command in ("info", "sample", "eval"):
        assert "/dev/zero: not a regular file" in run(command, "/dev/zero").err
    Path("runs/corpus/metrics.jsonl").unlink()
    Path("runs/corpus/metrics.jsonl").symlink_to("/dev/zero")
    assert "metrics.jsonl: not a regular file" in run("plot").err
    empty = run("train", "/dev/null", "--run", "x")
    assert (empty.code, "is empty" in empty.err) == (1, True)
    for device, message in (("/dev/zero", _DEVICE), ("/dev/null", "is empty")):
        with Path(device).open("rb") as source:
            done = subprocess.run(
                [warm / "charlm", "train", "-", "--run", "x"],
                stdin=source,
                capture_output=True,
                text=True,
                check=False,
            )
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr


def test_pipes_fill_no_more_than_a_share_of_the_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that never ends, on a disk of which two megabytes may be used."""
    monkeypatch.setattr(cache, "room", lambda directory: 2_000_000)
    os.mkfifo("endless")
    writer = subprocess.Popen(["sh", "-c", "cat /dev/zero > endless"], stderr=subprocess.DEVNULL)
    try:
        with pytest.raises(CorpusError, match="endless: 0.0 GB and more do not fit into half of the free disk"):
            read_corpus(("endless",), use_bytes=True)
        assert writer.wait() != 0, "its reader has gone"
    finally:
        writer.kill()
        writer.wait()
    assert not spools()


def test_a_page_of_a_text_that_never_ends(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train", "corpus.txt", *SMALL, "--updates", 1, "-q").code == 0
    monkeypatch.setattr(cache, "room", lambda directory: 100_000)
    os.mkfifo("endless")
    writer = subprocess.Popen(["sh", "-c", "yes 'quick brown fox' > endless"], stderr=subprocess.DEVNULL)
    try:
        result = run("eval", "runs/corpus", "endless", "--html", "page.html", "-q")
        assert (result.code, result.out) == (1, "")
        assert result.err.startswith("Error: page.html: the page would take more than half of the free disk")
        assert not list(folder.glob("*page.html*"))
        assert writer.wait() != 0, "its reader has gone"
    finally:
        writer.kill()
        writer.wait()


def test_a_file_larger_than_the_disk_is_refused_before_it_is_read(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    with Path("sparse").open("wb") as file:
        file.truncate(4 * free)
    told: list[int] = []
    with pytest.raises(CorpusError, match="sparse: .* do not fit into half of the free disk"):
        read_corpus(("sparse",), use_bytes=True, on_read=told.append)
    assert not told
    assert not spools()


def default_signals() -> None:
    """Ignores none, as a process that a shell put into the background does."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def spooling(folder: Path) -> "subprocess.Popen[str]":
    """A process that has begun to copy its standard input into the cache, and waits for more."""
    process = subprocess.Popen(
        [sys.executable, "-m", "charlm", "train", "-", "--bytes", "--run", "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=default_signals,
    )
    assert process.stdin is not None
    process.stdin.write("x" * 2**21)
    process.stdin.flush()
    begun = lambda: any(path.stat().st_size for spool in spools() for path in spool.iterdir())  # noqa: E731
    wait_until(begun, lambda: process.poll() is None)
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_removes_the_spool(folder: Path, number: signal.Signals) -> None:
    with spooling(folder) as process:
        process.send_signal(number)
        assert process.wait() == 128 + number
        assert process.stderr is not None
        assert process.stderr.read().strip() == ""
    assert not spools()
    assert not Path("x").exists()


def test_a_signal_just_before_waiting_is_not_missed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler runs when waiting is over, so waiting must not last until there is input: here there never is any."""
    reader, writer = os.pipe()
    waited: list[float] = []

    def late(ready: object, writable: object, failed: object, seconds: float) -> tuple[list[object], ...]:
        waited.append(seconds)
        if len(waited) == 3:
            raise TimeoutError("the handler's turn")
        return [], [], []

    monkeypatch.setattr("charlm.corpus.sources.select.select", late)
    monkeypatch.setattr("charlm.corpus.sources.contextlib.suppress", lambda *kinds: nullcontext())
    with os.fdopen(reader, "rb") as source, pytest.raises(TimeoutError):
        read_piece(source, 100)
    os.close(writer)
    assert all(0 < seconds <= 1 for seconds in waited)


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_is_not(folder: Path) -> None:
    with spooling(folder) as killed:
        killed.kill()
        killed.wait()
    assert len(spools()) == 1
    with spooling(folder) as alive:
        assert len(spools()) == 1, "the next start removed the killed one's"
        read_corpus(("corpus.txt",))
        assert len(spools()) == 1, "another process's is its own"
        alive.terminate()
    assert not spools()


def renamed(checkpoint: Path, **settings: Any) -> Path:  # noqa: F811
    """The checkpoint with other settings in it."""
    meta = json.loads(str(read_archive(checkpoint).arrays["meta"][()]))
    meta["config"] |= settings
    return rewritten(checkpoint, Path("renamed.npz"), {"meta": np.array(json.dumps(meta))})


COMMANDS = (("eval", "renamed.npz"), ("sample", "renamed.npz", "--unseen", "--until", "."), ("lags", "renamed.npz"))


@pytest.fixture
def corpora(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of encoded texts in a cache that no other test writes to."""
    monkeypatch.setattr(cache, "root", lambda: tmp_path / "cache")
    path = tmp_path / "cache" / "corpora"
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_checkpoint_names_a_device_or_another_file(
    corpora: Path,
    checkpoint: Path,  # noqa: F811
    run: Run,
    command: tuple[str, ...],
) -> None:
    os.mkfifo("pipe")
    Path("secret.txt").write_text("a secret text, of other characters: ÄÖÜ\n" * 9, encoding="utf-8")
    cached = set(corpora.iterdir())
    for settings in (
        {"corpus": ["/dev/zero"]},
        {"corpus": ["pipe"]},
        {"corpus": ["."]},
        {"val_file": "/dev/zero"},
        {"corpus": ["/dev/zero"], "use_bytes": True},
    ):
        renamed(checkpoint, **settings)
        result = run(*command)
        assert (result.code, result.out) == (1, "")
        assert "the run was trained on it, and no regular file of that name is there now" in result.err
    renamed(checkpoint, corpus=["secret.txt"])
    result = run(*command)
    assert (result.code, result.out) == (1, "")
    assert "secret.txt: not the text that the run was trained on" in result.err
    assert set(corpora.iterdir()) == cached, "nothing is kept of a file that only a checkpoint names"


def test_a_run_that_goes_on_names_a_device_or_another_file(corpora: Path, checkpoint: Path, run: Run) -> None:  # noqa: F811
    os.mkfifo("pipe")
    Path("secret.txt").write_text("a secret text\n" * 9, encoding="utf-8")
    cached = set(corpora.iterdir())
    for name, message in (
        ("pipe", "pipe: the run was validated on it, and no regular file"),
        ("/dev/zero", "no regular file of that name"),
        ("secret.txt", "not the text that the run was trained on: its contents have changed: name the same files"),
    ):
        renamed(checkpoint, val_file=name).replace(checkpoint)
        result = run("train", "corpus.txt", "--resume", "--updates", 30, "-q")
        assert (result.code, result.out) == (1, "")
        assert message in result.err
    assert set(corpora.iterdir()) == cached


def test_a_runs_own_corpus_that_is_gone(checkpoint: Path, run: Run) -> None:  # noqa: F811
    Path("corpus.txt").rename("moved.txt")
    result = run("eval")
    assert (result.code, result.out) == (1, "")
    message = "corpus.txt: the run was trained on it, and no regular file of that name is there now: name a text to evaluate"
    assert result.err == f"Error: {message}\n"
    assert run("eval", "runs/corpus", "moved.txt").code == 0


def test_a_vocabulary_that_is_not_the_corpus_s(checkpoint: Path, run: Run) -> None:  # noqa: F811
    """The digest is right, the characters are not: ids would lie outside the model's arrays."""
    arrays = read_archive(checkpoint).arrays
    meta = json.loads(str(arrays["meta"][()]))
    meta["vocabulary"] = meta["vocabulary"][:-1]
    rewritten(
        checkpoint,
        Path("fewer.npz"),
        {
            "meta": np.array(json.dumps(meta)),
            "param/rnn.weight_ih_l0": np.ascontiguousarray(arrays["param/rnn.weight_ih_l0"][:, :-1]),
            "param/out.weight": arrays["param/out.weight"][:-1],
            "param/out.bias": arrays["param/out.bias"][:-1],
        },
    )
    result = run("eval", "fewer.npz")
    assert (result.code, result.out) == (1, "")
    assert "its characters are not those of corpus.txt" in result.err
    assert run("sample", "fewer.npz", "-n", 3).code == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(checkpoint: Path, run: Run, bad: float) -> None:  # noqa: F811
    """Refused wherever they are, by everything that reads them: no gate is passed by a NaN."""
    arrays = read_archive(checkpoint).arrays
    for name in (n for n in arrays if n.startswith("param/")):
        spoiled = arrays[name].copy()
        spoiled.reshape(-1)[-1] = bad
        rewritten(checkpoint, Path("bad.npz"), {name: spoiled})
        for command in (("eval", "bad.npz", "corpus.txt", "--fail-above", 1), ("sample", "bad.npz"), ("info", "bad.npz")):
            result = run(*command)
            assert (result.code, result.out) == (1, ""), (name, command)
            assert f"{name.removeprefix('param/')}: expected finite numbers, found {bad}" in result.err
    state = arrays["state/network/state_h"].copy()
    state.reshape(-1)[0] = bad
    rewritten(checkpoint, Path("runs/corpus/last.npz"), {"state/network/state_h": state})
    resumed = run("train", "corpus.txt", "--resume", "--updates", 30, "-q")
    assert (resumed.code, f"state/network/state_h: expected finite numbers, found {bad}" in resumed.err) == (1, True)


def test_meta_data_that_is_not_finite(checkpoint: Path, run: Run) -> None:  # noqa: F811
    """JSON knows no NaN; Python's reader does, and what was read would be printed."""
    text = str(read_archive(checkpoint).arrays["meta"][()])
    for word in ("NaN", "Infinity", "-Infinity"):
        for name in ("val_nats", "seconds", "window_bytes"):
            spoiled = text.replace('"progress": {', f'"progress": {{"{name}": {word}, ', 1)
            rewritten(checkpoint, Path("bad.npz"), {"meta": np.array(spoiled)})
            result = run("info", "bad.npz", "--json")
            assert (result.code, result.out) == (1, ""), (word, name)
            assert "bad.npz: not a charlm checkpoint" in result.err
    lines = Path("runs/corpus/metrics.jsonl").read_text()
    Path("runs/corpus/metrics.jsonl").write_text('{"more": NaN, ' + lines[1:])
    assert "NaN" not in run("plot", "--json").out


def test_losses_that_are_not_finite(checkpoint: Path, run: Run) -> None:  # noqa: F811
    """Finite parameters whose arithmetic overflows: no result, no row, no gate passed."""
    huge = np.full_like(read_archive(checkpoint).arrays["param/out.bias"], 3e38)
    huge[::2] = -3e38
    weights = np.full_like(read_archive(checkpoint).arrays["param/out.weight"], 3e38)
    rewritten(checkpoint, Path("huge.npz"), {"param/out.bias": huge, "param/out.weight": weights})
    for more in ((), ("--json",), ("--by", "line"), ("--by", "char", "--json"), ("--fail-above", 99), ("--dynamic",)):
        result = run("eval", "huge.npz", "corpus.txt", "-q", *more)
        assert (result.code, result.out) == (1, ""), more
        assert "not a finite number: the model's parameters are too large" in result.err
    for more in ((), ("--json",)):
        result = run("lags", "huge.npz", "corpus.txt", "-n", 9, "--losses", 8, "-q", *more)
        assert (result.code, result.out) == (1, "")
        assert "a gradient is not finite: the model's parameters are too large" in result.err
    for more in ((), ("--json",), ("--beam", 3)):
        result = run("sample", "huge.npz", "-n", 5, *more)
        assert result.code == 1
        assert "probabilities are not finite" in result.err
        assert "nan" not in result.out.lower()
