"""Commands that end jobs or put them right: cancel, clean, renew, recover."""

from __future__ import annotations

import click

from jasmin_arc.cli.common import ArcCommand
from jasmin_arc.cli.context import Session
from jasmin_arc.cli.output import Column
from jasmin_arc.cli.selection import selects_jobs
from jasmin_arc.constants import JobStatuses

_ENDED = (JobStatuses.COMPLETED, JobStatuses.FAILED)


@click.command("cancel", cls=ArcCommand)
@selects_jobs
def cancel_command(session: Session, ids: list[str]) -> None:
    """Cancel jobs.

    Those that have ended are left as they are.
    """
    if not ids:
        return
    with session.busy("cancelling"):
        statuses = session.each(ids, lambda: session.arc.get_job_statuses(ids))
        running = [job_id for job_id, status in statuses.items() if status not in _ENDED]
        done = session.each(running, lambda: session.arc.cancel_jobs(running)) if running else {}
    session.output.done([job_id for job_id, status in statuses.items() if status in _ENDED], "had ended")
    session.output.done(list(done), "cancelled")


@click.command("clean", cls=ArcCommand)
@click.option("-f", "--force", is_flag=True, help="Also jobs whose outputs were never saved.")
@selects_jobs
def clean_command(session: Session, ids: list[str], *, force: bool) -> None:
    """Erase ended jobs and their files from the site.

    Jobs whose outputs were never saved are refused, unless --force is given.
    """
    if ids:
        with session.busy("erasing"):
            done = session.each(ids, lambda: session.arc.clean_jobs(ids, force=force))
        session.output.done(list(done), "erased")


@click.command("renew", cls=ArcCommand)
@selects_jobs
def renew_command(session: Session, ids: list[str]) -> None:
    """Give jobs' credentials a new lifetime.

    A job that runs or waits for longer than a proxy lasts needs it, if it has files to send.
    """
    if ids:
        with session.busy("renewing"):
            done = session.each(ids, lambda: session.arc.renew(ids))
        session.output.done(list(done), "renewed")


@click.command("recover", cls=ArcCommand)
@click.pass_obj
def recover_command(session: Session) -> None:
    """Settle submissions that were interrupted.

    Jobs whose submission was complete are kept, the others are erased. Nothing is submitted again.
    """
    with session.busy("looking for jobs"):
        settled = session.arc.recover()
    rows = [{"id": job_id, "outcome": outcome} for job_id, outcome in settled.items()]
    session.output.table(rows, (Column("id", "JOB", whole=True), Column("outcome", "OUTCOME")))
    if not rows:
        session.hint("Nothing was left unfinished.")
