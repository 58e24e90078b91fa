"""Texts that are not what one expects, and the cache that they are kept in."""

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from charlm.corpus import cache
from charlm.corpus.corpus import read_corpus
from charlm.errors import CorpusError

from ..cli.conftest import SMALL, TEXT, Result
from ..waiting import HANGS

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a cache of its own for texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cache, "root", lambda: tmp_path / "cache")
    return tmp_path


def decoded(*names: str) -> str:
    corpus = read_corpus(names, val_fraction=0)
    return corpus.vocabulary.decode(corpus.ids)


@pytest.mark.parametrize(
    "text",
    [
        "one\r\ntwo\r\n",
        "nul\x00in it\n",
        "astral \U0001f600\U0001d11e\n",
        "e\u0301 and \u00e9 differ\n",
        "\u202eright to left\n",
        "line\u2028separators\u0085and\x0b\x0cmore\n",
        "x" * 3_000_000 + "y",
        "\ufeff\ufeffone mark is text\n"[1:],
    ],
)
def test_every_character_stays_what_it_is(text: str) -> None:
    Path("t.txt").write_bytes(text.encode())
    assert decoded("t.txt") == text.removeprefix("\ufeff")


def test_a_byte_order_mark_is_none_of_the_text(run: Run) -> None:
    """At the beginning of each file; within one it is a character, and of --bytes it is three bytes."""
    for i in range(2):
        Path(f"{i}.txt").write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    Path("inside.txt").write_text("a\ufeffb", encoding="utf-8")
    assert decoded("0.txt", "1.txt") == TEXT * 2
    assert decoded("inside.txt") == "a\ufeffb"
    assert len(read_corpus(("0.txt",), use_bytes=True).ids) == len(TEXT.encode()) + 3
    assert run("train", "0.txt", *SMALL, "--updates", 2, "-q").code == 0
    rows = run("eval", "runs/0", "0.txt", "1.txt", "--by", "line", "-q").out.splitlines()
    assert [row.split("\t")[2] for row in rows] == TEXT.splitlines() * 2


def test_other_encodings_are_named(run: Run) -> None:
    for data in (TEXT.encode("utf-16"), b"caf\xe9\n" * 9, b"\xff\xfe", "\ud800".encode("utf-8", "surrogatepass")):
        Path("t.txt").write_bytes(data)
        result = run("train", "t.txt")
        assert (result.code, result.out) == (1, "")
        assert "not UTF-8 at byte" in result.err
        assert "iconv" in result.err


def test_lone_surrogates_in_arguments(folder: Path, warm: Path) -> None:
    """Bytes that are no UTF-8, in names of files and in texts, as a shell hands them over."""
    odd = os.fsdecode(b"b\xffd.txt")
    Path(odd).write_text(TEXT, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}

    installed = (sys.executable, "-m", "charlm")

    def charlm(*arguments: object, program: tuple[object, ...] = (warm / "charlm",)) -> "subprocess.CompletedProcess[bytes]":
        command = list(map(str, (*program, *arguments)))
        done = subprocess.run(command, capture_output=True, check=False, env=environment)
        assert b"Traceback" not in done.stderr, done.stderr
        assert b"unexpected" not in done.stderr, done.stderr
        return done

    trained = charlm("train", odd, *SMALL, "--updates", 2, "--reset-after", os.fsdecode(b"\xfe"), program=installed)
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.endswith(b"runs/b\xffd\n")
    run = os.fsdecode(b"runs/b\xffd")
    assert charlm("eval", run, odd, "--html", "page.html").returncode == 0
    assert charlm("info", run).returncode == 0
    assert charlm("plot", run, "--json").returncode == 0
    refused = charlm("sample", run, "--prime", os.fsdecode(b"\xff"))
    assert refused.returncode == 1
    assert b"(U+DCFF)" in refused.stderr
    assert charlm("train", odd, "--resume", "--run", run, "--updates", 3, *SMALL[:2]).returncode == 0


def refuse_sparse_file(size: int, folder: Path) -> None:
    """Read a file of nothing but holes: once, then it is refused, and nothing of it is kept."""
    with Path("holes.txt").open("wb") as file:
        file.truncate(size)
    told: list[int] = []
    with pytest.raises(CorpusError, match=r"^holes\.txt: all characters are '\\x00'; there is nothing to learn$"):
        read_corpus(("holes.txt",), on_read=told.append)
    assert sum(told) == size
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1 << 20


def test_a_sparse_file_is_read_once(folder: Path) -> None:
    """Many pieces long; tests.faults reads one of more bytes than 32 bits count."""
    refuse_sparse_file(1 << 27, folder / "cache")


