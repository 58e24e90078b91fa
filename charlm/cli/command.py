"""The class of all commands: options from declared settings, the environment and configuration files; help in sections."""

from typing import Any

import click

from ..config.declare import Declaration, Declared
from ..errors import CharlmError, ConfigurationError
from .config_file import read_config
from .declared import DeclaredOption, long_names, variable
from .stdio import output_is_closed


class Command(click.Command):
    """A command that takes its options from the command line, the environment and a TOML file.

    settings: classes whose declared settings become options. They are read at each use, so that a definition that is
    registered later brings its options along. makes_files: True if the command is useful without standard output.
    """

    def __init__(
        self, *arguments: Any, settings: tuple[type[Declared], ...] = (), makes_files: bool = False, **more: Any
    ) -> None:
        self._settings: tuple[type[Declared], ...] = ()
        self._made: dict[tuple[Declaration, str, str], DeclaredOption] = {}
        super().__init__(*arguments, **more)
        self._settings = settings
        self._makes_files = makes_files
        self._params.append(
            click.Option(
                ["--config"],
                type=click.Path(dir_okay=False),
                is_eager=True,
                expose_value=False,
                callback=read_config,
                metavar="FILE",
                help="TOML file with options: a table for each command, such as [train].",
            )
        )

    @property
    def params(self) -> list[click.Parameter]:
        """The parameters: one list, which click may change, brought up to date with the declared settings."""
        declared = {each.name: self._option(each) for kind in self._settings for each in kind.declared()}
        own = [each for each in self._params if not isinstance(each, DeclaredOption)]
        self._params[:] = [*declared.values(), *own]
        for option in self._params:
            if isinstance(option, click.Option):
                option.envvar = [variable(self.name or "", name) for name in long_names(option)]
        return self._params

    @params.setter
    def params(self, given: list[click.Parameter]) -> None:
        """Take the command's own parameters."""
        self._params = given

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """Return both names in every context: click makes the help option once, in the context that comes first."""
        return ["-h", "--help"]

    def _option(self, declaration: Declaration) -> DeclaredOption:
        key = declaration, declaration.shown_help, declaration.shown_default
        if key not in self._made:
            self._made[key] = DeclaredOption(declaration)
        return self._made[key]

    def variables(self) -> list[str]:
        """Return the environment variables of the options."""
        return [name for option in self.params if isinstance(option, click.Option) for name in option.envvar or ()]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raise an error if its result cannot be printed, or if the text of an option is empty."""
        if output_is_closed() and not self._makes_files:
            raise CharlmError(
                f"standard output is closed, and charlm {self.name} prints its result there: redirect it to a file or a pipe"
            )
        for parameter in self.params:
            _require_text(parameter, ctx)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections in the order of the declarations. Options without a section come last."""
        rows: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                rows.setdefault(getattr(parameter, "section", "Options"), []).append(record)
        rows["Options"] = rows.pop("Options")
        for title, records in rows.items():
            with formatter.section(title):
                formatter.write_dl(records)


def _require_text(parameter: click.Parameter, ctx: click.Context) -> None:
    """Raise ConfigurationError for an empty text that was given, unless its declaration allows that."""
    name, value = parameter.name or "", ctx.params.get(parameter.name or "")
    if isinstance(parameter, DeclaredOption) and parameter.declaration.may_be_empty:
        return
    given = ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    if given and (value == "" or (isinstance(value, tuple) and "" in value)):
        plain = parameter.human_readable_name.strip("[].")
        shown = f"--{long_names(parameter)[0]}" if isinstance(parameter, click.Option) else plain
        raise ConfigurationError(f"{shown} is empty")
