"""Options and small services that several commands share."""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

from ..errors import ConfigurationError

run_argument = click.argument("run", required=False, metavar="[RUN]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No notes or progress on stderr.")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Threads (default: the processors there are)."
)


def thread_count(asked: int | None) -> int:
    """The number of threads to use."""
    if asked:
        return asked
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def note(message: str, quiet: bool = False) -> None:
    """A line on stderr, unless quiet."""
    if not quiet:
        click.echo(message, err=True)


def print_json(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Turns settings that are not allowed into wrong usage (exit code 2)."""
    try:
        yield
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None


def announce_compilation(quiet: bool) -> None:
    """Has a note printed when a kernel is compiled, which happens once on a machine."""
    from ..kernels.jit import on_compile

    told: list[str] = []

    def tell(kernel: str) -> None:
        if not told:
            note("compiling kernels for this machine, once (5 to 20 seconds)", quiet)
        told.append(kernel)

    on_compile[:] = [tell]


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None], quiet: bool) -> Iterator[list[int]]:
    """Calls stop() on the first Ctrl-C or SIGTERM and collects the signal; a second one leaves at once."""
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        note("stopping after this update (once more: at once, with what was saved last)", quiet)
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_terminal() -> bool:
    """Whether stderr is looked at by a person."""
    return sys.stderr.isatty()
