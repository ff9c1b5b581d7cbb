"""Commands that start jobs: run, submit, resubmit, restart."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from jasmin_arc.cli.app import ArcCommand, TakesCommand
from jasmin_arc.cli.commands.files import print_as_it_comes
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.descriptions import describes_jobs, descriptions
from jasmin_arc.cli.exit_codes import FAILED, JOB_FAILED
from jasmin_arc.cli.selection import selects_jobs
from jasmin_arc.constants import STDERR_NAME, JobStatuses
from jasmin_arc.description import JobDescription
from jasmin_arc.display.columns import job_row, unknown_row
from jasmin_arc.exceptions import Advice, JasminArcError, JobNotFoundError, OutputError

_INTERRUPTED = Advice("{list} shows what was submitted, {recover} settles the rest")
_PRINTED_BY = Advice("the job has ended; {read_stderr} prints its stderr")
_SAVED_BY = Advice("the job has ended; {save} saves its outputs")


@click.command("submit", cls=TakesCommand)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path())
@describes_jobs
@click.option("--table", metavar="FILE", help="One job for each row of this CSV file; {column} is the row's value.")
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
    context.output.lines(rows, "id")
    if rows and context.gives_hints:
        first = context.brief(rows[0]["id"])
        context.hint(f"Watch: {context.program} status {first}   Results: {context.program} output {first}")


def _submit(context: Context, jobs: Sequence[JobDescription]) -> list[dict[str, str]]:
    """Submit the jobs, report failures, and return the ids and names of those that were submitted."""
    context.unsure(context.advice(_INTERRUPTED))
    places = [str(number) for number in range(len(jobs))]
    ids = context.each("submitting", places, partial(context.arc.submit_jobs, jobs), bar=True)
    context.unsure("")
    return [{"id": job_id, "name": jobs[int(place)].name} for place, job_id in ids.items()]


def _check(context: Context, jobs: Sequence[JobDescription]) -> None:
    with context.busy("asking the site"):
        rows = [{"name": job.name, "problems": context.arc.check(job)} for job in jobs]
    for row in rows:
        text = "".join(f"{row['name']}: {problem}\n" for problem in row["problems"])
        context.output.text(text or f"{row['name']}: nothing stands in the way\n", row)
        if row["problems"]:
            context.codes.append(FAILED)


@click.command("run", cls=TakesCommand)
@click.argument("file", required=False, type=click.Path())
@describes_jobs
@click.option("--save", "directory", metavar="DIRECTORY", help="Save the job's outputs there.")
@click.option("--overwrite", is_flag=True, help="With --save: replace files that are there already.")
@click.pass_obj
def run_command(
    context: Context,
    /,
    file: str | None,
    command: list[str] | None,
    directory: str | None,
    overwrite: bool,
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
    if overwrite and directory is None:
        raise click.UsageError("--overwrite is about the files that --save writes; name their folder with --save")
    if directory is not None and not overwrite and _is_in_the_way(context, job, directory):
        return
    submitted = _submit(context, [job])
    if not submitted:
        return
    job_id = submitted[0]["id"]
    row = {**unknown_row(job_id, job.name), "stdout": "", "stderr": "", "directory": None}
    # Here already, so that it is reported too if what follows fails or is interrupted.
    context.output.results.append(row)
    context.going_on([job_id], "follow")
    print_as_it_comes(context, row, "stdout", f"running {context.brief(job_id)}")
    row.update(job_row(context.arc.get_job_info(job_id), job.name))
    _print_stderr(context, row)
    context.going_on([])
    if directory is not None:
        _save(context, row, directory, overwrite=overwrite)
    if row["status"] != JobStatuses.COMPLETED.value:
        _report_failure(context, job_id, row["exit_code"])


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


def _report_failure(context: Context, job_id: str, exit_code: int | None) -> None:
    code = exit_code if exit_code is not None and 0 < exit_code < 256 else JOB_FAILED
    told = f" with exit code {exit_code}" if exit_code else ""
    text = f"the job failed{told}; {context.command(f'explain {context.brief(job_id)}')} says why"
    # Scripts go by the job's own code; an output that could not be read or saved has been told, and must not hide it.
    context.codes.clear()
    context.fail(text, kind="JobFailedError", code=code, job=job_id)


@click.command("resubmit", cls=ArcCommand)
@selects_jobs
def resubmit_command(context: Context, ids: list[str]) -> None:
    """Submit the same again, as new jobs.

    Prints the new ids. The old jobs stay as they are.
    """
    context.unsure(context.advice(_INTERRUPTED))
    new = context.each("submitting", ids, partial(context.arc.resubmit_jobs, ids), bar=True)
    context.output.lines([{"id": job_id, "resubmission_of": old} for old, job_id in new.items()], "id")


@click.command("restart", cls=ArcCommand)
@selects_jobs
def restart_command(context: Context, ids: list[str]) -> None:
    """Let the site take up failed jobs at the step that failed, under their ids.

    Only jobs that were submitted with --rerun can be restarted. A program that ran and failed is not run again so: use
    resubmit for that.
    """
    done = context.each("restarting", ids, partial(context.arc.restart_jobs, ids))
    context.output.done(done, "restarted")
