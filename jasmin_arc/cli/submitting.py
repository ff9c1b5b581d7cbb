"""Commands that start jobs: run, submit, resubmit, restart."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from jasmin_arc.cli.common import ArcCommand, TakesCommand
from jasmin_arc.cli.describing import describes_jobs, descriptions, take_fields
from jasmin_arc.cli.exits import FAILED, JOB_FAILED
from jasmin_arc.cli.selecting import selects_jobs
from jasmin_arc.cli.session import Session
from jasmin_arc.cli.watching import job_row
from jasmin_arc.constants import STDERR_NAME, JobStatuses
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JobNotFoundError

_INTERRUPTED = "'jasmin-arc list' shows what was submitted, 'jasmin-arc recover' settles the rest"


@click.command("submit", cls=TakesCommand)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@describes_jobs
@click.option("--table", metavar="FILE", help="One job for each row of this CSV file; {column} is the row's value.")
@click.option("--check", is_flag=True, help="Send nothing; say what at the site stands in the way.")
@click.pass_context
def submit_command(
    context: click.Context, /, files: tuple[str, ...], table: str | None, check: bool, **fields: Any
) -> None:
    """Submit jobs and print their ids.

    What to run is a command after --, or FILEs with job descriptions: .xrsl, .adl, .xml, .jsdl, .json. Options
    override what a file says.

    \b
      jasmin-arc submit -i model.py -o result.nc -t 2h -- python3 model.py 1961
      jasmin-arc submit --table years.csv -i model.py -- python3 model.py {year}
      jasmin-arc submit *.xrsl
    """
    session = context.find_object(Session) or Session()
    jobs = descriptions(files, context.meta.get("command_line"), table, take_fields(fields))
    if check:
        _check(session, jobs)
        return
    ids = _submit(session, jobs)
    session.output.lines([{"id": job_id, "name": jobs[number].name} for number, job_id in ids.items()], "id")
    if ids:
        first = session.brief(next(iter(ids.values())))
        session.hint(f"Watch: jasmin-arc status {first}   Results: jasmin-arc output {first}")


def _submit(session: Session, jobs: Sequence[JobDescription]) -> dict[int, str]:
    """Submit the jobs, report failures, and return the ids by the jobs' places."""
    many = len(jobs) > 1 and session.shows_progress
    session.unsure(_INTERRUPTED)
    places = [str(number) for number in range(len(jobs))]
    with session.busy("submitting"):
        results = session.each(places, lambda: session.arc.submit_jobs(jobs, progress=many), named=False)
    session.unsure("")
    return {int(place): job_id for place, job_id in results.items() if job_id is not None}


def _check(session: Session, jobs: Sequence[JobDescription]) -> None:
    rows = []
    with session.busy("asking the site"):
        for job in jobs:
            rows.append({"name": job.name, "problems": session.arc.check(job)})
    for row in rows:
        text = "".join(f"{row['name']}: {problem}\n" for problem in row["problems"])
        session.output.text(text or f"{row['name']}: nothing stands in the way\n", row)
        if row["problems"]:
            session.codes.append(FAILED)


@click.command("run", cls=TakesCommand)
@click.argument("file", required=False, type=click.Path())
@describes_jobs
@click.option("--save", "directory", metavar="DIRECTORY", help="Save the job's outputs there.")
@click.pass_context
def run_command(context: click.Context, /, file: str | None, directory: str | None, **fields: Any) -> None:
    """Submit a job, wait, print its output, exit with its code.

    What to run is a command after --, or a FILE with a job description. Standard output is printed as it comes,
    standard error at the end. Without an exit code of its own, a job that failed gives 4.

    \b
      jasmin-arc run -- hostname -f
      jasmin-arc run -i model.py -o result.nc --save results -- python3 model.py 1961
    """
    session = context.find_object(Session) or Session()
    files = (file,) if file is not None else ()
    jobs = descriptions(files, context.meta.get("command_line"), None, take_fields(fields))
    job_id = _submit(session, jobs).get(0)
    if job_id is None:
        return
    session.going_on([job_id], "follow")
    text = _print_output(session, job_id)
    info = session.arc.get_job_info(job_id)
    errors = _read(session, job_id, STDERR_NAME)
    if not session.output.json:
        sys.stdout.flush()
        sys.stderr.write(errors)
    saved = session.arc.save_job_outputs(job_id, directory=directory) if directory else None
    session.going_on([])
    session.output.results.append({**job_row(info), "stdout": text, "stderr": errors, "directory": saved})
    if info.status is not JobStatuses.COMPLETED:
        _report_failure(session, job_id, info.exit_code)


def _print_output(session: Session, job_id: str) -> str:
    parts = []
    with session.busy(f"running {session.brief(job_id)}"):
        for text in session.arc.follow(job_id):
            session.quiet()
            session.output.stream(text)
            if session.output.json:
                parts.append(text)
    return "".join(parts)


def _read(session: Session, job_id: str, name: str) -> str:
    try:
        return session.arc.read(job_id, name)
    except JobNotFoundError:
        return ""


def _report_failure(session: Session, job_id: str, exit_code: int | None) -> None:
    code = exit_code if exit_code is not None and 0 < exit_code < 256 else JOB_FAILED
    told = f" with exit code {exit_code}" if exit_code else ""
    text = f"the job failed{told}; 'jasmin-arc explain {session.brief(job_id)}' says why"
    session.fail(text, kind="JobFailedError", code=code, job=job_id)


@click.command("resubmit", cls=ArcCommand)
@selects_jobs
def resubmit_command(session: Session, ids: list[str]) -> None:
    """Submit the same again, as new jobs.

    Prints the new ids. The old jobs stay as they are.
    """
    if not ids:
        return
    session.unsure(_INTERRUPTED)
    many = len(ids) > 1 and session.shows_progress
    with session.busy("submitting"):
        new = session.each(ids, lambda: session.arc.resubmit_jobs(ids, progress=many))
    session.output.lines([{"id": job_id, "resubmission_of": old} for old, job_id in new.items()], "id")


@click.command("restart", cls=ArcCommand)
@selects_jobs
def restart_command(session: Session, ids: list[str]) -> None:
    """Let the site take up failed jobs at the step that failed, under their ids.

    Only jobs that were submitted with --rerun can be restarted. A program that ran and failed is not run again so: use
    resubmit for that.
    """
    if ids:
        with session.busy("restarting"):
            done = session.each(ids, lambda: session.arc.restart_jobs(ids))
        session.output.done(list(done), "restarted")
