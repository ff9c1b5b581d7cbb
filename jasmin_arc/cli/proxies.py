"""The proxy commands: create, info, destroy."""

from __future__ import annotations

from typing import Any

import click

from jasmin_arc.cli.common import ArcCommand, SubGroup
from jasmin_arc.cli.context import Session
from jasmin_arc.cli.exit_codes import FAILED


@click.group("proxy", cls=SubGroup, no_args_is_help=False)
def proxy_command() -> None:
    """Make, show or remove the proxy certificate.

    Jobs are submitted with a short-lived copy of your certificate, the proxy. It is made when it is needed; a key
    with a passphrase has to be unlocked by 'proxy create'.
    """


def _row(session: Session) -> dict[str, Any] | None:
    info = session.arc.proxy.info()
    if info is None:
        return None
    return {
        "path": info.path,
        "identity": info.identity,
        "subject": info.subject,
        "not_before": info.not_before,
        "expires": info.expires,
        "time_left": info.time_left,
    }


@proxy_command.command("create", cls=ArcCommand)
@click.pass_obj
def create_command(session: Session) -> None:
    """Make a new proxy in place of the present one. A VOMS proxy that has not ended is not replaced."""
    session.arc.create_proxy()
    session.output.record(_row(session) or {})


@proxy_command.command("info", cls=ArcCommand)
@click.pass_obj
def info_command(session: Session) -> None:
    """Show the present proxy. The exit code is 1 if there is none, or it has expired."""
    row = _row(session)
    if row is None:
        session.fail("there is no proxy; 'jasmin-arc proxy create' makes one", kind="NoProxy", code=FAILED)
        return
    session.output.record(row)
    if row["time_left"].total_seconds() <= 0:
        session.fail("the proxy has expired; 'jasmin-arc proxy create' makes one", kind="NoProxy", code=FAILED)


@proxy_command.command("destroy", cls=ArcCommand)
@click.pass_obj
def destroy_command(session: Session) -> None:
    """Remove the present proxy. Jobs keep the copies that they have."""
    existed = session.arc.proxy.destroy()
    session.output.text("removed\n" if existed else "there was none\n", {"removed": existed})


__all__ = ["proxy_command"]
