"""Commands that end jobs and settle what is left: cancel, clean, renew, recover."""

from __future__ import annotations

from functools import partial

import click

from jasmin_arc.cli.app import ArcCommand
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.groups import MANY, tell_done
from jasmin_arc.cli.selection import selects_jobs
from jasmin_arc.constants import JobStatuses
from jasmin_arc.display.columns import OUTCOMES

_YES = click.option("-y", "--yes", is_flag=True, help="Ask no question.")
_ENDED = (JobStatuses.COMPLETED, JobStatuses.FAILED)


@click.command("cancel", cls=ArcCommand)
@_YES
@selects_jobs
def cancel_command(context: Context, ids: list[str], *, yes: bool) -> None:
    """Cancel jobs.

    Those that have ended are left as they are. On a terminal, more than 20 are cancelled only after a question.
    """
    statuses = context.each("asking for the jobs", ids, partial(context.arc.get_job_statuses, ids))
    running = [job_id for job_id, status in statuses.items() if status not in _ENDED]
    if not yes and len(running) > MANY and not context.agreed(f"Cancel {len(running)} jobs?"):
        return
    done = context.each("cancelling", running, partial(context.arc.cancel_jobs, running))
    tell_done(context, [job_id for job_id, status in statuses.items() if status in _ENDED], "had ended")
    tell_done(context, done, "cancelled")


@click.command("clean", cls=ArcCommand)
@click.option("-f", "--force", is_flag=True, help="Also jobs whose outputs were never saved.")
@_YES
@selects_jobs
def clean_command(context: Context, ids: list[str], *, force: bool, yes: bool) -> None:
    """Erase ended jobs and their files from the site.

    Jobs whose outputs were never saved are refused, unless --force is given. On a terminal, more than 20 are erased
    only after a question.
    """
    if not yes and len(ids) > MANY and not context.agreed(f"Erase {len(ids)} jobs and their files?"):
        return
    done = context.each("erasing", ids, partial(context.arc.clean_jobs, ids, force=force))
    tell_done(context, done, "erased")


@click.command("renew", cls=ArcCommand)
@selects_jobs
def renew_command(context: Context, ids: list[str]) -> None:
    """Give jobs' credentials a new lifetime.

    A job that runs or waits for longer than a proxy lasts needs it, if it has files to send.
    """
    done = context.each("renewing", ids, partial(context.arc.renew, ids))
    tell_done(context, done, "renewed")


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
