"""The program: its commands, each loaded only when it is used, and the options that all of them share."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import click

from jasmin_arc.backends.table import NAMES
from jasmin_arc.cli.context import Context


class _Entry(NamedTuple):
    module: str
    help: str


SECTIONS: dict[str, dict[str, _Entry]] = {
    "Submit": {
        "run": _Entry("submit", "Submit a job, wait, print its output, exit with its code."),
        "submit": _Entry("submit", "Submit jobs and print their ids."),
        "resubmit": _Entry("submit", "Submit the same again, as new jobs."),
        "restart": _Entry("submit", "Let the site take up failed jobs at the step that failed, under their ids."),
    },
    "Watch": {
        "list": _Entry("watch", "List jobs."),
        "status": _Entry("watch", "Print the status of jobs."),
        "wait": _Entry("watch", "Wait until jobs have ended."),
        "show": _Entry("watch", "Print all that is known of jobs."),
        "explain": _Entry("watch", "Say why a job failed, or why it does not start."),
    },
    "Files": {
        "output": _Entry("files", "Download the outputs of jobs."),
        "files": _Entry("files", "List a job's files."),
        "cat": _Entry("files", "Print files of a job, also while it runs."),
        "follow": _Entry("files", "Print a file of a job as it grows."),
    },
    "End": {
        "cancel": _Entry("end", "Cancel jobs."),
        "clean": _Entry("end", "Erase ended jobs and their files from the site."),
        "renew": _Entry("end", "Give jobs' credentials a new lifetime."),
        "recover": _Entry("end", "Settle submissions that were interrupted."),
    },
    "Set up": {
        "doctor": _Entry("setup", "Check what a first job needs, with remedies."),
        "config": _Entry("configuration", "Show the configuration, or start one."),
        "proxy": _Entry("setup", "Make, show or remove the proxy certificate."),
        "site": _Entry("setup", "Show queues, limits and runtime environments."),
        "completion": _Entry("setup", "Print the completion script for a shell."),
    },
}
COMMANDS = {name: entry for entries in SECTIONS.values() for name, entry in entries.items()}

ELSEWHERE = {
    "stat": "status",
    "sub": "submit",
    "get": "output",
    "fetch": "output",
    "download": "output",
    "kill": "cancel",
    "resub": "resubmit",
    "ls": "files",
    "jobs": "list",
    "info": "site",
    "logs": "follow",
    "tail": "follow",
    "delete": "clean",
    "rm": "clean",
    "help": "--help",
    "test": "doctor",
    "resume": "restart",
    "sync": "list",
}
"""What other programs call it"""


# --- The options of all commands, which may stand before or after the command ---


def context_of(context: click.Context) -> Context:
    """Return the context that click carries along; a new one where a shell asks for completions."""
    return context.find_object(Context) or Context()


def _common(flags: str, name: str, store: Callable[[Context, Any], None], **attributes: Any) -> click.Option:
    def take(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False):
            store(context_of(context), value)

    return click.Option([*flags.split(), name], expose_value=False, callback=take, **attributes)


def _option(name: str) -> Callable[[Context, Any], None]:
    return lambda context, value: context.options.update({name: value})


def _common_options() -> list[click.Parameter]:
    return [
        _common(
            "--config",
            "config_path",
            lambda context, value: setattr(context, "config_path", value),
            type=click.Path(dir_okay=False),
            metavar="FILE",
            help="The JSON file with the configuration (default: $JASMIN_ARC_CONFIG).",
        ),
        _common(
            "--backend",
            "backend",
            _option("BACKEND"),
            type=click.Choice(NAMES),
            help="How jobs are run; 'local' is this machine.",
        ),
        _common("--server", "server", _option("ARC_SERVER"), metavar="HOST:PORT/PATH", help="The compute element."),
        _common(
            "--json",
            "as_json",
            lambda context, value: setattr(context.output, "json", value),
            is_flag=True,
            help="Print one JSON document.",
        ),
        _common(
            "-v --verbose",
            "verbose",
            lambda context, value: setattr(context, "verbose", value),
            is_flag=True,
            help="Show the log and the details of errors.",
        ),
    ]


COMMON_NAMES = {option.name for option in _common_options()}


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from jasmin_arc.version import __version__

        context_of(context).output.text(f"jasmin-arc {__version__}\n", {"version": __version__})
        context.exit()


def _show_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        output = context_of(context).output
        output.command = _name_of(context)
        output.text(context.get_help(), {"help": context.get_help()})
        context.exit()


def _name_of(context: click.Context) -> str:
    return context.command_path.partition(" ")[2]


# --- Kinds of commands ---


class ArcCommand(click.Command):
    """A command that takes the program's options too, shows them apart, and prints its help as JSON if wanted."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_common_options()]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                (common if parameter.name in COMMON_NAMES else own).append(record)
        for title, records in (("Options", own), ("Options of all commands", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def invoke(self, ctx: click.Context) -> Any:
        context_of(ctx).output.command = _name_of(ctx)
        return super().invoke(ctx)


class ArcGroup(ArcCommand, click.Group):
    """A group of commands."""

    command_class = ArcCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class TakesCommand(ArcCommand):
    """A command that takes another program's command line after ``--``; it is left exactly as given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta["command_line"] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- PROGRAM [ARGUMENT]...]"]


class _Program(ArcGroup):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is not None:
            command = getattr(import_module(f"jasmin_arc.cli.commands.{entry.module}"), f"{cmd_name}_command")
            assert isinstance(command, ArcCommand)
            return command
        if not ctx.resilient_parsing:
            raise click.UsageError(_no_such(context_of(ctx), cmd_name), ctx)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # Without loading them.
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in entries.items()])


def _no_such(context: Context, name: str) -> str:
    if name in ELSEWHERE:
        return f"there is no command {name!r} here; it is called: {context.program} {ELSEWHERE[name]}"
    close = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]!r}?" if close else "'jasmin-arc --help' lists them"
    return f"there is no command {name!r}; {hint}"


_VERSION = click.Option(
    ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Print the version."
)


@click.command(cls=_Program, no_args_is_help=False, params=[_VERSION])
def root() -> None:
    """Run batch jobs on an ARC compute element, such as LOTUS on JASMIN, or on this machine.

    JOB is a job's id, a unique part of it, or the job's name; - reads ids from standard input.
    'jasmin-arc COMMAND --help' tells more of a command.
    """
