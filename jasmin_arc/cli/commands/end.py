"""Commands that end jobs and settle what is left: cancel, clean, renew, recover."""

from __future__ import annotations

from functools import partial

import click

from jasmin_arc.cli.app import ArcCommand
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.selection import selects_jobs
from jasmin_arc.constants import JobStatuses
from jasmin_arc.display.columns import OUTCOMES

_ENDED = (JobStatuses.COMPLETED, JobStatuses.FAILED)


@click.command("cancel", cls=ArcCommand)
@selects_jobs
def cancel_command(context: Context, ids: list[str]) -> None:
    """Cancel jobs.

    Those that have ended are left as they are.
    """
    statuses = context.each("asking for the jobs", ids, partial(context.arc.get_job_statuses, ids))
    running = [job_id for job_id, status in statuses.items() if status not in _ENDED]
    done = context.each("cancelling", running, partial(context.arc.cancel_jobs, running))
    context.output.done([job_id for job_id, status in statuses.items() if status in _ENDED], "had ended")
    context.output.done(done, "cancelled")


@click.command("clean", cls=ArcCommand)
@click.option("-f", "--force", is_flag=True, help="Also jobs whose outputs were never saved.")
@selects_jobs
def clean_command(context: Context, ids: list[str], *, force: bool) -> None:
    """Erase ended jobs and their files from the site.

    Jobs whose outputs were never saved are refused, unless --force is given.
    """
    done = context.each("erasing", ids, partial(context.arc.clean_jobs, ids, force=force))
    context.output.done(done, "erased")


@click.command("renew", cls=ArcCommand)
@selects_jobs
def renew_command(context: Context, ids: list[str]) -> None:
    """Give jobs' credentials a new lifetime.

    A job that runs or waits for longer than a proxy lasts needs it, if it has files to send.
    """
    done = context.each("renewing", ids, partial(context.arc.renew, ids))
    context.output.done(done, "renewed")


@click.command("recover", cls=ArcCommand)
@click.pass_obj
def recover_command(context: Context) -> None:
    """Settle submissions that were interrupted.

    Jobs whose submission was complete are kept, the others are erased. Nothing is submitted again.
    """
    with context.busy("looking for jobs"):
        settled = context.arc.recover()
    rows = [{"id": job_id, "outcome": outcome} for job_id, outcome in settled.items()]
    context.output.table(rows, OUTCOMES)
    if not rows:
        context.hint("Nothing was left unfinished.")
