"""What all commands share: the options of the program, which may stand before or after the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from jasmin_arc.cli.context import Session

_COMMON = ("config_path", "backend", "server", "as_json", "verbose")


def _set(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
        session = context.find_object(Session)
        if session is not None and value not in (None, False):
            _store(session, name, value)
        return value

    return store


def _store(session: Session, name: str, value: Any) -> None:
    if name == "config_path":
        session.config_path = value
    elif name == "as_json":
        session.output.json = True
    elif name == "verbose":
        session.verbose = True
    else:
        session.options[{"backend": "BACKEND", "server": "ARC_SERVER"}[name]] = value


def common_parameters() -> list[click.Parameter]:
    """Return the options that every command takes."""

    def option(*names: str, **attributes: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=_set(names[-1]), **attributes)

    return [
        option(
            "--config",
            "config_path",
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="The JSON file with the configuration (default: $JASMIN_ARC_CONFIG).",
        ),
        option(
            "--backend",
            "backend",
            type=click.Choice(["auto", "bindings", "rest", "local"]),
            help="How jobs are run; 'local' is this machine.",
        ),
        option("--server", "server", metavar="HOST:PORT/PATH", help="The compute element."),
        option("--json", "as_json", is_flag=True, help="Print one JSON document."),
        option("-v", "--verbose", "verbose", is_flag=True, help="Show the log and the details of errors."),
    ]


def show_version() -> click.Option:
    """Return the option that prints the version."""

    def show(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not context.resilient_parsing:
            from jasmin_arc.version import __version__

            session = context.find_object(Session) or Session()
            session.output.text(f"jasmin-arc {__version__}\n", {"version": __version__})
            context.exit()

    return click.Option(
        ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=show, help="Print the version."
    )


def _format_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    own: list[tuple[str, str]] = []
    common: list[tuple[str, str]] = []
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
        if record is not None:
            (common if parameter.name in _COMMON else own).append(record)
    for title, records in (("Options", own), ("Options of all commands", common)):
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _show_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        session = context.find_object(Session) or Session()
        session.output.command = _name_of(context)
        session.output.text(context.get_help(), {"help": context.get_help()})
        context.exit()


def _name_of(context: click.Context) -> str:
    return context.command_path.partition(" ")[2]


class _Explained(click.Command):
    """A command whose help comes as JSON too, where that is wanted."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return the option that prints the help."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class ArcCommand(_Explained):
    """A command that takes the program's options too."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and the program's."""
        return [*super().get_params(ctx), *common_parameters()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the program's options apart."""
        _format_options(self, ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Note the name under which the command was called."""
        session = ctx.find_object(Session)
        if session is not None:
            session.output.command = _name_of(ctx)
        return super().invoke(ctx)


class ArcGroup(_Explained, click.Group):
    """A group of commands that take the program's options too."""

    command_class = ArcCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Show the program's options apart."""
        _format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class SubGroup(ArcGroup):
    """A group inside the program."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the group's own parameters and the program's."""
        return [*super().get_params(ctx), *common_parameters()]


class TakesCommand(ArcCommand):
    """A command that takes another program's command line after ``--``; it is left exactly as given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what comes after the first ``--``."""
        if "--" in args:
            at = args.index("--")
            ctx.meta["command_line"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show where the command line goes."""
        return [*super().collect_usage_pieces(ctx), "[-- PROGRAM [ARGUMENT]...]"]
