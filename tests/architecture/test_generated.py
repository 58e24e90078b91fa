"""Generated files are current, and the reference is complete."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import click
import pytest

from charlm.cli import COMMANDS, group
from tests.generated import FILES
from tests.generated.options import describe, reference
from tests.generated.schemas import json_type, record


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == FILES[path](), "run `make generated`"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_fact_of_every_option(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert command is not None
    section = reference().split(f"\n## charlm {name}\n")[1].split("\n## ")[0]
    words = " ".join(section.split())
    for option in command.params:
        if isinstance(option, click.Option):
            assert re.search(rf"`{re.escape(', '.join(option.opts))}[ `]", words), option.name
            assert option.help, f"{name} {option.name}: say in its help what it does"
            for fact in (" ".join(option.help.split()), *(f"`{variable}`" for variable in option.envvar or ())):
                assert fact in words


class Bounded(click.ParamType):
    """A number from 1 to 2,000, except 2,000."""

    name, low, high, excluded = "integer", 1, 2000, (2000,)


def test_an_option_is_described_whole() -> None:
    option = click.Option(["-p", "--pears"], type=Bounded(), default=3, show_default=True, help="Pears.", envvar=["PEARS"])
    assert describe(option) == (
        "- `-p, --pears INTEGER`: Pears.\n  Default: 3. Bounds: 1 to 2,000, 2000 excluded. Environment: `PEARS`.\n"
    )
    choice = click.Option(["--sort"], type=click.Choice(["a", "b"]), show_default="a, or b on Sundays", help="Sort.")
    assert describe(choice).startswith("- `--sort a|b`: Sort.\n  Default: a, or b on Sundays. ")


@dataclass
class Basket:
    """Fruit that was bought."""

    pears: int = field(metadata={"help": "Their number."})
    price: float | None
    discount: float | None = None


def test_a_record_is_described_whole() -> None:
    lines = [
        "### Basket",
        "",
        "Fruit that was bought.",
        "",
        "- `pears` (integer): Their number.",
        "- `price` (number or null)",
        "- `discount` (number, optional)",
    ]
    assert record(Basket) == "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (list[float], "array of number"),
        (list[float | None], "array of (number or null)"),
        (list[bool], "array of true or false"),
        (tuple[int, ...], "array of integer"),
        (dict[str, list[str]], "object of array of text"),
        (Literal["a", "b"] | None, '"a" or "b" or null'),
        (dict, "object"),
        (Any, "any value"),
        (Basket, "Basket"),
    ],
)
def test_types_are_named_as_readers_of_json_do(hint: Any, name: str) -> None:
    assert json_type(hint) == name
