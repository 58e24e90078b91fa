"""Options and small services that commands share."""

import sys
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigurationError
from .results import to_json
from .stdio import say


def complete_run(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
    """Return completions of RUN for the shell: the runs in runs/, or else any path."""
    from click.shell_completion import CompletionItem

    from ..storage.run_directory import runs

    found = [CompletionItem(str(run)) for run in sorted(runs()) if str(run).startswith(incomplete)]
    return found or [CompletionItem(incomplete, type="file")]


run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=complete_run)


def run_and_texts(run: str | None, texts: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """Tell RUN from TEXT in the arguments [RUN] [TEXT...]. Standard input and text files are never a RUN."""
    if run is not None and (run == "-" or (Path(run).is_file() and not _looks_like_a_checkpoint(Path(run)))):
        return None, (run, *texts)
    return run, texts


def _looks_like_a_checkpoint(path: Path) -> bool:
    """Judge by the name and the first bytes, so that a damaged checkpoint still counts as one."""
    with path.open("rb") as file:
        return path.suffix == ".npz" or file.read(2) == b"PK"


json_option = click.option("--json", "as_json", is_flag=True, help="Print results as JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print no notes or progress on stderr.")


def output_file(name: str, option: str, inputs: tuple[str, ...] = ()) -> Path:
    """Return the path to write a result to, with links resolved.

    inputs: files that must not be overwritten. Raises ConfigurationError for one of them, for a path that is not a file,
    and for a missing directory.
    """
    path = Path(name).resolve() if Path(name).is_symlink() else Path(name)
    if name == "-" or (path.exists() and not path.is_file()):
        raise ConfigurationError(f"{option} {name}: name a regular file; it is replaced when the result is complete")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{option} {name}: there is no directory {path.parent}")
    if any(each != "-" and Path(each).resolve() == path.resolve() for each in inputs):
        raise ConfigurationError(f"{option} {name}: is also an input: name another file")
    return path


def note(message: str, quiet: bool = False) -> None:
    """Print a line on stderr, unless quiet."""
    if not quiet:
        say(message)


def duration(seconds: float) -> str:
    """Return a duration for people: 45.2 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def print_json(result: Any) -> None:
    """Print a result on stdout as one line of JSON."""
    click.echo(to_json(result))


def require_package(package: str, extra: str, what: str) -> None:
    """Raise ResourceError if an optional package is not installed. what: needs it, for the message."""
    import importlib.util

    from ..errors import ResourceError

    if importlib.util.find_spec(package) is None:
        raise ResourceError(f"{what} needs {package}: pip install 'charlm[{extra}]'")


def is_terminal() -> bool:
    """Return whether stderr is a terminal."""
    return sys.stderr.isatty()
