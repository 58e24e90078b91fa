"""What commands share: the class of all of them, options, and small services."""

import contextlib
import difflib
import functools
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ..config.checks import between, whole
from ..config.declare import declarations
from ..corpus.sources import read_small
from ..errors import CharlmError, ConfigurationError, CorpusError
from ..registry import Registry
from .results import to_json
from .streams import output_is_closed, say

_MAY_BE_EMPTY = {"prime"}  # options whose text may be of no characters


class Command(click.Command):
    """A command that can take its options from a TOML file and the environment, and shows them in sections.

    makes_files: whether its result is files, so that it is of use without standard output.

    params are computed at each use: a definition that is registered later brings its options along.
    """

    def __init__(self, *arguments: Any, makes_files: bool = False, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._makes_files = makes_files
        self._params.append(
            click.Option(
                ["--config"],
                type=click.Path(dir_okay=False),
                is_eager=True,
                expose_value=False,
                callback=_read_config,
                metavar="FILE",
                help="TOML file with options: a table for each command, such as [train].",
            )
        )

    @property
    def params(self) -> list[click.Parameter]:
        """The parameters: one list, which click may change, brought up to date with what is registered."""
        own = [each for each in self._params if not isinstance(each, Declared)]
        found: dict[str, click.Parameter] = {}
        for each in own:
            for parameter in (each, *(each.brought() if isinstance(each, Registered) else ())):
                if isinstance(parameter, click.Option):
                    parameter.envvar = [variable(self.name or "", name) for name in long_names(parameter)]
                found.setdefault(parameter.name or "", parameter)
        self._params[:] = found.values()
        return self._params

    @params.setter
    def params(self, given: list[click.Parameter]) -> None:
        """Take the command's own parameters."""
        self._params = given

    def variables(self) -> list[str]:
        """Returns the names of environment variables that its options are taken from."""
        return [name for option in self.params if isinstance(option, click.Option) for name in option.envvar or ()]

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command, unless it could not print its result or an option's text is empty."""
        if output_is_closed() and not self._makes_files:
            raise CharlmError(f"standard output is closed, where charlm {self.name} prints its result: send it somewhere")
        for parameter in self.params:
            name, value = parameter.name or "", ctx.params.get(parameter.name or "")
            given = ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
            if given and name not in _MAY_BE_EMPTY and (value == "" or (isinstance(value, tuple) and "" in value)):
                plain = parameter.human_readable_name.strip("[].")
                shown = f"--{long_names(parameter)[0]}" if isinstance(parameter, click.Option) else plain
                raise ConfigurationError(f"{shown} is empty")
        return super().invoke(ctx)

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


class Names(click.Choice):
    """A choice from names that may become more while the program runs."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names = names
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self._names())

    @choices.setter
    def choices(self, ignored: Any) -> None:
        """Ignore what click's constructor sets."""


class Declared(click.Option):
    """An option made from a declared setting."""


class Registered(click.Option):
    """An option that chooses from a registry, and brings the options of what can be chosen along."""

    def __init__(self, *arguments: Any, brings: Callable[[], Iterable[type]] = tuple, **more: Any) -> None:
        """brings: returns dataclasses of settings."""
        super().__init__(*arguments, **more)
        self._brings = brings

    def brought(self) -> Iterator[Declared]:
        """Yield an option for each declared setting."""
        for settings in self._brings():
            yield from declared_options(settings)


def registered_option(name: str, registry: Registry, **more: Any) -> Callable[..., Any]:
    """Declare an option that chooses from a registry."""
    return click.option(name, cls=Registered, type=Names(lambda: registry), show_default=True, **more)


@functools.cache
def declared_options(settings: type) -> tuple[Declared, ...]:
    """Return an option for each setting that a dataclass declares. Its default is None: settings know their defaults."""
    found = []
    for each in declarations(settings):
        option = Declared(
            [f"--{each.option}"],
            type=each.type,
            is_flag=each.type is bool,
            default=None,
            show_default=each.default_text,
            metavar=each.unit,
            help=each.help,
        )
        option.section = each.group or "Options"  # type: ignore[attr-defined]
        found.append(option)
    return tuple(found)


def section(title: str, *options: Callable[..., Any]) -> Callable[..., Any]:
    """Several options under one title in --help."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
            function.__click_params__[-1].section = title  # type: ignore[attr-defined]
        return function

    return decorate


def long_names(option: click.Option) -> list[str]:
    """Returns an option's long names without dashes, such as k1 of --k1, and the name of its parameter."""
    names = [name.removeprefix("--") for name in option.opts if name.startswith("--")]
    own = (option.name or "").replace("_", "-")
    return names if own in names or option.name == "as_json" else [*names, own]


def variable(command: str, option: str) -> str:
    """Returns the environment variable that an option is taken from."""
    return f"CHARLM_{command}_{option}".upper().replace("-", "_")


class Number(click.ParamType):
    """A number within bounds, with the same words for what is outside as all settings have."""

    def __init__(self, low: int, high: int, is_whole: bool = True, excluded: tuple[int, ...] = ()) -> None:
        self._low, self._high, self._whole, self._excluded = low, high, is_whole, excluded
        self.name = "integer" if is_whole else "float"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number. Raises ConfigurationError for one outside the bounds."""
        number = (click.INT if self._whole else click.FLOAT).convert(value, param, ctx)
        name = long_names(param)[0] if isinstance(param, click.Option) else "number"
        if self._whole:
            whole(name, number, self._low, self._high)
        else:
            between(name, number, self._low, self._high, self._excluded)
        return number


def _read_config(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """Takes the command's table of the file as defaults."""
    if value is None:
        return
    if value == "":
        raise click.UsageError("--config is empty")
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
            raise click.UsageError(f"--config {value}: {name} stands outside a table: put it below [{ctx.command.name}]")
        if name not in COMMANDS:
            raise click.UsageError(f"--config {value}: [{name}] is no command's table{perhaps(name, [*COMMANDS])}")
    own = [p for p in ctx.command.params if isinstance(p, click.Option) and p is not parameter]
    by_option = {name: option for option in own for name in long_names(option)}
    defaults: dict[str, Any] = {}
    for key, given in tables.get(ctx.command.name or "", {}).items():
        known = by_option.get(key.replace("_", "-"))
        if known is None:
            near = perhaps(key, [*by_option])
            raise click.UsageError(f"--config {value}: [{ctx.command.name}] has no option {key!r}{near}")
        expected = _mismatch(known, given)
        if expected:
            shown = str(given).lower() if isinstance(given, bool) else repr(given)
            raise click.UsageError(f"--config {value}: [{ctx.command.name}] {key} should be {expected}, not {shown}")
        defaults[known.name or ""] = given
    ctx.default_map = {**defaults, **(ctx.default_map or {})}


def _mismatch(option: click.Option, given: Any) -> str:
    """Returns what kind of value an option takes, if that which a file gives is of another; else nothing."""
    if option.is_flag:
        return "" if isinstance(given, bool) else "true or false"
    kind = getattr(option.type, "name", "")
    if kind == "integer":
        return "" if isinstance(given, int) and not isinstance(given, bool) else "a whole number"
    if kind == "float":
        return "" if isinstance(given, int | float) and not isinstance(given, bool) else "a number"
    return "" if isinstance(given, str | int | float) and not isinstance(given, bool) else "a text"


def perhaps(word: str, known: list[str]) -> str:
    """What to say after a word that is not known, where a known one is near."""
    near = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def complete_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """For shell completion: the runs in runs/, then any path."""
    from click.shell_completion import CompletionItem

    from ..storage.run_directory import runs

    found = [CompletionItem(str(run)) for run in sorted(runs()) if str(run).startswith(incomplete)]
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
    "--threads", type=Number(1, 4_096), default=None, help="Threads (default: the processors there are)."
)


