"""Which jobs a command is about: by id, a part of it, or name; by status; all; or ``-`` for standard input."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from jasmin_arc._support.text import last_part
from jasmin_arc._support.values import short_ids
from jasmin_arc.cli.app import context_of
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.parameters import Seconds
from jasmin_arc.constants import JobStatuses
from jasmin_arc.description import is_pattern
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.job_list.finder import Finder

STATUSES = (*(status.value.replace(" ", "-") for status in JobStatuses), "cancelled")
_FILTERS = ("status", "name", "since", "last")
_WHAT_A_JOB_IS = "JOB is an id, a unique part of it, a name, or a pattern of names; - reads ids from standard input."


def complete_job(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the jobs of the job list that begin so, by id and by name, the newest first. No server is asked."""
    context = context_of(ctx)
    try:
        jobs = context.quick_list().select(context.arc.backend.endpoint)[::-1]
    except JasminArcError:
        return []
    short = short_ids(job.id for job in jobs)
    # Whoever has typed more than is needed wants the rest.
    typed = [(job, last_part(job.id) if incomplete.startswith(short[job.id]) else short[job.id]) for job in jobs]
    items = [CompletionItem(word, help=job.name) for job, word in typed]
    items += [CompletionItem(name) for name in dict.fromkeys(job.name for job in jobs) if name]
    return [item for item in items if item.value.startswith(incomplete)]


def _status(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    wanted = value.lower().replace(" ", "-").replace("_", "-")
    if wanted not in STATUSES:
        raise click.UsageError(f"there is no status {value!r}; it is one of {', '.join(STATUSES)}", context)
    return wanted


def _since(_context: click.Context, _parameter: click.Parameter, value: float | None) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def filters(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe jobs."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
        return [status for status in STATUSES if status.startswith(incomplete)]

    which, within = f"Jobs that are {', '.join(STATUSES)}.", "Jobs submitted within this time, such as 2h."
    status = click.option("--status", callback=_status, shell_complete=complete, metavar="STATUS", help=which)
    name = click.option("--name", metavar="PATTERN", help="Jobs with names like this, such as 'model-*'.")
    since = click.option("--since", type=Seconds(), callback=_since, metavar="DURATION", help=within)
    newest = "Only the newest N of the jobs that the other options leave."
    last = click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help=newest)
    return status(name(since(last(function))))


def selects_jobs(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what names and describes jobs, and pass the ids that it means; without any there is nothing to do."""

    @filters
    @click.argument("words", nargs=-1, shell_complete=complete_job, metavar="[JOB|-]...")
    @click.option("-a", "--all", "everything", is_flag=True, help="All jobs.")
    @click.pass_obj
    @functools.wraps(function)
    def wrapper(context: Context, /, *, words: Sequence[str], everything: bool, **rest: Any) -> None:
        wanted = {name: rest.pop(name) for name in _FILTERS}
        described = everything or any(value is not None for value in wanted.values())
        if described and words:
            refuse_filters({**wanted, "all": everything or None})
        ids = _described(context, wanted) if described else named(context, words)
        if ids:
            function(context, ids, **rest)

    wrapper.__doc__ = f"{inspect.getdoc(function)}\n\n{_WHAT_A_JOB_IS}"
    return wrapper


def selects_by_one_word(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an argument, and pass the ids of the jobs that it means: all of a pattern, the newest of a name."""

    @click.argument("word", shell_complete=complete_job, metavar="JOB")
    @click.pass_obj
    @functools.wraps(function)
    def wrapper(context: Context, /, *, word: str, **rest: Any) -> None:
        words = _words([word])
        if not words:
            raise click.UsageError("this command needs a job, and standard input names none")
        function(
            context,
            _found(context, words) if is_pattern(words[0]) or len(words) > 1 else [_one(context, words[0])],
            **rest,
        )

    return wrapper


def selects_one_job(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an argument for one job, and pass its id: of several with this name, that of the newest."""

    @click.argument("word", shell_complete=complete_job, metavar="JOB")
    @click.pass_obj
    @functools.wraps(function)
    def wrapper(context: Context, /, *, word: str, **rest: Any) -> None:
        words = _words([word])
        if len(words) != 1:
            raise click.UsageError(f"this command needs one job, and standard input names {len(words) or 'none'}")
        function(context, _one(context, words[0]), **rest)

    return wrapper


def _one(context: Context, word: str) -> str:
    """Return the id of the job that is meant; of several that have this name, the newest, and say so."""
    with context.busy("asking for the jobs"):
        finder = Finder(context.arc.backend, context.arc.job_list)
        job_id = finder.find_one(word)
        alike = finder.find(word)
    if len(alike) > 1:
        context.say(f"{len(alike)} jobs are called {word!r}; this is the newest, {context.brief(job_id)}")
    return job_id


def _found(context: Context, words: Sequence[str]) -> list[str]:
    with context.busy("asking for the jobs"):
        return list(dict.fromkeys(Finder(context.arc.backend, context.arc.job_list).find_all(words)))


def refuse_filters(wanted: Mapping[str, Any]) -> None:
    """Refuse options that describe jobs where jobs are named."""
    if any(value is not None for value in wanted.values()):
        raise click.UsageError("give either jobs, or --all, --status, --name, --since, --last; not both")


def _described(context: Context, wanted: Mapping[str, Any]) -> list[str]:
    with context.busy("asking for the jobs"):
        ids = context.arc.list_jobs(**wanted)
    if not ids:
        context.say("there are no such jobs")
    return ids


def named(context: Context, given: Sequence[str]) -> list[str]:
    """Return the ids of the jobs that these words mean; ``-`` is standard input."""
    if not given:
        raise click.UsageError(
            "say which jobs: JOB..., --all, --status STATUS, --name PATTERN, --since DURATION, --last N; or - to read "
            "their ids from standard input"
        )
    words = _words(given)
    if not words:
        context.say("standard input names no jobs, so there is nothing to do")
    return _found(context, words)


def _words(given: Sequence[str]) -> list[str]:
    words = (word.strip() for entry in given for word in (_from_stdin() if entry == "-" else (entry,)))
    return [word for word in words if word]


def _from_stdin() -> Iterable[str]:
    """The first column of each line, so that what ``list`` prints can be piped into another command."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed, so no jobs can be named there")
    return [line.split("\t")[0] for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()]
