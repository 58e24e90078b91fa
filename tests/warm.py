"""charlm without its start-up time: a server that has loaded everything forks a process for each command.

Starting charlm takes a second of processor time, most of it for Numba and compiled kernels, and the tests start it hundreds
of times. `warm_charlm` makes a directory for $PATH with two programs, which pass their arguments, environment, directory and
standard streams to the server:

- `charlm` is charlm, also on ranks of MPI.
- `python` runs Python code, by -c, -m or from standard input (-), in a process that has loaded charlm. The code must not
  change charlm before it is imported.

Signals are not passed on. What a test says about signals, limits, start-up or compilers needs the real programs.
"""

import array
import contextlib
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import charlm.cli
from charlm.distributed import launch

from .mpiexec import MPIEXEC
from .waiting import HANGS

ROOT = Path(__file__).parent.parent
PROGRAMS = ("charlm", "python")
# The client runs without site and tests, to start in a few milliseconds.
CLIENT = """#!{python} -IS
import array, json, os, socket, sys

def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True

numbers = [number for number in (0, 1, 2) if is_open(number)]
request = [{program!r}, sys.argv[1:], os.getcwd(), dict(os.environ), numbers]
request = json.dumps(request).encode("utf-8", "surrogateescape")
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers).tobytes())] if numbers else []
    server.sendmsg([len(request).to_bytes(8, "big")], files)
    server.sendall(request)
    code = server.recv(1)
sys.exit(code[0] if code else "the warm {program} ended without an exit code")
"""
# Commands that together load every kernel that the tests use.
TEXT = "".join(f"It was a day like any other, number {i}.\n" for i in range(100))
LOADING = (
    *(("train", "text", "--hidden", "16", "--updates", "2", "--cell", cell, "--force") for cell in ("gru", "lstm")),
    ("train", "text", "--hidden", "16", "--once", "--run", "runs/once"),
    ("sample", "runs/text", "--length", "5"),
    ("eval", "runs/text", "text", "--dynamic"),
    ("eval", "runs/text", "text", "--by", "line"),
)


@contextlib.contextmanager
def warm_charlm(folder: Path) -> Iterator[Path]:
    """Run a server while the context lasts. Yield a directory that holds its programs.

    folder: an empty directory, whose path must be short enough for a socket.
    """
    address, programs = folder / "socket", folder / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        client = CLIENT.format(python=sys.executable, address=str(address), program=name)
        (programs / name).write_text(client, encoding="utf-8")
        (programs / name).chmod(0o755)
    command = [sys.executable, "-m", "tests.warm", str(address)]
    with subprocess.Popen(command, cwd=folder, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.read(1) == b"r", "the warm charlm did not start"
            yield programs
        finally:
            server.kill()


def _environment() -> dict[str, str]:
    """Return the server's environment. Ranks get the path of MPI's library from mpiexec, which is too late for a fork."""
    paths = [str(Path(MPIEXEC).resolve().parent.parent / "lib")] if MPIEXEC else []
    if "LD_LIBRARY_PATH" in os.environ:
        paths.append(os.environ["LD_LIBRARY_PATH"])
    return {**os.environ, "PYTHONPATH": str(ROOT), "LD_LIBRARY_PATH": os.pathsep.join(paths)}


def main(address: str) -> None:
    """Load everything, then answer requests until the tests are over."""
    lifeline, ready, null = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDWR)
    _take_streams({0: null, 1: null, 2: null})
    os.close(null)
    Path("text").write_text(TEXT, encoding="utf-8")
    for words in LOADING:
        assert _run("charlm", [*words, "--threads", "1", "--quiet"]) == 0, words
    charlm.cli._WAIT_SECONDS = 1e6  # the first rank may take any time to report an error
    gc.collect()  # ends the threads of networks that are gone
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(HANGS)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(ready, b"ready")
        os.close(ready)
        while lifeline not in select.select([listener.fileno(), lifeline], [], [])[0]:  # its end is the tests' end
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(connection: socket.socket) -> NoReturn:
    """Run a client's program as the client would. Send the exit code."""
    size, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    files = array.array("i", ancillary[0][2] if ancillary else b"")
    with connection.makefile("rb") as file:
        program, words, directory, environment, numbers = json.loads(file.read(int.from_bytes(size, "big")))
    _end_with(connection)
    _take_streams(dict(zip(numbers, files, strict=True)))
    for file_number in files:
        os.close(file_number)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    code = _run(program, words)
    if "mpi4py.MPI" in sys.modules:
        sys.modules["mpi4py.MPI"].Finalize()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):
            stream.flush()
    for number in (0, 1, 2):  # before the client ends: whoever reads a pipe waits for its last writer
        with contextlib.suppress(OSError):
            os.close(number)
    connection.sendall(bytes([code]))
    os._exit(0)


def _end_with(connection: socket.socket) -> None:
    """Let the kernel kill this process when the client is gone, as mpiexec kills the ranks of a job that failed."""
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)


def _take_streams(files: dict[int, int]) -> None:
    """Make open files the standard streams. files: by the stream's number; a stream without a file is closed."""
    for number in (0, 1, 2):
        if number in files:
            os.dup2(files[number], number)
        else:
            os.close(number)
    sys.stdin = open(0, encoding="utf-8", closefd=False) if 0 in files else None  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False) if 1 in files else None  # noqa: SIM115
    sys.stderr = (
        open(2, "w", encoding="utf-8", closefd=False, buffering=1) if 2 in files else None  # noqa: SIM115
    )


def _run(program: str, words: list[str]) -> int:
    """Run a program in this process. Return its exit code."""
    launch._joined = None  # the server's own commands ran on one rank
    try:
        if program == "charlm":
            charlm.cli.main(words)
        else:
            _run_python(*words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _run_python(option: str, *words: str) -> None:
    """Run Python code as `python -c CODE`, `python -m MODULE` or `python - < FILE` would."""
    code, sys.argv = (sys.stdin.read(), [option, *words]) if option == "-" else (words[0], [option, *words[1:]])
    if option == "-m":
        runpy.run_module(code, run_name="__main__")
    else:
        assert option in ("-c", "-"), option
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main(sys.argv[1])
