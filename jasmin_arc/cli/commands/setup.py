"""Commands for the beginning: doctor, config, proxy, site, completion."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from jasmin_arc.cli.app import ArcCommand, ArcGroup, context_of
from jasmin_arc.cli.commands.configuration import config_command as config_command
from jasmin_arc.cli.context import COMPLETION_VARIABLE, PROGRAM, Context
from jasmin_arc.display.columns import QUEUES, Column, Row

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "dim"}
_CHECKS = (
    Column("outcome", "", lambda text: text.ljust(7), lambda row: _COLOURS.get(row["outcome"], ""), whole=True),
    Column("name", "", lambda text: text.ljust(15), lambda _: "bold", whole=True),
    Column("found", "", style=lambda row: "" if row["outcome"] else "bold"),
)


@click.command("doctor", cls=ArcCommand)
@click.pass_obj
def doctor_command(context: Context) -> None:
    """Check what a first job needs, with remedies.

    The checks come in the order in which problems have to be solved. The report holds no secrets. The exit code is
    1 if a check failed.
    """
    from jasmin_arc.doctor import Outcome, examine

    failed = []
    checks = examine(context.config_path, config=context.options, origin="the command line")
    while True:
        # Each check has a line of progress of its own, as any of them may have to wait for a silent server.
        with context.busy("checking"):
            check = next(checks, None)
        if check is None:
            break
        _print_check(context, {**asdict(check), "outcome": check.outcome.value, "remedy": context.advice(check.remedy)})
        if check.outcome is Outcome.FAILED:
            failed.append(check.name)
    if failed:
        context.fail(f"{len(failed)} checks failed; begin with the first: {failed[0]}", kind="CheckFailed")
    else:
        context.hint(f"Ready. A first job: {context.program} run -- hostname")


def _print_check(context: Context, row: Row) -> None:
    if context.output.json or not context.output.is_terminal:
        context.output.table([row], [Column(key, "") for key in ("outcome", "name", "found", "remedy")])
        return
    remedy = {"outcome": "", "name": "", "found": row["remedy"]}
    context.output.print_table([row, remedy] if row["remedy"] else [row], _CHECKS)


@click.command("site", cls=ArcCommand)
@click.pass_obj
def site_command(context: Context) -> None:
    """Show queues, limits and runtime environments."""
    with context.busy("asking the site"):
        site = context.arc.site()
    row, output = asdict(site), context.output
    if output.json:
        output.results.append(row)
    elif output.is_terminal:
        output.print_record({key: value for key, value in row.items() if key != "queues"})
        print()  # noqa: T201
        output.print_table(row["queues"], QUEUES)
    else:
        kind, name = Column("kind", ""), Column("name", "")
        output.table([{"kind": "queue", **queue} for queue in row["queues"]], [kind, *QUEUES])
        names = site.runtime_environments
        output.table([{"kind": "runtime-environment", "name": entry} for entry in names], [kind, name])


@click.group("proxy", cls=ArcGroup, no_args_is_help=False)
def proxy_command() -> None:
    """Make, show or remove the proxy certificate.

    Jobs are submitted with a short-lived copy of your certificate, the proxy. It is made when it is needed; a key
    with a passphrase has to be unlocked by 'proxy create'.
    """


@proxy_command.command("create", cls=ArcCommand)
@click.pass_obj
def create_command(context: Context) -> None:
    """Make a new proxy in place of the present one. A VOMS proxy that has not ended is not replaced."""
    context.arc.create_proxy()
    context.output.record(_proxy_row(context) or {})


@proxy_command.command("info", cls=ArcCommand)
@click.pass_obj
def info_command(context: Context) -> None:
    """Show the present proxy. The exit code is 1 if there is none, or it has expired."""
    row, what = _proxy_row(context), "there is no proxy"
    if row is not None:
        context.output.record(row)
        what = "the proxy has expired"
    if row is None or row["time_left"].total_seconds() <= 0:
        context.fail(f"{what}; {context.command('proxy create')} makes one", kind="NoProxy")


@proxy_command.command("destroy", cls=ArcCommand)
@click.pass_obj
def destroy_command(context: Context) -> None:
    """Remove the present proxy. Jobs keep the copies that they have."""
    existed = context.arc.proxy.destroy()
    context.output.text("removed\n" if existed else "there was none\n", {"removed": existed})


def _proxy_row(context: Context) -> dict[str, Any] | None:
    info = context.arc.proxy.info()
    keys = ("path", "identity", "subject", "not_before", "expires", "time_left")
    return {key: getattr(info, key) for key in keys} if info is not None else None


@click.command("completion", cls=ArcCommand)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(click_context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
      bash:  echo 'source <(jasmin-arc completion bash)' >> ~/.bashrc
      zsh:   echo 'source <(jasmin-arc completion zsh)' >> ~/.zshrc
      fish:  jasmin-arc completion fish > ~/.config/fish/completions/jasmin-arc.fish
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(click_context.find_root().command, {}, PROGRAM, COMPLETION_VARIABLE).source()
    context_of(click_context).output.text(script, {"shell": shell, "script": script})
