"""Commands that start jobs: run, submit, resubmit, restart."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from jasmin_arc._support.text import first_few, one_line
from jasmin_arc._support.values import status_words
from jasmin_arc.cli.app import ArcCommand, TakesCommand
from jasmin_arc.cli.commands.files import print_as_it_comes
from jasmin_arc.cli.completion import complete_directory, complete_file
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.descriptions import describes_jobs, descriptions
from jasmin_arc.cli.exit_codes import FAILED, JOB_FAILED
from jasmin_arc.cli.groups import called, tell, tell_done, tell_submitted
from jasmin_arc.cli.selection import selects_jobs
from jasmin_arc.constants import STDERR_NAME, JobStatuses
from jasmin_arc.description import JobDescription
from jasmin_arc.display.columns import Row, job_row, unknown_row
from jasmin_arc.exceptions import Advice, JasminArcError, JobNotFoundError, NoTargetsAvailableError, OutputError

_ASK_EVERY = 2.0
"""Seconds"""
_WAITING = (JobStatuses.NOT_SUBMITTED, JobStatuses.NOT_STARTED)
_INTERRUPTED = Advice("{list} shows what was submitted, {recover} settles the rest")
_UNSETTLED = Advice("{recover} settles what was left unfinished")
_PRINTED_BY = Advice("the job has ended; {read_stderr} prints its stderr")
_SAVED_BY = Advice("the job has ended; {save} saves its outputs")


@click.command("submit", cls=TakesCommand)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@describes_jobs
@click.option(
    "--table",
    metavar="FILE",
    shell_complete=complete_file,
    help="One job for each row of this CSV file; {column} is the row's value.",
)
@click.option("--check", is_flag=True, help="Send nothing; say what at the site stands in the way.")
@click.pass_obj
def submit_command(
    context: Context, /, files: list[str], command: list[str] | None, table: str | None, check: bool, **fields: Any
) -> None:
    """Submit jobs and print their ids.

    What to run is a command after --, or FILEs with job descriptions: .xrsl, .adl, .xml, .jsdl, .json. Options
    override what a file says.

    \b
      jasmin-arc submit -i model.py -o result.nc -t 2h -- python3 model.py 1961
      jasmin-arc submit --table years.csv -i model.py -- python3 model.py {year}
      jasmin-arc submit *.xrsl
    """
    jobs = descriptions(files, command, table, fields)
    if check:
        _check(context, jobs)
        return
    rows = _submit(context, jobs)
    tell_submitted(context, rows, {row["id"]: row["name"] for row in rows})


def _submit(context: Context, jobs: Sequence[JobDescription]) -> list[dict[str, str]]:
    """Submit the jobs, report failures, and return the ids and names of those that were submitted."""
    places = [str(number) for number in range(len(jobs))]
    ids = _started(context, places, partial(context.arc.submit_jobs, jobs))
    return [{"id": job_id, "name": jobs[int(place)].name} for place, job_id in ids.items()]


def _started(context: Context, keys: Sequence[str], call: Callable[..., Any]) -> dict[str, str]:
    """Make a call that submits jobs, and return the new ids by the keys of the jobs."""
    context.unsure(context.advice(_INTERRUPTED))
    try:
        new = context.each("submitting", keys, call, bar=True)
    except JasminArcError as error:
        # No job runs: the library tells of each what became of it wherever one may run.
        was_sent = not isinstance(error, NoTargetsAvailableError)
        context.unsure(context.advice(_UNSETTLED) if was_sent and context.has_unsettled_jobs() else "")
        raise
    context.unsure("")
    return new


def _check(context: Context, jobs: Sequence[JobDescription]) -> None:
    with context.busy("asking the site"):
        found = context.arc.check_jobs(jobs)
    rows = [{"name": job.name, "problems": problems} for job, problems in zip(jobs, found)]
    if any(row["problems"] for row in rows):
        context.codes.append(FAILED)
    if len(rows) > 1 and context.shows_tables:
        tell(context, rows, "\n".join(_in_short(rows)))
        return
    for row in rows:
        problems = row["problems"] or ["nothing stands in the way"]
        context.output.text("".join(f"{row['name']}: {problem}\n" for problem in problems), row, prose=True)


def _in_short(rows: Sequence[Row]) -> list[str]:
    """Return a line for each problem, and one for the jobs that have none."""
    names: dict[str, list[str]] = {}
    for row in rows:
        for problem in row["problems"] or ["nothing stands in the way"]:
            names.setdefault(problem, []).append(row["name"])
    return [
        f"{len(jobs)} jobs, {called(jobs)}: {problem}" if len(jobs) > 1 else f"{one_line(jobs[0])}: {problem}"
        for problem, jobs in names.items()
    ]


@click.command("run", cls=TakesCommand)
@click.argument("file", required=False, type=click.Path())
@describes_jobs
@click.option(
    "--save", "directory", metavar="DIRECTORY", shell_complete=complete_directory, help="Save the job's outputs there."
)
@click.option("--overwrite", is_flag=True, help="With --save: replace files that are there already.")
@click.option("--clean", is_flag=True, help="Erase the job afterwards, if it completed and nothing is left to fetch.")
@click.pass_obj
def run_command(
    context: Context,
    /,
    file: str | None,
    command: list[str] | None,
    directory: str | None,
    overwrite: bool,
    clean: bool,
    **fields: Any,
) -> None:
    """Submit a job, wait, print its output, exit with its code.

    What to run is a command after --, or a FILE with a job description. Standard output is printed as it comes,
    standard error at the end. Without an exit code of its own, a job that failed gives 4.

    \b
      jasmin-arc run -- hostname -f
      jasmin-arc run -i model.py -o result.nc --save results -- python3 model.py 1961
    """
    (job,) = descriptions([file] if file is not None else [], command, None, fields)
    if directory is None:
        _refuse_without_folder(job, overwrite=overwrite, clean=clean, json=context.output.json)
    elif not overwrite and _is_in_the_way(context, job, directory):
        return
    submitted = _submit(context, [job])
    if not submitted:
        return
    job_id = submitted[0]["id"]
    row = {**unknown_row(job_id, job.name), "stdout": "", "stderr": "", "directory": None}
    # Here already, so that it is reported too if what follows fails or is interrupted.
    context.output.results.append(row)
    context.going_on([job_id], "follow")
    print_as_it_comes(context, row, "stdout", _Progress(context, job_id))
    info = context.arc.get_job_info(job_id)
    row.update(job_row(info, job.name))
    _print_stderr(context, row)
    context.going_on([])
    if info.missing_outputs and directory is None:
        # Else saving says it.
        context.say(f"warning: the job did not make {first_few(info.missing_outputs)}")
    if directory is not None:
        _save(context, row, directory, overwrite=overwrite)
    if row["status"] != JobStatuses.COMPLETED.value:
        _report_failure(context, row)
    elif clean and not context.codes:
        _erase(context, row)


class _Progress:
    """Says of a job whether it waits or runs; asked at most every two seconds, and no more once it runs."""

    def __init__(self, context: Context, job_id: str) -> None:
        self._context, self._job_id, self._short = context, job_id, context.brief(job_id)
        self._status = JobStatuses.NOT_STARTED
        self._ask_at = 0.0

    def __call__(self) -> str:
        if self._status in _WAITING and time.monotonic() >= self._ask_at:
            # These words are an extra: the command itself is told of all that goes wrong.
            with contextlib.suppress(Exception):
                self._status = self._context.arc.get_job_status(self._job_id)
            self._ask_at = time.monotonic() + _ASK_EVERY
        return f"{'queued' if self._status in _WAITING else 'running'} {self._short}"


def _refuse_without_folder(job: JobDescription, *, overwrite: bool, clean: bool, json: bool) -> None:
    """Refuse options that need the folder of ``--save``."""
    if overwrite:
        raise click.UsageError("--overwrite is about the files that --save writes; name their folder with --save")
    if clean and None in (job.outputs or {}).values():
        raise click.UsageError("--clean would erase the job's outputs too; name a folder for them with --save")
    if clean and json:
        # The document is written last: on a full disk, what the job printed would be lost with the job.
        raise click.UsageError("--clean erases the job before its JSON is written; name a folder with --save, too")


def _is_in_the_way(context: Context, job: JobDescription, directory: str) -> bool:
    """Say so before the job runs, where it is plain that its outputs cannot be saved."""
    names = job.outputs if job.outputs is not None else {context.arc.config.OUTPUT_FILE: None}
    kept = [name for name, target in names.items() if target is None]
    paths = (Path(directory).expanduser() / name for name in (*kept, "stdout.txt", "stderr.txt"))
    there = next((path for path in paths if path.is_file()), None)
    if there is not None:
        text = f"{there} is there already; nothing was submitted; --overwrite replaces it"
        context.fail(text, kind=OutputError.__name__)
    return there is not None


def _print_stderr(context: Context, row: dict[str, Any]) -> None:
    """Print the job's standard error, and note it in its row."""
    errors = b""
    try:
        errors = context.arc.read(row["id"], STDERR_NAME, encoding=None)
    except JobNotFoundError:
        pass
    except JasminArcError as error:
        # The job's end is known already: its outputs and its exit code must not be lost with this file.
        context.fail_with(error, job=row["id"])
        context.say(context.advice(_PRINTED_BY, row["id"]))
    row["stderr"] = errors.decode("utf-8", "replace")
    if not context.output.json:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stderr.buffer.write(errors)
        sys.stderr.flush()


