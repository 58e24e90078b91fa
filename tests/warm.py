"""charlm without its start-up time: a server that has loaded everything forks a process for each command.

Starting charlm takes a second of processor time, most of it for Numba and compiled kernels; the examples of the documents
start it fifty times. `warm_charlm` makes a directory for $PATH whose `charlm` passes its arguments, environment, directory
and standard streams to the server. Signals are not passed on, and ranks of MPI cannot be forked: they need the real one.
"""

import array
import contextlib
import gc
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from charlm.cli import main as charlm

from .waiting import HANGS

ROOT = Path(__file__).parent.parent
# The client runs without site and tests, to start in a few milliseconds.
CLIENT = """#!{python} -IS
import array, json, os, socket, sys
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode("utf-8", "surrogateescape")
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    streams = array.array("i", [0, 1, 2]).tobytes()
    server.sendmsg([len(request).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    server.sendall(request)
    code = server.recv(1)
sys.exit(code[0] if code else "the warm charlm ended without an exit code")
"""
# Commands that together load every kernel that the examples use.
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
    """Run a server while the context lasts. Yield a directory that holds its `charlm`.

    folder: an empty directory, whose path must be short enough for a socket.
    """
    address, programs = folder / "socket", folder / "bin"
    programs.mkdir()
    (programs / "charlm").write_text(CLIENT.format(python=sys.executable, address=str(address)), encoding="utf-8")
    (programs / "charlm").chmod(0o755)
    command = [sys.executable, "-m", "tests.warm", str(address)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.read(1) == b"r", "the warm charlm did not start"
            yield programs
        finally:
            server.kill()


def main(address: str) -> None:
    """Load everything, then answer requests until killed."""
    ready, null = os.dup(1), os.open(os.devnull, os.O_RDWR)
    _take_streams((null, null, null))
    Path("text").write_text(TEXT, encoding="utf-8")
    for words in LOADING:
        assert _run([*words, "--threads", "1", "--quiet"]) == 0, words
    gc.collect()  # ends the threads of networks that are gone
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(HANGS)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        os.write(ready, b"ready")
        os.close(ready)
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _answer(connection: socket.socket) -> NoReturn:
    """Run a client's command as the client would. Send the exit code."""
    size, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * 4))
    streams = array.array("i", ancillary[0][2])
    with connection.makefile("rb") as file:
        words, directory, environment = json.loads(file.read(int.from_bytes(size, "big")))
    _take_streams(tuple(streams))
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    code = _run(words)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    for stream in (0, 1, 2):  # before the client ends: whoever reads a pipe waits for its last writer
        os.close(stream)
    connection.sendall(bytes([code]))
    os._exit(0)


def _take_streams(streams: tuple[int, ...]) -> None:
    """Make three open files the standard streams."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in set(streams):
        os.close(stream)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115


def _run(words: list[str]) -> int:
    """Run charlm in this process. Return its exit code."""
    try:
        charlm(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


if __name__ == "__main__":
    main(sys.argv[1])
