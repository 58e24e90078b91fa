"""Runs of charlm that are killed, or that meet a fault, and what is left of them.

A run is a forked process, so that it starts in a moment; what it does is what the command does. Faults are injected into
the calls that a checkpoint is written with, by their number.
"""

import errno
import mmap
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import charlm.files
from charlm.cli import main
from charlm.storage.checkpoint import load
from charlm.training.trainer import Trainer

from ..cli.test_resume import contents
from ..compiled import compile_kernels

KILL = "kill"


@dataclass
class Fault:
    """Something that goes wrong at the number-th step (from 0) of all that are made to write files.

    kind: KILL, or the number of an OSError. times: how many steps in a row it happens to.
    """

    number: int
    kind: str | int = KILL
    times: int = 1


class _Steps:
    """Counts the steps, and lets the fault happen."""

    def __init__(self, fault: Fault | None, count: "Shared") -> None:
        self._fault, self._count = fault, count

    def step(self, half: Callable[[], object] = lambda: None) -> None:
        """One step; half: does half of it before a kill."""
        n = self._count.value
        self._count.value = n + 1
        if self._fault and self._fault.number <= n < self._fault.number + self._fault.times:
            half()
            if self._fault.kind == KILL:
                os.kill(os.getpid(), signal.SIGKILL)
            assert isinstance(self._fault.kind, int)
            raise OSError(self._fault.kind, os.strerror(self._fault.kind))


class _File:
    """A file whose writes are steps."""

    def __init__(self, file: Any, steps: _Steps) -> None:
        self._file, self._steps = file, steps

    def write(self, data: Any) -> int:
        def half() -> None:
            self._file.write(bytes(data)[: len(bytes(data)) // 2])
            self._file.flush()

        self._steps.step(half)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_File":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def inject(fault: Fault | None, count: "Shared") -> None:
    """Puts the fault into this process.

    Steps are: opening a temporary file, each of its writes, fsync, rename, the directory's fsync.
    """
    steps, plain_open, fsync, replace = _Steps(fault, count), Path.open, os.fsync, os.replace

    def opened(path: Path, mode: str = "r", *arguments: Any, **more: Any) -> Any:
        if path.suffix != ".tmp" or mode != "wb":
            return plain_open(path, mode, *arguments, **more)
        steps.step()
        return _File(plain_open(path, mode, *arguments, **more), steps)

    class _Os:
        """os, with steps."""

        @staticmethod
        def fsync(handle: int) -> None:
            steps.step()
            fsync(handle)

        @staticmethod
        def replace(source: Path, target: Path) -> None:
            steps.step()
            replace(source, target)

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

    Path.open = opened  # type: ignore[method-assign, assignment]
    charlm.files.os = _Os()  # type: ignore[assignment]


class Shared:
    """A whole number that parent and child see."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int(struct.unpack("q", self._memory[:8])[0])

    @value.setter
    def value(self, number: int) -> None:
        self._memory[:8] = struct.pack("q", number)


@dataclass
class Ended:
    """How a run ended. code: exit code, negative for a signal. updates: it had made; steps: of writing."""

    code: int
    updates: int
    steps: int
    seconds: float
    err: str


def alive(pid: int) -> bool:
    """Whether a child is still running; it is left to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def charlm_in_child(
    arguments: tuple[object, ...],
    fault: Fault | None = None,
    kill_after: float = 0.0,
    meanwhile: Callable[[int], None] = lambda pid: None,
) -> Ended:
    """Runs `charlm ARGUMENTS...`; kill_after: seconds (0: never). meanwhile: is called with the process's number."""
    updates, steps, errors = Shared(), Shared(), Path("errors.txt")
    compile_kernels()  # each child would load them again
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _be_charlm(arguments, fault, updates, steps, errors)
    meanwhile(pid)
    ended, status = 0, 0
    while kill_after and not ended:
        ended, status = os.waitpid(pid, os.WNOHANG)
        left = kill_after - (time.monotonic() - begun)
        if not ended and left <= 0:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(min(0.005, max(0.0, left)))
    if not ended:
        status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, updates.value, steps.value, time.monotonic() - begun, errors.read_text(errors="replace"))


def _be_charlm(arguments: tuple[object, ...], fault: Fault | None, updates: Shared, steps: Shared, errors: Path) -> None:
    """The child's life."""
    code = 70
    try:
        out = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        err = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # pytest's lead elsewhere
        account = Trainer._account

        def watched(trainer: Trainer, *made: Any) -> Any:
            yield from account(trainer, *made)
            updates.value = trainer.run.state.updates

        Trainer._account = watched  # type: ignore[method-assign, assignment]
        inject(fault, steps)
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def assert_same(run: str, undisturbed: str) -> None:
    """Every array of both checkpoints, their progress but for clocks, and every line of metrics.jsonl are equal."""
    one, other = contents(undisturbed), contents(run)
    assert one.keys() == other.keys()
    for name, array in one.items():
        assert np.array_equal(array, other[name], equal_nan=array.dtype.kind == "f"), name
    assert not list(Path(run).glob(".*")), "nothing is left lying about"


def assert_resumable(run: str, reached: int, interval: int) -> None:
    """There is a loadable checkpoint, and it is at most one save interval old."""
    if not (Path(run) / "last.npz").exists():
        assert reached == 0
        return
    saved = load(Path(run) / "last.npz").progress["updates"]
    assert saved >= reached - interval, f"{reached} updates made, {saved} saved"


ENOSPC, EROFS, EIO = errno.ENOSPC, errno.EROFS, errno.EIO