def _save(context: Context, row: dict[str, Any], directory: str, *, overwrite: bool) -> None:
    context.unsure(context.advice(_SAVED_BY, row["id"]))
    try:
        row["directory"] = context.arc.save_job_outputs(row["id"], directory=directory, overwrite=overwrite)
    except JasminArcError as error:
        context.fail_with(error, job=row["id"])
        context.say(context.how_to_get_back())
    context.unsure("")


def _erase(context: Context, row: dict[str, Any]) -> None:
    """Erase a job whose files have all been printed or saved; else say why it stays, which is no failure of the job."""
    default, printed, why = context.arc.config.OUTPUT_FILE, row["directory"] is None, ""
    try:
        # A description that names no outputs keeps this one.
        if printed and default.partition("/")[0] in {file.name for file in context.arc.list_files(row["id"])}:
            why = f"its output {default!r} was not saved; --save saves it"
        else:
            context.arc.clean_jobs([row["id"]], force=printed)
    except JasminArcError as error:
        why = context.told(error)
    row["erased"] = not why
    if why:
        context.say(f"warning: the job was not erased: {why}")


def _report_failure(context: Context, row: Row) -> None:
    job_id, exit_code = row["id"], row["exit_code"]
    code = exit_code if exit_code is not None and 0 < exit_code < 256 else JOB_FAILED
    told = f" with exit code {exit_code}" if exit_code else ""
    text = f"the job failed{told}; {context.command(f'explain {context.brief(job_id)}')} says why"
    if status_words(row["status"], row["state"]) == "cancelled":
        text = "the job was cancelled"
    # Scripts go by the job's own code; an output that could not be read or saved has been told, and must not hide it.
    context.codes.clear()
    context.fail(text, kind="JobFailedError", code=code, job=job_id)


@click.command("resubmit", cls=ArcCommand)
@selects_jobs
def resubmit_command(context: Context, ids: list[str]) -> None:
    """Submit the same again, as new jobs.

    Prints the new ids. The old jobs stay as they are.
    """
    new = _started(context, ids, partial(context.arc.resubmit_jobs, ids))
    rows = [{"id": job_id, "resubmission_of": old} for old, job_id in new.items()]
    names = context.names_of(list(new.values())) if context.shows_tables else {}
    tell_submitted(context, rows, {job_id: names.get(job_id, "") for job_id in new.values()})


@click.command("restart", cls=ArcCommand)
@selects_jobs
def restart_command(context: Context, ids: list[str]) -> None:
    """Let the site take up failed jobs at the step that failed, under their ids.

    Only jobs that were submitted with --rerun can be restarted. A program that ran and failed is not run again so: use
    resubmit for that.
    """
    done = context.each("restarting", ids, partial(context.arc.restart_jobs, ids))
    tell_done(context, done, "restarted")
