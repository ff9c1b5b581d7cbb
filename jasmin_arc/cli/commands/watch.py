"""Commands that ask: list, status, wait, show, explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import one_line, printable_lines
from jasmin_arc._support.values import status_words
from jasmin_arc.cli.app import ArcCommand
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.exit_codes import JOB_FAILED, code_of
from jasmin_arc.cli.groups import ENDED, SHOWN, counts, options_for, tell
from jasmin_arc.cli.output import console
from jasmin_arc.cli.parameters import Seconds
from jasmin_arc.cli.selection import complete_job, filters, named, refuse_filters, selects_jobs
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.description import JobDescription, what_was_run
from jasmin_arc.display.columns import ENDS, JOBS, Row, job_row, unknown_row
from jasmin_arc.display.tables import make_table
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError, WaitTimeoutError
from jasmin_arc.job_info import JobInfo

if TYPE_CHECKING:
    from jasmin_arc.job_list import JobSummary

_INTERVAL = "The least seconds between updates (default: 2); more if the site answers slowly, and 30 with Slurm."
_REST = 19
"""The pause after an update, in multiples of the time that the update took: the view uses at most a twentieth of the
site's time"""


@click.command("list", cls=ArcCommand)
@click.argument("words", nargs=-1, shell_complete=complete_job, metavar="[JOB|-]...")
@filters
@click.option("-a", "--all", "everything", is_flag=True, help=f"On a terminal, more than the newest {SHOWN} too.")
@click.option("-w", "--watch", is_flag=True, help="Keep the list on the screen and up to date, until Ctrl-C.")
@click.option("--interval", type=Seconds(0.5), default=2.0, metavar="DURATION", help=_INTERVAL)
@click.pass_obj
def list_command(
    context: Context, /, *, words: Sequence[str], everything: bool, watch: bool, interval: float, **wanted: Any
) -> None:
    """List jobs.

    All that are in the job list or at the site, the oldest first; a terminal shows the newest of them. Those that only
    the site knows come before the others.
    With JOB, --name, --since or --last, only those in the job list.
    """
    if words:
        refuse_filters(wanted)
    ids = named(context, words) if words else []

    def find() -> list[str]:
        return ids if words else context.arc.list_jobs(**wanted)

    if watch:
        _watch(context, find, interval)
        return
    with context.busy("asking for the jobs"):
        found = find()
        all_of_them = everything or wanted["last"] is not None or not context.shows_tables
        shown = found if all_of_them else found[-SHOWN:]
        rows = _rows(context, shown)
        going = _going_on(context, found[: len(found) - len(shown)])
    context.output.table(rows, JOBS)
    if len(shown) < len(found):
        more = f" {going} of the others {'has' if going == 1 else 'have'} not ended." if going else ""
        told = f"The newest {len(shown)} of {len(found)} jobs.{more}"
        # The same command, as all of some jobs may be meant.
        tell(context, [], f"{told} With --all, all are shown.")
    if not rows:
        submit = f"No jobs. Submit one: {context.program} submit -- PROGRAM ARGUMENT..."
        context.hint("No such jobs." if any(wanted.values()) else submit)


def _going_on(context: Context, ids: Sequence[str]) -> int:
    """Return how many of the jobs have not ended, as far as can be told now: they must not be overlooked."""
    try:
        return sum(row["status"] not in (*ENDED, "unknown") for row in _in_short(context, ids))
    except JasminArcError:
        return 0