def output_file(name: str, option: str, inputs: tuple[str, ...] = ()) -> Path:
    """Returns where a result is to be written, links followed.

    inputs: files that it may not take the place of. Raises ConfigurationError for what would be lost or cannot be made.
    """
    path = Path(name).resolve() if Path(name).is_symlink() else Path(name)
    if name == "-" or (path.exists() and not path.is_file()):
        raise ConfigurationError(f"{option} {name}: name a file: its place is taken when it is complete")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option} {name}: there is no directory {path.parent}")
    if any(each != "-" and Path(each).resolve() == path.resolve() for each in inputs):
        raise ConfigurationError(f"{option} {name}: is also what is read: name another file")
    return path


def note(message: str, quiet: bool = False) -> None:
    """A line on stderr, unless quiet."""
    if not quiet:
        say(message)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 45.2 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def print_json(result: Any) -> None:
    """Print a result on stdout as one line of JSON."""
    click.echo(to_json(result))


def require(package: str, extra: str, what: str) -> None:
    """Refuses what needs an optional package that is not installed, before any work is done for it."""
    import importlib.util

    from ..errors import ResourceError

    if importlib.util.find_spec(package) is None:
        raise ResourceError(f"{what} needs {package}: pip install 'charlm[{extra}]'")


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None], quiet: bool) -> Iterator[list[int]]:
    """Calls stop() on the first of Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP, and collects it; a second one leaves at once.

    SIGHUP stays ignored where it is, as under nohup.
    """
    received: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        note("stopping after this update (once more: at once, with what was saved last)", quiet)
        stop()

    # SIGUSR1: Slurm's warning before the time is up, and what mpiexec passes on to ranks without killing them.
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_terminal() -> bool:
    """Whether stderr is looked at by a person."""
    return sys.stderr.isatty()
