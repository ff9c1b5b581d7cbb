"""The program and its commands; each command's module is loaded only when the command is used."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from jasmin_arc.cli.common import ArcCommand, ArcGroup, common_parameters, show_version


class _Entry(NamedTuple):
    module: str
    help: str


SECTIONS: dict[str, dict[str, _Entry]] = {
    "Submit": {
        "run": _Entry("submitting", "Submit a job, wait, print its output, exit with its code."),
        "submit": _Entry("submitting", "Submit jobs and print their ids."),
        "resubmit": _Entry("submitting", "Submit the same again, as new jobs."),
        "restart": _Entry("submitting", "Let the site take up failed jobs at the step that failed, under their ids."),
    },
    "Watch": {
        "list": _Entry("watching", "List jobs."),
        "status": _Entry("watching", "Print the status of jobs."),
        "wait": _Entry("watching", "Wait until jobs have ended."),
        "show": _Entry("watching", "Print all that is known of jobs."),
        "explain": _Entry("watching", "Say why a job failed, or why it does not start."),
    },
    "Files": {
        "output": _Entry("files", "Download the outputs of jobs."),
        "files": _Entry("files", "List a job's files."),
        "cat": _Entry("files", "Print files of a job, also while it runs."),
        "follow": _Entry("files", "Print a file of a job as it grows."),
    },
    "End": {
        "cancel": _Entry("ending", "Cancel jobs."),
        "clean": _Entry("ending", "Erase ended jobs and their files from the site."),
        "renew": _Entry("ending", "Give jobs' credentials a new lifetime."),
        "recover": _Entry("ending", "Settle submissions that were interrupted."),
    },
    "Set up": {
        "doctor": _Entry("setting_up", "Check what a first job needs, with remedies."),
        "config": _Entry("configuration", "Show the configuration, or start one."),
        "proxy": _Entry("proxies", "Make, show or remove the proxy certificate."),
        "site": _Entry("setting_up", "Show queues, limits and runtime environments."),
        "completion": _Entry("setting_up", "Print the completion script for a shell."),
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


class Program(ArcGroup):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the module of this command, and no other."""
        entry = COMMANDS.get(cmd_name)
        if entry is not None:
            command = getattr(import_module(f"jasmin_arc.cli.{entry.module}"), f"{cmd_name}_command")
            assert isinstance(command, (ArcCommand, ArcGroup))
            return command
        if not ctx.resilient_parsing:
            raise click.UsageError(_no_such(cmd_name), ctx)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without loading them."""
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), entry.help) for name, entry in entries.items()])


def _no_such(name: str) -> str:
    if name in ELSEWHERE:
        return f"there is no command {name!r} here; it is called: jasmin-arc {ELSEWHERE[name]}"
    close: Sequence[str] = difflib.get_close_matches(name, COMMANDS, 1)
    hint = f"did you mean {close[0]!r}?" if close else "'jasmin-arc --help' lists them"
    return f"there is no command {name!r}; {hint}"


@click.command(cls=Program, no_args_is_help=False, params=[*common_parameters(), show_version()])
def root() -> None:
    """Run batch jobs on an ARC compute element, such as LOTUS on JASMIN, or on this machine.

    JOB is a job's id, a unique part of it, or the job's name; - reads ids from standard input.
    'jasmin-arc COMMAND --help' tells more of a command.
    """
