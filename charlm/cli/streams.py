"""The standard streams as scripts leave them: closed from the start, or closed by whoever read them."""

import os
import sys

import click

_closed: set[int] = set()


def repair() -> None:
    """Opens the null device where a standard stream is closed, so that no file of ours takes its number.

    Python has None for a stream that was closed when it started.
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
    """Returns whether standard output was closed when charlm was started."""
    return 1 in _closed


def say(message: str) -> None:
    """Prints a line on stderr. Where nobody reads it any more, nothing is said from then on: results are what matters."""
    try:
        click.echo(message, err=True)
    except OSError:
        _silence(2)


def abandon_output() -> None:
    """Sends what is left for stdout to the null device: nobody reads it, and Python would complain at exit."""
    _silence(1)


def _silence(number: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
