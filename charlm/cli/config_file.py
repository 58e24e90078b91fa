"""Options from a TOML file (--config)."""

import tomllib
from typing import Any

import click

from ..corpus.sources import read_small
from ..errors import CorpusError, perhaps
from .declared import long_names


def read_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Take the command's table in the file as defaults of its options. Raises click.UsageError."""
    if value is None:
        return
    if value == "":
        raise click.UsageError("--config is empty")
    table = _tables(value, ctx.command.name or "").get(ctx.command.name or "", {})
    own = [p for p in ctx.command.params if isinstance(p, click.Option) and p is not parameter]
    by_option = {name: option for option in own for name in long_names(option)}
    where = f"--config {value}: [{ctx.command.name}]"
    defaults: dict[str, Any] = {}
    for key, given in table.items():
        known = by_option.get(key.replace("_", "-"))
        if known is None:
            raise click.UsageError(f"{where} has no option {key!r}{perhaps(key, by_option)}")
        expected = _mismatch(known, given)
        if expected:
            shown = str(given).lower() if isinstance(given, bool) else repr(given)
            raise click.UsageError(f"{where} {key} should be {expected}, not {shown}")
        defaults[known.name or ""] = given
    ctx.default_map = {**defaults, **(ctx.default_map or {})}


def _tables(value: str, command: str) -> dict[str, dict[str, Any]]:
    """Return the tables of a file by command. command: the one that runs, for messages. Raises click.UsageError."""
    try:
        tables = tomllib.loads(read_small(value).decode("utf-8"))
    except CorpusError as error:
        raise click.UsageError(f"--config {error}") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"--config {value}: not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--config {value}: not TOML: {error}") from None
    from . import COMMANDS

    for name, table in tables.items():
        if not isinstance(table, dict):
            raise click.UsageError(f"--config {value}: {name} stands outside a table: put it below [{command}]")
        if name not in COMMANDS:
            raise click.UsageError(f"--config {value}: [{name}] is not the table of a command{perhaps(name, COMMANDS)}")
    return tables


def _mismatch(option: click.Option, given: Any) -> str:
    """Return the kind of value that an option takes if the given value is of another kind; else an empty text."""
    if option.is_flag:
        return "" if isinstance(given, bool) else "true or false"
    kind = getattr(option.type, "name", "")
    if kind == "integer":
        return "" if isinstance(given, int) and not isinstance(given, bool) else "a whole number"
    if kind == "float":
        return "" if isinstance(given, int | float) and not isinstance(given, bool) else "a number"
    return "" if isinstance(given, str | int | float) and not isinstance(given, bool) else "a text"