def _in_short(context: Context, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return id, status and state of each; the place is asked only for those whose end was not seen."""
    ends = {job_id: job.final_state for job_id, job in context.summaries_of(ids).items() if job.final_state}
    unseen = [job_id for job_id in ids if job_id not in ends]
    try:
        answers: Sequence[Any] = context.arc.get_job_statuses(unseen) if unseen else []
    except PartialFailureError as error:
        answers = error.results
    statuses = {job_id: answer for job_id, answer in zip(unseen, answers) if isinstance(answer, JobStatuses)}
    statuses.update((job_id, end.status) for job_id, end in ends.items())
    words = {job_id: statuses[job_id].value if job_id in statuses else "unknown" for job_id in ids}
    return [{"id": job_id, "status": words[job_id], "state": ends.get(job_id, "")} for job_id in ids]


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


def _watch(context: Context, find: Callable[[], list[str]], interval: float) -> None:
    if not context.shows_tables:
        raise click.UsageError(f"--watch needs a terminal; without it, {context.command('wait')} waits")
    from rich.live import Live

    rows: list[dict[str, Any]] = []
    screen = console()
    try:
        with Live(console=screen, screen=True, auto_refresh=False) as live:
            while True:
                problem, begin = "", time.monotonic()
                try:
                    rows = _watched(context, find(), _room(screen))
                except JasminArcError as error:
                    problem = one_line(context.told(error))
                pause = max(interval, _REST * (time.monotonic() - begin), context.arc.backend.pace.view)
                slow = f", again in {pause:.0f} s" if pause > interval else ""
                view = _view(context, rows, f"{time.strftime('%H:%M:%S')}{slow}", problem, screen)
                live.update(view, refresh=True)
                time.sleep(pause)
    finally:
        context.going_on([row["id"] for row in rows if row["status"] not in (*ENDED, "unknown")])


def _room(screen: Any) -> int:
    """Return how many rows there is room for."""
    return max(int(screen.size.height) - 5, 1)


def _watched(context: Context, ids: Sequence[str], room: int) -> list[dict[str, Any]]:
    """Return a row for each job: all that is known of those that are shown, the status of the others."""
    split = max(len(ids) - room, 0)
    return [*_in_short(context, ids[:split]), *_rows(context, ids[split:])]


def _view(context: Context, rows: Sequence[Row], when: str, problem: str, screen: Any) -> Any:
    """Return what the screen shows: a title, as many rows as there is room for, and what went wrong."""
    from rich.console import Group
    from rich.text import Text

    # Only so many rows as were asked for: the screen may have grown meanwhile.
    shown = [row for row in rows if "name" in row][-_room(screen) :]
    above = f" (the last {len(shown)})" if len(rows) > len(shown) else ""
    title = f"{counts(rows)}{above}   {when}   Ctrl-C ends this view"
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
    """Print all that is known of jobs.

    What was run is told from the job list; of the environment, the names of the variables.
    """
    descriptions = context.descriptions_of(ids)
    for number, row in enumerate(_known(context, ids)):
        if number:
            context.output.stream(b"\n")
        job = descriptions.get(row["id"])
        complete = {**row, "description": what_was_run.for_json(job) if job else None}
        context.output.record(complete, _for_people(context, row, job))


def _for_people(context: Context, row: Row, job: JobDescription | None) -> Row:
    """Return what is shown of a job: first what it is, then what was run, then the rest."""
    head = {key: row[key] for key in ("id", "name", "status", "state", "native_state", "reason")}
    shown = {**head, **(what_was_run.for_people(job) if job else {}), **row}
    if context.shows_tables:
        shown["status"] = status_words(row["status"], row["state"])
    return shown


def _known(context: Context, ids: list[str]) -> list[dict[str, Any]]:
    """Ask for the jobs, and report those that are not known."""
    infos = context.each("asking for the jobs", ids, partial(context.arc.get_job_infos, ids))
    return [job_row(info) for info in infos.values()]


@click.command("wait", cls=ArcCommand)
@selects_jobs
@click.option("-t", "--timeout", type=Seconds(), metavar="DURATION", help="The most time to wait, such as 5m.")
def wait_command(context: Context, ids: list[str], *, timeout: float | None) -> None:
    """Wait until jobs have ended.

    Prints each job's status. The exit code is 4 if a job failed, and 1 if time was up.
    """
    context.going_on(ids)
    try:
        statuses = context.each("waiting", ids, partial(context.arc.wait, ids, timeout=timeout), bar=True)
    except WaitTimeoutError as error:
        _report_timeout(context, ids, error, timeout)
        ended = [job_id for job_id in ids if job_id not in error.unfinished]
        statuses = context.each("asking for the jobs", ended, partial(context.arc.get_job_statuses, ended))
    context.going_on([])
    rows = _ends(context, statuses)
    _print_ends(context, rows)
    _report_failures(context, rows)


def _report_timeout(context: Context, ids: Sequence[str], error: WaitTimeoutError, timeout: float | None) -> None:
    names = context.names_of(error.unfinished)
    these = options_for(context, {job_id: names.get(job_id, "") for job_id in error.unfinished})
    left = "the job has" if len(ids) == 1 else f"{len(error.unfinished)} of {len(ids)} jobs have"
    after = f" after {duration(timedelta(seconds=timeout))}" if timeout else " yet"
    text = f"{left} not ended{after}; {context.command(f'wait {these}')} waits again"
    context.fail(text, kind=type(error).__name__, code=code_of(error))


def _ends(context: Context, statuses: Mapping[str, JobStatuses]) -> list[dict[str, Any]]:
    known = context.summaries_of(list(statuses))
    states = {job_id: job.final_state for job_id, job in known.items() if job.final_state}
    # A bulk answer does not tell jobs that were cancelled from those that failed by themselves.
    failed = [job_id for job_id, end in statuses.items() if end is JobStatuses.FAILED]
    if known:
        states.update(_states(context, [job_id for job_id in failed if states.get(job_id) != JobState.KILLED]))
    return [
        {
            "id": job_id,
            "name": known[job_id].name if job_id in known else "",
            "status": end.value,
            "state": states.get(job_id, ""),
        }
        for job_id, end in statuses.items()
    ]


def _states(context: Context, ids: Sequence[str]) -> dict[str, JobState]:
    """Return the states of jobs, as far as they can be told now."""
    answers: Sequence[Any] = []
    try:
        answers = context.arc.get_job_infos(ids) if ids else []
    except PartialFailureError as error:
        answers = error.results
    except JasminArcError:
        pass
    return {answer.id: answer.state for answer in answers if isinstance(answer, JobInfo)}


def _print_ends(context: Context, rows: list[dict[str, Any]]) -> None:
    """Print how jobs ended; a person sees of very many those first that did not succeed."""
    if len(rows) < 2 or not context.shows_tables:
        context.output.table(rows, ENDS)
        return
    if len(rows) > SHOWN:
        context.output.print_table(sorted(rows, key=lambda row: str(row["status"]) == "completed")[:SHOWN], ENDS)
        tell(context, rows, f"{counts(rows)}; {SHOWN} of them are shown")
    else:
        context.output.table(rows, ENDS)
        tell(context, [], counts(rows))


def _report_failures(context: Context, rows: Sequence[Row]) -> None:
    failed = {row["id"]: row["name"] for row in rows if status_words(row["status"], row["state"]) == "failed"}
    cancelled = [row["id"] for row in rows if status_words(row["status"], row["state"]) == "cancelled"]
    if not failed and not cancelled:
        return
    text = _how_many(len(failed), len(cancelled), len(rows))
    if failed:
        text += f"; {context.command(f'explain {_those_failed(context, failed, rows)}')} says why"
    context.fail(text, kind="JobFailedError", code=JOB_FAILED, job=[*failed, *cancelled][0])


def _how_many(failed: int, cancelled: int, total: int) -> str:
    if total == 1:
        return "the job failed" if failed else "the job was cancelled"
    were = f"{'was' if cancelled == 1 else 'were'} cancelled"
    if not failed:
        return f"{cancelled} of {total} jobs {were}"
    return f"{failed} of {total} jobs failed" + (f" and {cancelled} {were}" if cancelled else "")


def _those_failed(context: Context, failed: Mapping[str, str], rows: Sequence[Row]) -> str:
    ended = {row["id"]: row["status"] == "failed" for row in rows}

    def may_have_failed(job: JobSummary) -> bool:
        return bool(ended.get(job.id, job.final_state is None or job.final_state.status is JobStatuses.FAILED))

    return options_for(context, failed, status="--status failed", may_have=may_have_failed)


@click.command("explain", cls=ArcCommand)
@selects_jobs
def explain_command(context: Context, ids: list[str]) -> None:
    """Say why a job failed, or why it does not start."""
    gap = ""
    for job_id in ids:
        try:
            with context.busy("collecting the evidence"):
                explanation = context.arc.explain(job_id)
        except JobNotFoundError as error:
            context.fail_with(error, job=job_id)
            continue
        told = replace(explanation, advice=context.advice(explanation.advice, job_id))
        row = {"id": job_id, **{key: value for key, value in asdict(told).items() if key != "job_id"}}
        context.output.text(gap + printable_lines(str(told)), row, prose=True)
        gap = "\n"
