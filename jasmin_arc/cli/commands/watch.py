"""Commands that ask: list, status, wait, show, explain."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import click

from jasmin_arc._support.text import one_line, printable_lines
from jasmin_arc.cli.app import ArcCommand
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.exit_codes import JOB_FAILED
from jasmin_arc.cli.output import console
from jasmin_arc.cli.selection import filters, selects_jobs
from jasmin_arc.constants import JobStatuses
from jasmin_arc.display.columns import ENDS, JOBS, Row, job_row, unknown_row
from jasmin_arc.display.tables import make_table
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError, WaitTimeoutError
from jasmin_arc.job_info import JobInfo

_INTERVAL = "The least seconds between updates (default: 2); more if the site answers slowly."
_REST = 19
"""The pause after an update, in multiples of the time that the update took: the view uses at most a twentieth of the
site's time"""


@click.command("list", cls=ArcCommand)
@filters
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help="Only the newest N of the jobs.")
@click.option("-w", "--watch", is_flag=True, help="Keep the list on the screen and up to date, until Ctrl-C.")
@click.option("--interval", type=click.FloatRange(min=0.5), default=2.0, help=_INTERVAL)
@click.pass_obj
def list_command(context: Context, /, *, watch: bool, interval: float, **wanted: Any) -> None:
    """List jobs.

    All that are in the job list or at the site, the oldest first.
    With --name, --since or --last, only those in the job list.
    """

    def ask() -> list[dict[str, Any]]:
        return _rows(context, context.arc.list_jobs(**wanted))

    if watch:
        _watch(context, ask, interval)
        return
    with context.busy("asking for the jobs"):
        rows = ask()
    context.output.table(rows, JOBS)
    if not rows:
        context.hint(f"No jobs. Submit one: {context.program} submit -- PROGRAM ARGUMENT...")


def _rows(context: Context, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Ask for the jobs; those that the place does not know any more are listed as unknown."""
    if not ids:
        return []
    try:
        answers: Sequence[Any] = context.arc.get_job_infos(ids)
    except PartialFailureError as error:
        answers = error.results
    names = context.names_of([job_id for job_id, answer in zip(ids, answers) if not isinstance(answer, JobInfo)])
    return [
        job_row(answer) if isinstance(answer, JobInfo) else unknown_row(job_id, names.get(job_id, ""))
        for job_id, answer in zip(ids, answers)
    ]


def _watch(context: Context, ask: Callable[[], list[dict[str, Any]]], interval: float) -> None:
    if context.output.json or not context.output.is_terminal:
        raise click.UsageError(f"--watch needs a terminal; without it, {context.command('wait')} waits")
    from rich.live import Live

    rows: list[dict[str, Any]] = []
    screen = console()
    try:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                problem, begin = "", time.monotonic()
                try:
                    rows = ask()
                except JasminArcError as error:
                    problem = one_line(context.told(error))
                pause = max(interval, _REST * (time.monotonic() - begin))
                slow = f", again in {pause:.0f} s" if pause > interval else ""
                view = _view(context, rows, f"{time.strftime('%H:%M:%S')}{slow}", problem, screen)
                live.update(view, refresh=True)
                time.sleep(pause)
    finally:
        running = [row["id"] for row in rows if row["status"] not in ("completed", "failed", "unknown")]
        context.going_on(running)


def _view(context: Context, rows: Sequence[Row], when: str, problem: str, screen: Any) -> Any:
    """Return what the screen shows: a title, as many rows as there is room for, and what went wrong."""
    from rich.console import Group
    from rich.text import Text

    room = max(screen.size.height - 5, 1)
    counts = "".join(f", {count} {status}" for status, count in Counter(row["status"] for row in rows).items())
    above = f" (the last {room})" if len(rows) > room else ""
    title = f"{len(rows)} jobs{counts}{above}   {when}   Ctrl-C ends this view"
    shown = rows[-room:]
    table = make_table(shown, JOBS, screen.width, context.short_ids([row["id"] for row in shown]))
    return Group(Text(title), "", table, Text(problem, style="red"))


@click.command("status", cls=ArcCommand)
@selects_jobs
def status_command(context: Context, ids: list[str]) -> None:
    """Print the status of jobs."""
    context.output.table(_known(context, ids), JOBS)


@click.command("show", cls=ArcCommand)
@selects_jobs
def show_command(context: Context, ids: list[str]) -> None:
    """Print all that is known of jobs."""
    for number, row in enumerate(_known(context, ids)):
        if number:
            context.output.stream(b"\n")
        context.output.record(row)


def _known(context: Context, ids: list[str]) -> list[dict[str, Any]]:
    """Ask for the jobs, and report those that are not known."""
    infos = context.each("asking for the jobs", ids, partial(context.arc.get_job_infos, ids))
    return [job_row(info) for info in infos.values()]


@click.command("wait", cls=ArcCommand)
@selects_jobs
@click.option("-t", "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="The most seconds to wait.")
def wait_command(context: Context, ids: list[str], *, timeout: float | None) -> None:
    """Wait until jobs have ended.

    Prints each job's status. The exit code is 4 if a job failed, and 1 if time was up.
    """
    context.going_on(ids)
    try:
        statuses = context.each("waiting", ids, partial(context.arc.wait, ids, timeout=timeout), bar=True)
    except WaitTimeoutError as error:
        context.fail_with(error)
        ended = [job_id for job_id in ids if job_id not in error.unfinished]
        statuses = context.each("asking for the jobs", ended, partial(context.arc.get_job_statuses, ended))
    context.going_on([])
    names = context.names_of(list(statuses))
    ends = [{"id": job_id, "name": names.get(job_id, ""), "status": end.value} for job_id, end in statuses.items()]
    context.output.table(ends, ENDS)
    failed = [job_id for job_id, end in statuses.items() if end is JobStatuses.FAILED]
    if failed:
        say = "the job failed" if len(ends) == 1 else f"{len(failed)} of {len(ends)} jobs failed"
        why = f"{context.command(f'explain {context.brief(failed[0])}')} says why"
        context.fail(f"{say}; {why}", kind="JobFailedError", code=JOB_FAILED, job=failed[0])


@click.command("explain", cls=ArcCommand)
@selects_jobs
def explain_command(context: Context, ids: list[str]) -> None:
    """Say why a job failed, or why it does not start."""
    for number, job_id in enumerate(ids):
        try:
            with context.busy("collecting the evidence"):
                explanation = context.arc.explain(job_id)
        except JobNotFoundError as error:
            context.fail_with(error, job=job_id)
            continue
        told = replace(explanation, advice=context.advice(explanation.advice, job_id))
        row = {"id": job_id, **{key: value for key, value in asdict(told).items() if key != "job_id"}}
        context.output.text(("\n" if number else "") + printable_lines(str(told)), row)
