"""What commands share: the class of all of them, options, and small services."""

import contextlib
import difflib
import json
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click


class Command(click.Command):
    """A command that can take its options from a TOML file, and shows them in sections."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.params.append(
            click.Option(
                ["--config"], type=click.Path(dir_okay=False), is_eager=True, expose_value=False, callback=_read_config,
                metavar="FILE", help="TOML file with options: a table for each command, such as [train].",
            )
        )  # fmt: skip

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Sections in the order in which they are declared; what belongs to none comes last."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                rows.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        rows["Options"] = rows.pop("Options")
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)


def section(title: str, *options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options under one title in --help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
            function.__click_params__[-1].section = title  # type: ignore[attr-defined]
        return function

    return decorate


def _read_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Takes the command's table of the file as defaults."""
    if value is None:
        return
    try:
        tables = tomllib.loads(Path(value).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"--config {value}: {reason}") from None
    from . import COMMANDS

    for name, table in tables.items():
        if name not in COMMANDS or not isinstance(table, dict):
            raise click.UsageError(f"--config {value}: [{name}] is no command's table{perhaps(name, [*COMMANDS])}")
    by_option = {option.lstrip("-"): p.name for p in ctx.command.params for option in p.opts if option.startswith("--")}
    defaults: dict[str, Any] = {}
    for key, given in tables.get(ctx.command.name or "", {}).items():
        known = by_option.get(key.replace("_", "-"))
        if known is None:
            near = perhaps(key, [*by_option])
            raise click.UsageError(f"--config {value}: [{ctx.command.name}] has no option {key!r}{near}")
        if not isinstance(given, str | int | float | bool):
            raise click.UsageError(f"--config {value}: [{ctx.command.name}] {key} should be a text, a number, true or false")
        defaults[known] = given
    ctx.default_map = {**defaults, **(ctx.default_map or {})}


def perhaps(word: str, known: list[str]) -> str:
    """What to say after a word that is not known, where a known one is near."""
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def complete_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """For shell completion: the runs in runs/, then any path."""
    from click.shell_completion import CompletionItem

    runs = [str(path.parent) for path in sorted(Path("runs").glob("*/last.npz"))]
    found = [CompletionItem(run) for run in runs if run.startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)


def run_and_texts(run: str | None, texts: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Which of the arguments [RUN] [TEXT...] are which: a RUN may be left out, and standard input or a text file is none."""
    if run is not None and (run == "-" or (Path(run).is_file() and not _looks_like_a_checkpoint(Path(run)))):
        return None, (run, *texts)
    return run, texts


def _looks_like_a_checkpoint(path: Path) -> bool:
    """By its name or how it begins, so that a damaged one is still called that."""
    with path.open("rb") as file:
        return path.suffix == ".npz" or file.read(2) == b"PK"


json_option = click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No notes or progress on stderr.")
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=None, help="Threads (default: the processors there are)."
)


def note(message: str, quiet: bool = False) -> None:
    """A line on stderr, unless quiet."""
    if not quiet:
        click.echo(message, err=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45.2 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def print_json(data: dict[str, Any]) -> None:
    """One JSON object on a line of stdout."""
    click.echo(json.dumps(data, ensure_ascii=False))


def require(package: str, extra: str, what: str) -> None:
    """Refuses what needs an optional package that is not installed, before any work is done for it."""
    import importlib.util

    from ..errors import ResourceError

    if importlib.util.find_spec(package) is None:
        raise ResourceError(f"{what} needs {package}: pip install 'charlm[{extra}]'")


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
    """Calls stop() on the first of Ctrl-C, SIGTERM and SIGUSR1, and collects the signal; a second one leaves at once."""
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        note("stopping after this update (once more: at once, with what was saved last)", quiet)
        stop()

    # SIGUSR1: Slurm's warning before the time is up, and what mpiexec passes on to ranks without killing them.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_terminal() -> bool:
    """Whether stderr is looked at by a person."""
    return sys.stderr.isatty()
