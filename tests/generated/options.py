"""The reference page: every option of every command, from click's declarations."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from charlm.cli import COMMANDS, group

INTRODUCTION = """# Every option of every command

This page is generated from the commands by `make generated`.

An option can be given on the command line, as the environment variable named with it, or in the command's
table of a TOML file (`--config FILE`), under its name without dashes. The command line wins over the
environment, and the environment wins over the file. RUN is a run directory or a checkpoint; where it is left
out it is `$CHARLM_RUN`, or else the newest run in `runs/`.
"""


def reference() -> str:
    """Return the page."""
    context = click.Context(group, info_name="charlm", **group.context_settings)  # click keeps its names of --help
    parts = [INTRODUCTION]
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        parts.extend(_command(command, click.Context(command, info_name=name, parent=context)))
    return "\n".join(parts)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield a command's parts: usage, help, options by section."""
    yield f"## {context.command_path}\n"
    yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}\n"
    yield _help(command.help or "")
    for title, options in _sections(command).items():
        yield f"### {context.command_path}: {title}\n"
        yield "".join(map(describe, options))


def _help(text: str) -> str:
    """Return a command's help as Markdown. What click must not wrap becomes an indented block."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        if lines[0] != "\b":
            parts.append(paragraph)
            continue
        title, examples = ([lines[1]], lines[2:]) if lines[1].endswith(":") else ([], lines[1:])
        parts += [*title, "\n".join(f"    {line.strip()}" for line in examples)]
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command) -> dict[str, list[click.Option]]:
    """Return a command's options under the titles of its --help, those without a title last."""
    sections: dict[str, list[click.Option]] = {}
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            sections.setdefault(getattr(option, "section", "Options"), []).append(option)
    sections["Options"] = sections.pop("Options", [])
    return sections


def describe(option: click.Option) -> str:
    """Return an option as an item of a list: names, help, then default, bounds and variables."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    facts = [
        *([f"Default: {default(option)}."] if default(option) else []),
        *([f"Bounds: {bounds(option.type)}."] if bounds(option.type) else []),
        f"Environment: {', '.join(f'`{name}`' for name in _variables(option))}.",
    ]
    shown = f"{names} {value(option)}".rstrip()
    return item(f"- `{shown}`: {option.help}") + item(f"  {' '.join(facts)}")


def item(text: str) -> str:
    """Return a line of a list, wrapped for a terminal."""
    return textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False) + "\n"


def value(option: click.Option) -> str:
    """Return what stands for the option's value; nothing for a flag."""
    if option.is_flag:
        return ""
    if option.metavar:
        return option.metavar
    return "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else option.type.name.upper()


def default(option: click.Option) -> str:
    """Return the default that --help shows in brackets."""
    if isinstance(option.show_default, str):
        return option.show_default
    return str(option.default) if option.show_default and not option.is_flag else ""


def bounds(kind: Any) -> str:
    """Return the range of a numeric type that has one."""
    low, high = getattr(kind, "low", None), getattr(kind, "high", None)
    if low is None or high is None:
        return ""
    excluded = " and ".join(map(str, getattr(kind, "excluded", ())))
    return f"{low:,} to {high:,}" + (f", {excluded} excluded" if excluded else "")


def _variables(option: click.Option) -> list[str]:
    return [option.envvar] if isinstance(option.envvar, str) else [*(option.envvar or ())]
