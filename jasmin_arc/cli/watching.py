"""Commands that ask: list, status, wait, show, explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import click

from jasmin_arc._support.text import one_line, printable_lines
from jasmin_arc.cli.common import ArcCommand
from jasmin_arc.cli.context import Session
from jasmin_arc.cli.exit_codes import JOB_FAILED
from jasmin_arc.cli.output import Column, Row, console, make_table
from jasmin_arc.cli.selection import STATUSES, filters, selects_jobs
from jasmin_arc.cli.wording import calls
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError, WaitTimeoutError
from jasmin_arc.job_info import JobInfo

_STYLES = {"completed": "green", "failed": "red", "in progress": "cyan", "unknown": "dim"}


def _style(row: Row) -> str:
    return _STYLES.get(str(row.get("status")), "")


COLUMNS = (
    Column("id", "JOB", whole=True),
    Column("status", "STATUS", style=_style, whole=True),
    Column("state", "STATE", whole=True, from_width=90),
    Column("exit_code", "EXIT", right=True, from_width=60),
    Column("submitted", "SUBMITTED", whole=True, from_width=70),
    Column("name", "NAME"),
)


def job_row(info: JobInfo, name: str = "") -> dict[str, Any]:
    """Return all that is known of a job, as it stands in JSON."""
    row = {"id": info.id, "name": info.name or name, "status": info.status.value}
    row.update({key: value for key, value in asdict(info).items() if key not in row})
    return row


def unknown_row(job_id: str, name: str) -> dict[str, Any]:
    """Return a row like that of :func:`job_row` for a job of which nothing is known."""
    return {**job_row(JobInfo(job_id, JobState.UNDEFINED, name=name)), "status": "unknown", "state": ""}


def _rows(session: Session, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Ask for the jobs; those that the place does not know any more are listed as unknown."""
    if not ids:
        return []
    try:
        answers: Sequence[Any] = session.arc.get_job_infos(ids)
    except PartialFailureError as error:
        answers = error.results
    names = session.names_of([job_id for job_id, answer in zip(ids, answers) if not isinstance(answer, JobInfo)])
    return [
        job_row(answer) if isinstance(answer, JobInfo) else unknown_row(job_id, names.get(job_id, ""))
        for job_id, answer in zip(ids, answers)
    ]


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
def list_command(
    session: Session,
    *,
    status: str | None,
    name: str | None,
    since: timedelta | None,
    last: int | None,
    watch: bool,
    interval: float,
) -> None:
    """List jobs.

    All that are in the job list or at the site, the oldest first.
    With --name, --since or --last, only those in the job list.
    """

    def ask() -> list[dict[str, Any]]:
        wanted = STATUSES[status] if status else None
        return _rows(session, session.arc.list_jobs(status=wanted, name=name, since=since, last=last))

    if watch:
        _watch(session, ask, interval)
        return
    with session.busy("asking for the jobs"):
        rows = ask()
    session.output.table(rows, COLUMNS)
    if not rows:
        session.hint("No jobs. Submit one: jasmin-arc submit -- PROGRAM ARGUMENT...")


def _watch(session: Session, ask: Callable[[], list[dict[str, Any]]], interval: float) -> None:
    if session.output.json or not session.output.is_terminal:
        raise click.UsageError("--watch needs a terminal; without it, 'jasmin-arc wait' waits")
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
                    problem = one_line(str(error))
                pause = max(interval, _REST * (time.monotonic() - begin))
                room = max(screen.size.height - 5, 1)
                slow = f", again in {pause:.0f} s" if pause > interval else ""
                live.update(_view(session, rows, room, f"{time.strftime('%H:%M:%S')}{slow}", problem), refresh=True)
                time.sleep(pause)
    finally:
        running = [row["id"] for row in rows if row["status"] not in ("completed", "failed", "unknown")]
        session.going_on(running)