def test_a_named_pipe_is_read_once() -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_text(TEXT))
    writer.start()
    assert decoded("pipe") == TEXT
    writer.join()


def write_meanwhile(path: Path, change: Callable[[], object]) -> CorpusError:
    """The error when a file is changed after its first piece was read."""
    told: list[int] = []

    def on_read(n: int) -> None:
        if not told:
            change()
        told.append(n)

    with pytest.raises(CorpusError) as caught:
        read_corpus((str(path),), on_read=on_read)
    return caught.value


def test_a_file_that_changes_while_it_is_read_is_refused() -> None:
    path = Path("t.txt")
    for changed in (TEXT * 2, TEXT[:100], TEXT[:-5] + "lazy\n"):
        path.write_text(TEXT)
        os.utime(path, (0, 0))  # clocks of files may stand still for a while: what is written now has another time
        message = str(write_meanwhile(path, lambda text=changed: path.write_text(text)))  # type: ignore[misc]
        assert "while it was read; run again when it is complete" in message, message
    path.write_text(TEXT)
    assert decoded("t.txt") == TEXT


def test_an_endless_line_is_an_error_not_a_full_memory(run: Run) -> None:
    Path("corpus.txt").write_text(TEXT)
    assert run("train", "corpus.txt", *SMALL, "--updates", 2, "-q").code == 0
    script = "yes 'the lazy fox ' | tr -d '\\n' | " + f"{sys.executable} -m charlm eval runs/corpus - --by line -q"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=HANGS)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: line 1 has more than 67,108,864 bytes: break it up (fold)\n"


def test_the_cache_is_private(folder: Path) -> None:
    Path("t.txt").write_text(TEXT)
    decoded("t.txt")
    paths = [folder / "cache" / "corpora", *(folder / "cache" / "corpora").rglob("*")]
    assert len(paths) > 3
    for path in paths:
        assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path
    (folder / "cache" / "corpora").chmod(0o777)
    decoded("t.txt")
    assert stat.S_IMODE((folder / "cache" / "corpora").stat().st_mode) == 0o700


def test_a_link_in_the_caches_place_is_not_followed(folder: Path, run: Run) -> None:
    Path("t.txt").write_text(TEXT)
    (folder / "cache").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "cache" / "corpora").symlink_to(folder / "elsewhere")
    result = run("train", "t.txt", "-q")
    assert result.code == 1
    assert "is a link or another user's: set CHARLM_CACHE" in result.err
    assert not list((folder / "elsewhere").iterdir())


def test_old_and_large_entries_go_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{i}.txt" for i in range(5)]
    corpora, by_age = folder / "cache" / "corpora", list[Path]()
    for i, name in enumerate(names):
        Path(name).write_text(TEXT + str(i))
        decoded(name)
        by_age += set(corpora.iterdir()) - set(by_age)
    assert len(by_age) == 5
    long_ago = time.time() - 86400 * 61
    os.utime(by_age[0], (long_ago, long_ago))
    decoded(names[4])
    assert set(corpora.iterdir()) == set(by_age[1:])
    for i, path in enumerate(by_age[1:]):
        os.utime(path, (time.time() - 100 + i, time.time() - 100 + i))
    monkeypatch.setattr(cache, "_LARGEST", 2.5 * len(TEXT))
    assert decoded(names[1]) == TEXT + "1"  # used just now, so it stays, whatever else goes
    left = set(corpora.iterdir())
    assert by_age[1] in left
    assert len(left) == 2
    assert by_age[4] in left


def test_compiled_code_of_old_versions_goes(folder: Path) -> None:
    Path("t.txt").write_text(TEXT)
    old, new, read = (folder / "cache" / "kernels" / name for name in ("old", "new", "read"))
    long_ago = time.time() - 86400 * 61
    for path in (old, new, read):
        path.mkdir(parents=True)
        (path / "kernel.nbc").write_bytes(b"code")
    os.utime(old / "kernel.nbc", (long_ago, long_ago))
    os.utime(read / "kernel.nbc", (time.time(), long_ago))
    decoded("t.txt")
    assert (old.exists(), new.exists(), read.exists()) == (False, True, True)


def test_nothing_is_written_but_the_run_and_the_cache(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.txt").write_text(TEXT)
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("TMPDIR", str(home))
    assert run("train", "t.txt", *SMALL, "--updates", 2, "-q").code == 0
    assert run("eval", "runs/t", "-q").code == 0
    assert run("sample", "runs/t", "-q", "-n", 3).code == 0
    assert {path.name for path in folder.iterdir()} == {"t.txt", "home", "runs", "cache"}
    assert not list(home.iterdir())
    assert np.load("runs/t/last.npz").files
