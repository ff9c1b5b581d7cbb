"""Commands for the beginning: doctor, site, completion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from jasmin_arc._support.text import one_line
from jasmin_arc.cli.common import ArcCommand
from jasmin_arc.cli.context import Session
from jasmin_arc.cli.exit_codes import FAILED
from jasmin_arc.cli.output import Column, Row, duration, make_table, size

if TYPE_CHECKING:
    from jasmin_arc.doctor import Check

_MARKS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}


@click.command("doctor", cls=ArcCommand)
@click.pass_obj
def doctor_command(session: Session) -> None:
    """Check what a first job needs, with remedies.

    The checks come in the order in which problems have to be solved. The report holds no secrets. The exit code is
    1 if a check failed.
    """
    from jasmin_arc.doctor import Outcome, examine

    failed = []
    checks = examine(session.config_path, config=session.options, origin="the command line")
    while (check := _next(session, checks)) is not None:
        row = {**asdict(check), "remedy": session.repeatable(session.advice(check.remedy))}
        _print_check(session, row)
        if check.outcome is Outcome.FAILED:
            failed.append(check.name)
    if failed:
        session.fail(f"{len(failed)} checks failed; begin with the first: {failed[0]}", kind="CheckFailed", code=FAILED)
    elif not session.output.json:
        session.hint("Ready. A first job: jasmin-arc run -- hostname")


def _next(session: Session, checks: Iterator[Check]) -> Check | None:
    # Each check has a line of progress of its own, as any of them may have to wait for a silent server.
    with session.busy("checking"):
        return next(checks, None)


def _print_check(session: Session, row: Row) -> None:
    if session.output.is_terminal and not session.output.json:
        session.output.results.append(row)
        _print_for_people(row)
        return
    keys = ("outcome", "name", "found", "remedy")
    session.output.table([row], [Column(key, key.upper()) for key in keys])


def _print_for_people(row: Row) -> None:
    from rich.table import Table
    from rich.text import Text

    from jasmin_arc.cli.output import console

    line = Table.grid(padding=(0, 2, 0, 0))
    for width in (7, 15, None):
        line.add_column(min_width=width, overflow="fold")
    line.add_row(Text(row["outcome"], _MARKS[row["outcome"]]), Text(row["name"], "bold"), Text(row["found"]))
    if row["remedy"]:
        line.add_row("", "", Text(row["remedy"], "bold"))
    console().print(line)


QUEUES = (
    Column("name", "QUEUE", one_line),
    Column("free_slots", "FREE", right=True),
    Column("total_slots", "SLOTS", right=True),
    Column("running", "RUNNING", right=True),
    Column("waiting", "WAITING", right=True),
    Column("max_wall_time", "MAX TIME", duration, right=True),
    Column("max_slots", "MAX SLOTS", right=True),
    Column("max_memory", "MAX MEMORY", size, right=True),
)


@click.command("site", cls=ArcCommand)
@click.pass_obj
def site_command(session: Session) -> None:
    """Show queues, limits and runtime environments."""
    with session.busy("asking the site"):
        site = session.arc.site()
    row = asdict(site)
    if session.output.json:
        session.output.results.append(row)
        return
    if not session.output.is_terminal:
        session.output.table([{"kind": "queue", **queue} for queue in row["queues"]], [Column("kind", ""), *QUEUES])
        names = [{"kind": "runtime-environment", "name": name} for name in site.runtime_environments]
        session.output.table(names, [Column("kind", ""), Column("name", "")])
        return
    from jasmin_arc.cli.output import console, make_record

    screen = console()
    screen.print(make_record({key: value for key, value in row.items() if key not in ("queues",)}))
    screen.print()
    screen.print(make_table(row["queues"], QUEUES))


@click.command("completion", cls=ArcCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
      bash:  echo 'source <(jasmin-arc completion bash)' >> ~/.bashrc
      zsh:   echo 'source <(jasmin-arc completion zsh)' >> ~/.zshrc
      fish:  jasmin-arc completion fish > ~/.config/fish/completions/jasmin-arc.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(context.find_root().command, {}, "jasmin-arc", "_JASMIN_ARC_COMPLETE").source()
    session = context.find_object(Session) or Session()
    session.output.text(script, {"shell": shell, "script": script})
