"""Which jobs a command is about: by id, a part of it, or name; by status; all; or ``-`` for standard input."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from fnmatch import translate
from typing import Any

import click
from click.shell_completion import CompletionItem

from jasmin_arc.cli.app import context_of
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.parameters import Seconds
from jasmin_arc.constants import JobStatuses
from jasmin_arc.display.values import last_part, short_ids
from jasmin_arc.exceptions import Advice, JasminArcError, JobNotFoundError

STATUSES = {status.value.replace(" ", "-"): status for status in JobStatuses}
_FILTERS = ("status", "name", "since", "last")
_MAX_SHOWN = 5
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


def _status(context: click.Context, _parameter: click.Parameter, value: str | None) -> JobStatuses | None:
    if value is None:
        return None
    wanted = value.lower().replace(" ", "-").replace("_", "-")
    if wanted not in STATUSES:
        raise click.UsageError(f"there is no status {value!r}; it is one of {', '.join(STATUSES)}", context)
    return STATUSES[wanted]


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
        ids = _newest_of_name(context, word, named(context, [word]))
        if ids:
            function(context, ids, **rest)

    return wrapper


def selects_one_job(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add an argument for one job, and pass its id: of several with this name, that of the newest."""

    @click.argument("word", shell_complete=complete_job, metavar="JOB")
    @click.pass_obj
    @functools.wraps(function)
    def wrapper(context: Context, /, *, word: str, **rest: Any) -> None:
        ids = _newest_of_name(context, word, named(context, [word]))
        if not ids:
            raise click.UsageError("this command needs one job, and standard input names none")
        if len(ids) != 1:
            raise click.UsageError(f"{len(ids)} jobs are called {word!r}: {_shown(context, ids)}; give an id instead")
        function(context, ids[0], **rest)

    return wrapper


def refuse_filters(wanted: Mapping[str, Any]) -> None:
    """Refuse options that describe jobs where jobs are named."""
    if any(value is not None for value in wanted.values()):
        raise click.UsageError("give either jobs, or --all, --status, --name, --since, --last; not both")


def _newest_of_name(context: Context, word: str, ids: list[str]) -> list[str]:
    """Of several jobs that have this name, return the newest, and say so."""
    if len(ids) < 2 or set(context.names_of(ids).values()) != {word}:
        return ids
    context.say(f"{len(ids)} jobs are called {word!r}; this is the newest, {context.brief(ids[-1])}")
    return ids[-1:]


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
    words = [word.strip() for entry in given for word in (_from_stdin() if entry == "-" else (entry,))]
    if not any(words):
        context.say("standard input names no jobs, so there is nothing to do")
    finder = Finder(context)
    return list(dict.fromkeys(job_id for word in words if word for job_id in finder.find(word)))


def _from_stdin() -> Iterable[str]:
    """The first column of each line, so that what ``list`` prints can be piped into another command."""
    if sys.stdin is None:
        raise click.UsageError("standard input is closed, so no jobs can be named there")
    return [line.split("\t")[0] for line in sys.stdin.buffer.read().decode("utf-8", "replace").splitlines()]


class Finder:
    """Finds jobs by what people call them."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def find(self, word: str) -> list[str]:
        """Return the ids of the jobs that are meant: one, or all that have this name.

        :raises JobNotFoundError: if there is none
        """
        if "://" in word:
            return [word]
        found = self._match(word, self._listed) or self._match(word, self._at_site)
        if not found:
            raise JobNotFoundError(f"no job matches {word!r}", advice=Advice("{list} shows the jobs that there are"))
        return found

    def _match(self, word: str, jobs: _Jobs) -> list[str]:
        matches = re.compile(translate(word)).match
        exact = list(jobs.get(word, ())) or [
            job_id
            for names in jobs.values()
            for job_id, name in names.items()
            if name and (name == word or matches(name))
        ]
        if exact:
            return exact
        parts = [part for part in jobs if part.startswith(word)] or [part for part in jobs if word in part]
        found = [job_id for part in parts for job_id in jobs[part]]
        if len(found) > 1:
            shown = _shown(self._context, found)
            raise click.UsageError(f"{len(found)} jobs match {word!r}: {shown}; type more of the id")
        return found

    @functools.cached_property
    def _listed(self) -> _Jobs:
        arc = self._context.arc
        return _by_part({job.id: job.name for job in arc.job_list.select(arc.backend.endpoint)})

    @functools.cached_property
    def _at_site(self) -> _Jobs:
        # Jobs from another machine, or of a job list that was lost.
        with self._context.busy("asking for the jobs"):
            return _by_part(dict.fromkeys(self._context.arc.list_jobs(), ""))


_Jobs = dict[str, dict[str, str]]
"""What words are compared with: the names of jobs by id, by the last part of the id"""


def _by_part(names: Mapping[str, str]) -> _Jobs:
    jobs: _Jobs = {}
    for job_id, name in names.items():
        jobs.setdefault(last_part(job_id), {})[job_id] = name
    return jobs


def _shown(context: Context, job_ids: Sequence[str]) -> str:
    shown = job_ids[:_MAX_SHOWN]
    short, names = context.short_ids(shown), context.names_of(shown)
    texts = [short[job_id] + (f" ({names[job_id]})" if names.get(job_id) else "") for job_id in shown]
    more = f" and {len(job_ids) - _MAX_SHOWN} more" if len(job_ids) > _MAX_SHOWN else ""
    return ", ".join(texts) + more
