"""The program: its commands, each loaded only when it is used, and the options that all of them share."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from jasmin_arc._support.suggestions import nearest
from jasmin_arc.backends.table import NAMES
from jasmin_arc.cli.context import PROGRAM, Context
from jasmin_arc.version import __version__

SECTIONS = {
    "Submit": {
        "run": "Submit a job, wait, print its output, exit with its code.",
        "submit": "Submit jobs and print their ids.",
        "resubmit": "Submit the same again, as new jobs.",
        "restart": "Let the site take up failed jobs at the step that failed, under their ids.",
    },
    "Watch": {
        "list": "List jobs.",
        "status": "Print the status of jobs.",
        "wait": "Wait until jobs have ended.",
        "show": "Print all that is known of jobs.",
        "explain": "Say why a job failed, or why it does not start.",
    },
    "Files": {
        "output": "Download the outputs of jobs.",
        "files": "List a job's files.",
        "cat": "Print files of a job, also while it runs.",
        "follow": "Print a file of a job as it grows.",
    },
    "End": {
        "cancel": "Cancel jobs.",
        "clean": "Erase ended jobs and their files from the site.",
        "renew": "Give jobs' credentials a new lifetime.",
        "recover": "Settle submissions that were interrupted.",
    },
    "Set up": {
        "doctor": "Check what a first job needs, with remedies.",
        "config": "Show the configuration, or start one.",
        "proxy": "Make or remove the proxy certificate; show the credentials.",
        "site": "Show queues, limits, accounts and runtime environments.",
        "completion": "Print the completion script for a shell.",
    },
}
"""The commands and what their help begins with; those of a section stand in one module, which is called like it"""
COMMANDS = {name: section for section, commands in SECTIONS.items() for name in commands}
_OTHER_NAMES = {
    "status": "stat",
    "submit": "sub",
    "output": "get fetch download",
    "cancel": "kill",
    "resubmit": "resub",
    "restart": "resume",
    "files": "ls",
    "list": "jobs sync",
    "site": "info",
    "follow": "logs tail",
    "clean": "delete rm",
    "doctor": "test",
    "--help": "help",
}
ELSEWHERE = {other: name for name, others in _OTHER_NAMES.items() for other in others.split()}
"""What other programs call it"""


# --- The options of all commands, which may stand before or after the command ---


def context_of(context: click.Context) -> Context:
    """Return the context that click carries along; a new one where a shell asks for completions."""
    return context.find_object(Context) or Context()


def _store(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    wanted, name = context_of(context), str(parameter.name)
    if value is None or value is False:
        return
    # An empty text, as of a variable that is not set, is a value: the library refuses it.
    if name.isupper():
        wanted.options[name] = value
    else:
        setattr(wanted.output if name == "json" else wanted, name, value)


def _common(names: str, text: str, **attributes: Any) -> click.Option:
    return click.Option(names.split(), expose_value=False, callback=_store, help=text, **attributes)


_CONFIG = "The JSON file with the configuration (default: $JASMIN_ARC_CONFIG)."
_COMMON_OPTIONS: list[click.Parameter] = [
    _common("--config config_path", _CONFIG, type=click.Path(dir_okay=False), metavar="FILE"),
    _common(
        "--backend BACKEND",
        "How jobs are run: on a CE, with Slurm, or on this machine (local).",
        type=click.Choice(NAMES),
    ),
    _common("--server ARC_SERVER", "The compute element.", metavar="HOST:PORT/PATH"),
    _common("--json json", "Print one JSON document.", is_flag=True),
    _common("-v --verbose verbose", "Show the log and the details of errors.", is_flag=True),
]


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context_of(context).output.text(f"jasmin-arc {__version__}\n", {"version": __version__})
        context.exit()


def _show_help(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        context_of(context).output.text(context.get_help(), {"help": context.get_help()})
        context.exit()


# --- Kinds of commands ---


class ArcCommand(click.Command):
    """A command that takes the program's options too, shows them apart, and prints its help as JSON if wanted."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *_COMMON_OPTIONS]

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        context_of(ctx).output.command = ctx.command_path.partition(" ")[2]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, common in (("Options", False), ("Options of all commands", True)):
            parameters = [entry for entry in self.get_params(ctx) if (entry in _COMMON_OPTIONS) == common]
            with formatter.section(title):
                formatter.write_dl(list(filter(None, (entry.get_help_record(ctx) for entry in parameters))))


class ArcGroup(ArcCommand, click.Group):
    """A group of commands."""

    command_class = ArcCommand

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class TakesCommand(ArcCommand):
    """A command that takes another program's command line after ``--``; it is left exactly as given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.params["command"] = args[at + 1 :] if at < len(args) else None
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- PROGRAM [ARGUMENT]...]"]


class _Program(ArcGroup):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module = COMMANDS[cmd_name].lower().replace(" ", "")
            found = import_module(f"jasmin_arc.cli.commands.{module}")
            command: click.Command = getattr(found, f"{cmd_name}_command")
            return command
        if not ctx.resilient_parsing:
            raise click.UsageError(_no_such(context_of(ctx), cmd_name), ctx)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        # Without loading them.
        width = max(map(len, COMMANDS))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), text) for name, text in commands.items()])


def _no_such(context: Context, name: str) -> str:
    if name in ELSEWHERE:
        return f"there is no command {name!r} here; it is called: {context.program} {ELSEWHERE[name]}"
    close = nearest(name, COMMANDS)
    hint = f"did you mean {close!r}?" if close else f"'{PROGRAM} --help' lists them"
    return f"there is no command {name!r}; {hint}"


@click.command(cls=_Program, no_args_is_help=False)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Print the version."
)
def root() -> None:
    """Run batch jobs on Slurm, such as LOTUS on JASMIN, on an ARC compute element, or on this machine.

    JOB is a job's id, a unique part of it, or the job's name; - reads ids from standard input.
    'jasmin-arc COMMAND --help' tells more of a command.
    """