def _view(session: Session, rows: Sequence[Row], room: int, when: str, problem: str) -> Any:
    """Return what the screen shows: a title, as many rows as there is room for, and what went wrong."""
    from rich.console import Group
    from rich.text import Text

    above = f" (the last {room})" if len(rows) > room else ""
    title = f"{_summary(rows)}{above}   {when}   Ctrl-C ends this view"
    shown = rows[-room:]
    table = make_table(shown, COLUMNS, session.short_ids([row["id"] for row in shown]))
    return Group(Text(title), "", table, Text(problem, style="red"))


def _summary(rows: Sequence[Row]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    return f"{len(rows)} jobs" + "".join(f", {count} {status}" for status, count in counts.items())


@click.command("status", cls=ArcCommand)
@selects_jobs
def status_command(session: Session, ids: list[str]) -> None:
    """Print the status of jobs."""
    session.output.table(_known(session, ids), COLUMNS)


def _known(session: Session, ids: list[str]) -> list[dict[str, Any]]:
    """Ask for the jobs, and report those that are not known."""
    if not ids:
        return []
    with session.busy("asking for the jobs"):
        infos = session.each(ids, lambda: session.arc.get_job_infos(ids))
    return [job_row(info) for info in infos.values() if info is not None]


@click.command("wait", cls=ArcCommand)
@selects_jobs
@click.option("-t", "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="The most seconds to wait.")
def wait_command(session: Session, ids: list[str], *, timeout: float | None) -> None:
    """Wait until jobs have ended.

    Prints each job's status. The exit code is 4 if a job failed, and 1 if time was up.
    """
    if not ids:
        return
    many = len(ids) > 1 and session.shows_progress
    session.going_on(ids)
    with session.busy("waiting", bar=many):
        statuses = _wait(session, ids, timeout, progress=many)
    session.going_on([])
    report_ends(session, statuses)


def _wait(session: Session, ids: list[str], timeout: float | None, *, progress: bool) -> dict[str, JobStatuses | None]:
    """Wait for the jobs; where time is up, report that, and return the statuses of those that have ended."""
    try:
        return session.each(ids, lambda: session.arc.wait(ids, timeout=timeout, progress=progress))
    except WaitTimeoutError as error:
        session.fail_with(error)
        ended = [job_id for job_id in ids if job_id not in error.unfinished]
        return session.each(ended, lambda: session.arc.get_job_statuses(ended)) if ended else {}


def report_ends(session: Session, statuses: dict[str, JobStatuses | None]) -> None:
    """Print how jobs ended, and note which failed."""
    names = session.names_of(list(statuses))
    rows = [
        {"id": job_id, "name": names.get(job_id, ""), "status": status.value}
        for job_id, status in statuses.items()
        if status is not None
    ]
    session.output.table(rows, (COLUMNS[0], COLUMNS[1], COLUMNS[5]))
    failed = [row["id"] for row in rows if row["status"] == JobStatuses.FAILED.value]
    if failed:
        say = "the job failed" if len(rows) == 1 else f"{len(failed)} of {len(rows)} jobs failed"
        why = f"'jasmin-arc explain {session.brief(failed[0])}' says why"
        session.fail(f"{say}; {why}", kind="JobFailedError", code=JOB_FAILED, job=failed[0])


@click.command("show", cls=ArcCommand)
@selects_jobs
def show_command(session: Session, ids: list[str]) -> None:
    """Print all that is known of jobs."""
    for number, row in enumerate(_known(session, ids)):
        if number and not session.output.json:
            session.output.stream("\n")
        session.output.record(row)


@click.command("explain", cls=ArcCommand)
@selects_jobs
def explain_command(session: Session, ids: list[str]) -> None:
    """Say why a job failed, or why it does not start."""
    for number, job_id in enumerate(ids):
        try:
            with session.busy("collecting the evidence"):
                explanation = session.arc.explain(job_id)
        except JobNotFoundError as error:
            session.fail_with(error, job=job_id)
            continue
        told = replace(
            explanation,
            summary=calls(explanation.summary),
            advice=session.repeatable(session.advice(explanation.advice, job=job_id)),
        )
        row = {"id": job_id, **{key: value for key, value in asdict(told).items() if key != "job_id"}}
        session.output.text(("\n" if number else "") + printable_lines(str(told)), row)
