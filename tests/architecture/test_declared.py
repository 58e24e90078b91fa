"""A setting is declared once. Options, help, environment, TOML keys, keywords and checks are made from the declaration."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from charlm.cli import COMMANDS, group
from charlm.cli.command import Command
from charlm.cli.declared import DeclaredOption
from charlm.config.declare import Declared, setting
from charlm.errors import ConfigurationError
from tests.generated.keywords import typed_dict
from tests.generated.options import describe

from ..cli.conftest import Result, run  # noqa: F401  a fixture

Run = Callable[..., Result]


@dataclass(frozen=True)
class Water(Declared, group="Water"):
    """A part of another class."""

    degrees: float = setting(96.0, bounds=(0, 100), excluded=(0,), unit="C", help="Temperature of the water.")


@dataclass(frozen=True)
class Tea(Declared, group="Leaves"):
    """Settings of a command that only this test has."""

    water: Water = Water()
    leaf: str = setting("black", choices=("black", "green"), help="Kind of leaf.")
    minutes: int = setting(3, bounds=(1, 1_000), derived=True, default_text="3, or 2 for green", help="Time to draw.")
    spoons: int = setting(2, spelled=("-s", "--spoons", "--heaps"), bounds=(1, 9), help="Spoons of leaves.")
    milk: bool = setting(False, help="Add milk.")
    label: str | None = setting(None, spelled=("--name",), group="The cup", unit="TEXT", help="Name on the cup.")


@click.command("tea", cls=Command, settings=(Tea,))
def tea(**options: Any) -> None:
    """Print what was ordered."""
    click.echo(json.dumps(options))


@pytest.fixture
def brewing(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("charlm.cli.tea_command")
    module.command = tea  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "tea", "Make tea.")


DEFAULTS = {"degrees": 96.0, "leaf": "black", "minutes": None, "spoons": 2, "milk": False, "label": None}


@pytest.mark.usefixtures("brewing")
class TestADeclaredSetting:
    """One declaration is enough for all places."""

    def ordered(self, run: Run, *arguments: object) -> dict[str, Any]:  # noqa: F811
        result = run("tea", *arguments)
        assert result.code == 0, result.err
        found: dict[str, Any] = json.loads(result.out)
        return found

    def test_is_an_option_with_its_default(self, run: Run) -> None:  # noqa: F811
        assert self.ordered(run) == DEFAULTS
        given = self.ordered(run, "--degrees", 80, "--leaf", "green", "--heaps", 3, "--milk", "--name", "Ann")
        assert given == {"degrees": 80.0, "leaf": "green", "minutes": None, "spoons": 3, "milk": True, "label": "Ann"}
        assert self.ordered(run, "-s", 4)["spoons"] == 4

    def test_stands_in_help_in_its_section(self, run: Run) -> None:  # noqa: F811
        sections = dict(part.split(":\n", 1) for part in run("tea", "--help").out.split("\n\n") if ":\n" in part)
        words = {title: " ".join(text.split()) for title, text in sections.items()}
        assert words["Water"] == "--degrees C Temperature of the water. [default: 96]"
        assert words["Leaves"] == (
            "--leaf [black|green] Kind of leaf. [default: black] "
            "--minutes N Time to draw. [default: 3, or 2 for green] "
            "-s, --spoons, --heaps N Spoons of leaves. [default: 2] --milk Add milk."
        )
        assert words["The cup"] == "--name TEXT Name on the cup."

    def test_is_an_environment_variable_and_a_key_of_toml_files(
        self,
        run: Run,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        Path("tea.toml").write_text('[tea]\nminutes = 5\nheaps = 7\nlabel = "Ann"\nmilk = true\n')
        filed = {"minutes": 5, "spoons": 7, "label": "Ann", "milk": True}
        assert self.ordered(run, "--config", "tea.toml") == {**DEFAULTS, **filed}
        monkeypatch.setenv("CHARLM_TEA_MINUTES", "6")
        monkeypatch.setenv("CHARLM_TEA_NAME", "Bob")
        assert self.ordered(run, "--config", "tea.toml") == {**DEFAULTS, **filed, "minutes": 6, "label": "Bob"}

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("degrees", 0, "--degrees 0.0: must be between 0 and 100, 0 excluded"),
            ("minutes", 2000, "--minutes 2000: must be between 1 and 1,000"),
            ("spoons", 0, "--spoons 0: must be between 1 and 9"),
        ],
    )
    def test_has_bounds_everywhere(self, run: Run, name: str, value: float, message: str) -> None:  # noqa: F811
        result = run("tea", f"--{name}", value)
        assert (result.code, result.err) == (2, f"Error: {message}\n")
        with pytest.raises(ConfigurationError, match=message.split(": ")[1]):
            Tea.from_settings({name: value})

    def test_has_facts_for_the_reference(self) -> None:
        options = {option.name: option for option in tea.params if isinstance(option, DeclaredOption)}
        degrees, leaf = options["degrees"], options["leaf"]
        assert (degrees.section, degrees.help, degrees.show_default) == ("Water", "Temperature of the water.", "96")
        assert (degrees.type.low, degrees.type.high, degrees.type.excluded) == (0, 100, (0,))  # type: ignore[attr-defined]
        assert (degrees.metavar, degrees.envvar) == ("C", ["CHARLM_TEA_DEGREES"])
        assert tuple(leaf.type.choices) == ("black", "green")  # type: ignore[attr-defined]
        assert describe(degrees) == (
            "- `--degrees C`: Temperature of the water.\n"
            "  Default: 96. Bounds: 0 to 100, 0 excluded. Environment: `CHARLM_TEA_DEGREES`.\n"
        )
        assert options["label"].envvar == ["CHARLM_TEA_NAME", "CHARLM_TEA_LABEL"]
        assert [options[name].metavar for name in ("spoons", "leaf", "milk")] == ["N", None, None]


def test_keywords_have_names_types_help_and_defaults() -> None:
    assert typed_dict("Order", "An order.", Tea.declared()).splitlines() == [
        "class Order(TypedDict, total=False):",
        '    """An order."""',
        "",
        "    # Temperature of the water. Default: 96.",
        "    degrees: float",
        "    # Kind of leaf. Default: black.",
        "    leaf: str",
        "    # Time to draw. Default: 3, or 2 for green.",
        "    minutes: int | None",
        "    # Spoons of leaves. Default: 2.",
        "    spoons: int",
        "    # Add milk.",
        "    milk: bool",
        "    # Name on the cup.",
        "    label: str | None",
    ]


def test_settings_make_an_object_and_come_back_from_it() -> None:
    order = Tea.from_settings({"degrees": 70.0, "spoons": 4, "minutes": None, "label": "Ann", "other": 1})
    assert order == Tea(Water(70.0), spoons=4, label="Ann")
    assert order.minutes == 3
    assert Tea.from_settings(order.to_settings()) == order


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"leaf": "oak"}, "--leaf oak: choose from black, green"),
        ({"leaf": ["black"]}, "--leaf .*: choose from"),
        ({"milk": 1}, "--milk 1: must be true or false"),
        ({"label": 5}, "--name 5: must be a text"),
        ({"spoons": 2.5}, "--spoons 2.5: must be a whole number between 1 and 9"),
        ({"spoons": None}, "--spoons None: must be between 1 and 9"),
    ],
)
def test_values_of_another_kind_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Tea.from_settings(given)


def test_every_option_with_a_default_or_bounds_is_declared() -> None:
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for option in command.params:
            if isinstance(option, click.Option) and not isinstance(option, DeclaredOption):
                assert option.is_flag or option.name == "config", f"charlm {name} --{option.name}: declare it with `setting`"
            elif isinstance(option, DeclaredOption):
                assert option.help, f"charlm {name} --{option.name}: describe it"
                assert option.help.endswith("."), option.help
