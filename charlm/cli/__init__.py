"""The command line: the only place that parses, prints and exits. A file per command.

Command modules import click and the standard library at the top and everything else inside functions: click loads them
all to print a group's help, and numba alone takes longer than a user waits for that.
"""

import importlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

from ..distributed.launch import is_joint, joined, launched
from ..errors import CharlmError, ConfigurationError, GateError
from ..version import __version__
from .options import perhaps
from .streams import abandon_output, repair, say

_WAIT_SECONDS = 5.0  # for the first rank to say what is wrong
_LANES = ("4", "8", "16")  # kernels.jit.LANE_COUNTS, which may not be imported here: it takes half a second
_VARIABLES = ("CHARLM_RUN", "CHARLM_CACHE", "CHARLM_LANES", "CHARLM_DEBUG")  # that are no command's
# Signals that would end the process at once, with its temporary files left behind.
_FATAL = ("SIGHUP", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXCPU")

COMMANDS = {
    "train": "Train a model on a text.",
    "sample": "Print text that a model writes.",
    "eval": "Measure how well a model predicts a text.",
    "plot": "Draw how training went.",
    "lags": "Show how far gradients reach, and the k2 that follows.",
    "export": "Write a model for other programs.",
    "import": "Make a run of a PyTorch model.",
    "guide": "Read the handbook.",
    "completion": "Print a script that completes commands in your shell.",
    "info": "Show what a run or checkpoint is.",
    "bench": "Measure speed on this machine.",
}


class _ClosedPipe(Exception):  # noqa: N818
    """Nobody reads any more."""


class _Signalled(BaseException):
    """A signal ended what was going on; whatever is temporary is removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Group(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f".{cmd_name}_command", __package__).command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the command that was perhaps meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = perhaps(args[0], [*COMMANDS])
            raise click.UsageError(error.format_message().rstrip(".") + near, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command. That nobody reads its output any more is for main to say, where click would exit with 1."""
        _check_environment()
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _ClosedPipe from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="charlm")
def group() -> None:
    """Train small character language models by truncated backpropagation through time.

    Results go to stdout; progress, notes and errors to stderr. RUN is a run directory or a checkpoint; where it is left out
    it is $CHARLM_RUN, else the newest run in runs/.

    Options can also be given as environment variables, such as CHARLM_TRAIN_HIDDEN=512, and in a TOML file (--config). The
    command line wins over the environment, and that over the file.

    Exit codes: 0 done; 1 failed, with one line that says what, where and what to do; 2 wrong usage; 3 a gate (eval
    --fail-above) was not passed; 130, 143, 138, 129 stopped by Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP after the state was
    saved; 141 nobody reads the output any more.

    \b
    Examples:
      charlm train corpus.txt --k1 64 --k2 128
      charlm sample
      charlm eval
    """


def _check_environment() -> None:
    """Refuses variables that look like options of charlm's and are none: a misspelt one would be ignored in silence."""
    if os.environ.get("CHARLM_LANES", _LANES[0]) not in _LANES:
        forced = os.environ["CHARLM_LANES"]
        raise click.UsageError(f"environment variable CHARLM_LANES={forced}: choose from {', '.join(_LANES)}")
    strange = sorted(name for name in os.environ if name.startswith("CHARLM_") and name not in _VARIABLES)
    if not strange:
        return
    known = [*_VARIABLES]
    for command in COMMANDS:
        known += importlib.import_module(f".{command}_command", __package__).command.variables()
    for name in strange:
        if name not in known:
            raise click.UsageError(f"environment variable {name}: charlm knows none of that name{perhaps(name, known)}")


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Has signals that end a process raise an exception instead, unless they are ignored or handled already."""

    def end(number: int, frame: Any) -> None:
        raise _Signalled(number)

    numbers = [getattr(signal, name) for name in _FATAL if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with the contract's codes; see the README."""
    repair()
    # Text is UTF-8 whatever the locale, as files are; names of files that are no UTF-8 go out as they came in.
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors=errors)
    try:
        with _signals_unwind():
            group.main(arguments, prog_name="charlm", standalone_mode=False)
            sys.stdout.flush()
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        _let_the_first_speak()
        say(_usage(error))
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _leave(130)
    except _Signalled as stop:
        _leave_now(128 + stop.number)
    except (_ClosedPipe, BrokenPipeError) as error:
        abandon_output()
        _leave(141, is_joint(error.__cause__ or error))
    except CharlmError as error:
        _fail(str(error), _exit_code(error), is_joint(error))
    except MemoryError:
        _fail("out of memory: use a smaller --hidden, --layers, --streams or --k2")
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}", joint=is_joint(error))
    except Exception as error:
        if os.environ.get("CHARLM_DEBUG"):
            raise
        if type(error).__module__.startswith("mpi4py"):
            _fail(f"MPI: {error}; another rank may have died: see what mpiexec says")
        _fail(f"unexpected {type(error).__name__}: {error}: a defect of charlm's; CHARLM_DEBUG=1 shows where it is")


def _exit_code(error: CharlmError) -> int:
    return 2 if isinstance(error, ConfigurationError) else 3 if isinstance(error, GateError) else 1


def _usage(error: click.ClickException) -> str:
    """Returns what click shows of an error: how the command is used, where that helps, and what is wrong."""
    shown = io.StringIO()
    error.show(shown)
    return shown.getvalue().rstrip("\n")


def _fail(message: str, code: int = 1, joint: bool = False) -> Any:
    """Says what failed, once, and exits. joint: whether all ranks of a job fail at it; else the others are stopped, too."""
    rank, size = launched()
    if joined() is None and code == 2:
        _let_the_first_speak()
    if rank == 0 or not joint:
        say(f"Error: {message}" if joint or size == 1 or code == 2 else f"Error: rank {rank}: {message}")
    _leave(code, joint)


def _let_the_first_speak() -> None:
    """Where all ranks fail at what they were given: mpiexec ends all as soon as one has, and that is to be the first."""
    if launched()[0] > 0:
        time.sleep(_WAIT_SECONDS)


def _leave_now(code: int) -> Any:
    """Exits without waiting for threads, which may be compiling for a while yet."""
    ranks = joined()
    if ranks is not None:
        ranks.abort(code)
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code)


def _leave(code: int, everywhere: bool = False) -> Any:
    """Exits; with all ranks at once unless all of them exit here, since the others would wait for this one."""
    ranks = joined()
    if ranks is not None and not everywhere:
        ranks.abort(code)
    sys.exit(code)
