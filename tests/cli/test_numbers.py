"""Every number has bounds, and one form of words says what they are."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from charlm.cli import COMMANDS, group

from .conftest import Result

Run = Callable[..., Result]

# What an option needs beside it to be looked at.
BESIDE = {
    "mean-length": ("--truncation", "artbp"),
    "tail": ("--truncation", "artbp"),
    "max-length": ("--truncation", "artbp"),
    "bias-tolerance": ("--truncation", "adaptive"),
    "max-k2": ("--truncation", "adaptive"),
    "momentum": ("--optimizer", "sgd"),
}
OUTSIDE = {"integer": ("-1", f"{10**20}", f"{-(10**20)}"), "float": ("-1e9", "1e308", "inf", "-inf", "nan")}


def numbers() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command that takes a number."""
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag and option.type.name in OUTSIDE:
                yield name, option


def test_every_number_is_among_them() -> None:
    found = {(command, option.name) for command, option in numbers()}
    assert len(found) > 50
    assert {("train", "hidden"), ("sample", "top_k"), ("eval", "fail_above"), ("lags", "seed"), ("bench", "rounds")} <= found


@pytest.mark.parametrize(("command", "option"), [*numbers()], ids=lambda each: getattr(each, "name", each))
def test_what_is_outside_is_refused_in_the_same_words(run: Run, corpus: Path, command: str, option: click.Option) -> None:
    name = max(option.opts, key=len)
    words = {"train": ("corpus.txt",), "eval": ("nowhere", "corpus.txt")}.get(command, ())
    beside: tuple[str, ...] = BESIDE.get(name[2:], ()) if command == "train" else ()
    if command == "eval" and name in ("--lr", "--decay", "--k1", "--k2"):
        beside = ("--dynamic",)
    for value in OUTSIDE[option.type.name]:
        result = run(command, *words, *beside, f"{name}={value}")
        assert (result.code, result.out) == (2, ""), result.err
        form = rf"Error: {name} \S+: must be between -?[\d,]+ and [\d,]+(, \d( and \d)? excluded)?\n"
        assert re.fullmatch(form, result.err), result.err
    assert not Path("runs").exists()


def test_what_is_no_number_at_all(run: Run, corpus: Path) -> None:
    for value in ("many", "1e3", "16.7", "0x10"):
        result = run("train", "corpus.txt", "--hidden", value)
        assert (result.code, result.out) == (2, "")
        assert f"'{value}' is not a valid integer" in result.err
    for value in ("soon", "1e99s", "-5", "nans"):
        result = run("train", "corpus.txt", f"--save-every={value}")
        assert (result.code, result.out) == (2, "")
        assert "--save-every" in result.err


def test_a_network_that_no_memory_holds(run: Run, corpus: Path) -> None:
    """Refused by counting, before anything of that size is made."""
    result = run("train", "corpus.txt", "--hidden", 65_536, "--layers", 1_000, "-q")
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(r"Error: training would take [\d,.]+ GiB of memory, this machine has .*\n", result.err)
    assert not Path("runs").exists()
