"""Standard streams that are closed, either from the start or by their reader."""

import os
import sys

import click

_closed: set[int] = set()


def repair() -> None:
    """Open the null device in place of each closed standard stream, so that no other file takes its descriptor.

    Python sets sys.stdout or sys.stderr to None if the stream was closed when it started.
    """
    _closed.clear()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            _closed.add(os.open(os.devnull, os.O_RDWR))  # the lowest free number, which is this one
    if 1 in _closed or sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  for the process's life
    if 2 in _closed or sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


def output_is_closed() -> bool:
    """Return True if standard output was closed when charlm was started."""
    return 1 in _closed


def say(message: str) -> None:
    """Print a line on stderr. If its reader is gone, discard this message and all later ones; the work goes on."""
    try:
        click.echo(message, err=True)
    except OSError:
        _silence(2)


def abandon_output() -> None:
    """Send the rest of stdout to the null device. Its reader is gone, and Python would report an error at exit."""
    _silence(1)


def _silence(number: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
