"""Commands about the files of jobs: output, files, cat, follow."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import click

from jasmin_arc._support.suggestions import nearest
from jasmin_arc._support.text import one_line
from jasmin_arc.cli.app import ArcCommand
from jasmin_arc.cli.completion import complete_directory
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.exit_codes import code_of
from jasmin_arc.cli.groups import FEW, MANY, tell
from jasmin_arc.cli.selection import selects_by_one_word, selects_jobs, selects_one_job
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME
from jasmin_arc.display.columns import FILES
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, OutputError, ServerError

_MAX_FILES = 10
"""Files that are named where another one was asked for"""


@click.command("output", cls=ArcCommand)
@click.option(
    "-d",
    "--dir",
    "directory",
    default=".",
    metavar="DIRECTORY",
    shell_complete=complete_directory,
    help="Where to save them (default: here).",
)
@click.option("--file", "patterns", multiple=True, metavar="PATTERN", help="Save these instead of the job's outputs.")
@click.option("--overwrite", is_flag=True, help="Replace files that are there already.")
@selects_jobs
def output_command(
    context: Context, ids: list[str], *, directory: str, patterns: tuple[str, ...], overwrite: bool
) -> None:
    """Download the outputs of jobs.

    Each job's outputs go into a folder of their own, called NAME-ID with the short id, and the folders are printed.
    Standard output and error are saved as stdout.txt and stderr.txt. The jobs stay at the site until 'clean'.
    """
    wanted = list(patterns) or None
    save = partial(context.arc.save_outputs, ids, directory, files=wanted, overwrite=overwrite)
    saved = context.each("downloading", ids, save, bar=True)
    rows = [{"id": job_id, "directory": folder} for job_id, folder in saved.items() if folder is not None]
    if len(rows) > MANY and context.shows_tables:
        tell(context, rows, f"the outputs of {len(rows)} jobs are in {directory}, each in a folder of its own")
    else:
        context.output.lines(rows, "directory")
    missing = [job_id for job_id, folder in saved.items() if folder is None]
    # Of many jobs, what is said of each is the same but for the id, and so is one line.
    names = context.short_ids(missing) if len(missing) <= FEW else {job_id: job_id for job_id in missing}
    context.fail_many({job_id: _nothing_to_save(context, name) for job_id, name in names.items()}, of=len(ids))


def _nothing_to_save(context: Context, job: str) -> OutputError:
    return OutputError(f"there is nothing to save of {job}", advice=f"{context.command(f'show {job}')} tells its state")


@click.command("files", cls=ArcCommand)
@selects_one_job
@click.argument("path", default="")
def files_command(context: Context, job_id: str, *, path: str) -> None:
    """List a job's files.

    PATH is one of its folders. Files can be listed while the job runs.
    """
    with context.busy("asking for the files"):
        files = context.arc.list_files(job_id, path)
    rows = [
        {"name": file.name + ("/" if file.is_dir else ""), "size": file.size, "is_dir": file.is_dir} for file in files
    ]
    context.output.table(rows, FILES)


@click.command("cat", cls=ArcCommand)
@selects_by_one_word
@click.argument("names", nargs=-1, metavar="[FILE]...")
def cat_command(context: Context, ids: list[str], *, names: Sequence[str]) -> None:
    """Print files of a job, also while it runs.

    FILE is stdout by default, and may be stderr or any that 'files' shows. JOB may be a pattern such as 'model-*': then
    the files of all these jobs are printed one after another, on a terminal with a line above each that tells the job.
    """
    titles = _titles(context, ids) if len(ids) > 1 and context.shows_tables else {}
    names = names or (STDOUT_NAME,)
    without: dict[str, dict[str, JasminArcError]] = {name: {} for name in names}
    for job_id in ids:
        if job_id in titles:
            context.output.stream(titles[job_id].encode(errors="replace"))
        for name in names:
            try:
                _print(context, job_id, name)
            except JobNotFoundError as error:
                without[name][job_id] = error
    for name, errors in without.items():
        _fail_without(context, errors, name, of=len(ids))


def _fail_without(context: Context, errors: Mapping[str, JasminArcError], name: str, *, of: int) -> None:
    """Report the jobs that have no such file; what is there instead is looked up for few only."""
    if len(errors) > FEW:
        context.fail_many(errors, of=of)
        return
    for job_id, error in errors.items():
        _fail_without_file(context, error, job_id, name)


def _titles(context: Context, ids: Sequence[str]) -> dict[str, str]:
    names, short = context.names_of(ids), context.short_ids(ids)
    titles = {job_id: f"==> {one_line(names.get(job_id, ''))} {short[job_id]} <==\n" for job_id in ids}
    return {job_id: ("\n" if number else "") + title for number, (job_id, title) in enumerate(titles.items())}


def _print(context: Context, job_id: str, name: str) -> None:
    if context.output.json:
        context.output.text("", {"id": job_id, "file": name, "text": context.arc.read(job_id, name)})
        return
    with context.arc.open(job_id, name) as stream:
        sys.stdout.flush()
        shutil.copyfileobj(stream, sys.stdout.buffer)
        sys.stdout.flush()


def _fail_without_file(context: Context, error: JasminArcError, job_id: str, name: str) -> None:
    """Report that there is no such file, and which one may be meant."""
    try:
        files = [file.name for file in context.arc.list_files(job_id, name.rpartition("/")[0])]
    except JasminArcError:
        context.fail_with(error, job=job_id)
        return
    close = nearest(name, files)
    there = ", ".join(files[:_MAX_FILES]) + (", ..." if len(files) > _MAX_FILES else "")
    advice = f"did you mean {close!r}?" if close else f"its files are: {there}" if files else "it has no files"
    text = f"{context.brief(job_id)} has no file {name!r}; {advice}"
    context.fail(text, kind=type(error).__name__, code=code_of(error), job=job_id)


@click.command("follow", cls=ArcCommand)
@selects_one_job
@click.argument("name", default=STDOUT_NAME, metavar="[FILE]")
def follow_command(context: Context, job_id: str, *, name: str) -> None:
    """Print a file of a job as it grows.

    FILE is stdout by default. Ends with the job.
    """
    context.going_on([job_id], "follow")
    row = {"id": job_id, "file": name, "text": ""}
    context.output.results.append(row)
    try:
        if not print_as_it_comes(context, row, "text", "waiting for output") and name not in (STDOUT_NAME, STDERR_NAME):
            # A file that was never made is waited for until the job has ended.
            with contextlib.suppress(ServerError):
                context.arc.open(job_id, name).close()
    except JobNotFoundError as error:
        context.output.results.remove(row)
        _fail_without_file(context, error, job_id, name)
    context.going_on([])


def print_as_it_comes(context: Context, row: dict[str, Any], key: str, what: str | Callable[[], str]) -> bool:
    """Print a file of the row's job while it grows, byte for byte; for JSON, keep its text under ``key`` of the row.

    :returns: whether anything came
    """
    kept, came = [], False
    try:
        with context.busy(what):
            for block in context.arc.follow(row["id"], row.get("file", STDOUT_NAME), encoding=None):
                came = True
                context.quiet()
                context.output.stream(block)
                if context.output.json:
                    kept.append(block)
    finally:
        row[key] = b"".join(kept).decode("utf-8", "replace")
    return came
