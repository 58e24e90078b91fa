"""What charlm does on systems that it is not tested on: their answers are injected here."""

import io
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charlm import files, system
from charlm.cli import main
from charlm.config.request import Request
from charlm.corpus import sources
from charlm.distributed import launch
from charlm.errors import CheckpointError, ResourceError
from charlm.training.session import begin

SHARING_VIOLATION = 32


def refused(number: int) -> OSError:
    error = PermissionError(13, "Permission denied")
    error.winerror = number  # type: ignore[attr-defined]
    return error


class Replace:
    """os.replace, which fails so many times first."""

    def __init__(self, failures: int, number: int = SHARING_VIOLATION) -> None:
        self.failures, self.number, self.calls = failures, number, 0

    def __call__(self, source: Path, target: Path) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise refused(self.number)
        source.rename(target)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(files.time, "sleep", found.append)
    return found


def test_a_file_that_another_program_reads_is_replaced_when_it_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    path = tmp_path / "last.npz"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "replace", replace := Replace(3))
    files.write_atomically(path, lambda file: file.write(b"new"))
    assert (path.read_bytes(), replace.calls, len(waits)) == (b"new", 4, 3)
    assert [each.name for each in tmp_path.iterdir()] == ["last.npz"]


def test_a_file_that_stays_open_is_told_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    path = tmp_path / "last.npz"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "replace", Replace(1000))
    with pytest.raises(CheckpointError, match=r"last\.npz: could not be written: another program has it open"):
        files.write_atomically(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["last.npz"]
    assert 2 < sum(waits) < 5


def test_another_refusal_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    monkeypatch.setattr(files.os, "replace", replace := Replace(1000, number=0))
    with pytest.raises(CheckpointError, match="Permission denied"):
        files.write_atomically(tmp_path / "x", lambda file: file.write(b"new"))
    assert (replace.calls, waits) == (1, [])


def test_a_run_without_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "fcntl", None)
    corpus = tmp_path / "corpus.txt"
    said: list[str] = []
    corpus.write_text("the rain in spain\n" * 50)
    begin(Request((str(corpus),), tmp_path / "run", {"hidden": 8, "layers": 1, "updates": 1}), said.append)
    assert said[-1] == f"there are no file locks here: nothing keeps another process from writing to {tmp_path / 'run'}"


def test_ranks_are_refused_where_kernels_cannot_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would train on its own gradient."""
    monkeypatch.setattr(launch, "POSIX", False)
    monkeypatch.setattr(launch, "_joined", None)
    monkeypatch.setenv("PMI_RANK", "0")
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ResourceError, match="started as 2 processes: .* POSIX"):
        launch.join()


def test_output_is_utf_8_with_plain_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows redirects in the code page of the console, with a carriage return in each line end."""
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="cp1252", newline="\r\n"))
    main(["guide", "sampling"])
    sys.stdout.flush()
    page = (Path(files.__file__).parent / "guide" / "sampling.md").read_bytes()
    assert out.getvalue() == page


class Sysctl:
    """macOS' answer to a question about its processors; None: it does not know the name."""

    def __init__(self, answer: int | None) -> None:
        self.answer = answer

    def sysctlbyname(self, name: bytes, value: Any, size: Any, new: None, new_size: int) -> int:
        assert (name, new, new_size) == (b"hw.perflevel0.logicalcpu", None, 0)
        if self.answer is None:
            return -1
        value._obj.value = self.answer
        return 0


@pytest.mark.parametrize(("answer", "threads"), [(4, 4), (None, 8), (0, 8), (8, 8)])
def test_threads_are_not_put_on_efficiency_cores(answer: int | None, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "processors", lambda: set(range(8)))
    monkeypatch.setattr(system.sys, "platform", "darwin")
    monkeypatch.setattr(system, "_c_library", lambda: Sysctl(answer))
    assert system.thread_count() == threads
    assert system.thread_count(6) == 6, "as asked"
    assert system.thread_count(sharers=2) == threads // 2


def test_free_memory_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kernel32:
        answers = True

        def GlobalMemoryStatusEx(self, status: Any) -> bool:  # noqa: N802
            assert status._obj[0] == 64, "the size of the structure"
            status._obj[1], status._obj[2] = 16 << 30, 3 << 30
            return self.answers

    monkeypatch.setattr(system, "POSIX", False)
    monkeypatch.setattr(system, "_kernel32", Kernel32)
    assert system.free_memory() == 3 << 30
    monkeypatch.setattr(Kernel32, "answers", False)
    assert system.free_memory() == math.inf


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    read = Path.read_text

    def refuse(path: Path, *more: Any, **named: Any) -> str:
        if path.parts[:2] == ("/", "proc"):
            raise FileNotFoundError(2, "No such file or directory")
        return read(path, *more, **named)

    monkeypatch.setattr(Path, "read_text", refuse)
    yield


@pytest.mark.usefixtures("without_proc")
def test_memory_where_there_is_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the machine has is the bound then."""
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}
    monkeypatch.setattr(system.os, "sysconf", sizes.__getitem__)
    assert system.free_memory() == 1 << 32
    with pytest.raises(ResourceError, match="5.0 GiB of memory, this machine has 4.0 free"):
        system.require_memory(5 << 30)

    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(system.os, "sysconf", unknown)
    assert system.free_memory() == math.inf


def test_a_device_is_recognised_without_flags_that_windows_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("O_NOCTTY", "O_NONBLOCK"):
        monkeypatch.delattr(sources.os, name)
    assert sources.read_small(os.devnull) == b""
