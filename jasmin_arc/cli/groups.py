"""Many jobs in a few words: what they are called together, which options mean just them, how they ended."""

from __future__ import annotations

import glob
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from jasmin_arc._support.text import counted, one_line
from jasmin_arc._support.values import status_words
from jasmin_arc.cli.context import Context
from jasmin_arc.cli.output import fitted
from jasmin_arc.constants import JobStatuses
from jasmin_arc.display.columns import Row
from jasmin_arc.exceptions import JobListError

if TYPE_CHECKING:
    from jasmin_arc.job_list import JobSummary

FEW = 5
"""Jobs that are named one by one"""
MANY = 20
"""More jobs than this are not ended without a question, and what was done with them is told in one line"""
SHOWN = 50
"""The most rows that a terminal shows where not more are asked for"""

ENDED = (JobStatuses.COMPLETED.value, JobStatuses.FAILED.value)
"""The statuses in which a job stays, as they stand in rows"""

_NOT_SHORT = "JOB..."
"""What stands for jobs that no option means alone"""


def called(names: Sequence[str]) -> str:
    """Return what jobs with these names are called."""
    names = [one_line(name) for name in names]
    if len(set(names)) == 1:
        return f"all called {names[0] or '?'}"
    return ", ".join(names) if len(names) <= FEW else f"{names[0]} ... {names[-1]}"


def options_for(
    context: Context,
    names: Mapping[str, str],
    *,
    status: str = "",
    may_have: Callable[[JobSummary], bool] | None = None,
) -> str:
    """Return what means just these jobs at a shell: their ids, or options that fit them and no other listed job.

    :param names: the jobs' names, by id
    :param status: an option that all of them fit, and of the other jobs those that ``may_have`` this status
    """
    if len(names) <= FEW:
        return " ".join(context.short_ids(list(names)).values())
    pattern = f"{glob.escape(_beginning(names.values()))}*"
    if pattern != "*" and pattern.isprintable() and _ids(context, may_have, name=pattern) == set(names):
        return f"{status} --name {shlex.quote(pattern)}".strip()
    if _ids(context, may_have, last=len(names)) == set(names):
        return f"{status} --last {len(names)}".strip()
    return _NOT_SHORT


def _beginning(names: Iterable[str]) -> str:
    """Return the longest beginning that all names have."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names))
    return "".join(letters[0] for letters in alike)


def _ids(
    context: Context, wanted: Callable[[JobSummary], bool] | None, *, name: str | None = None, last: int | None = None
) -> set[str]:
    """Return the listed jobs that options mean; none if the job list cannot be read now."""
    try:
        jobs = context.quick_list().select(
            context.arc.backend.endpoint, name=name, last=last if wanted is None else None
        )
    except JobListError:
        return set()
    found = [job.id for job in jobs if wanted is None or wanted(job)]
    return set(found if last is None else found[-last:])


def tell_submitted(context: Context, rows: Sequence[Row], names: Mapping[str, str]) -> None:
    """Print the ids; for a person, a line about many jobs, and how to go on."""
    many = len(rows) > 1 and context.shows_tables
    if many:
        tell(context, rows, f"{len(rows)} jobs submitted: {called(list(names.values()))}")
    else:
        context.output.lines(rows, "id")
    if not rows or not context.shows_tables:
        return
    these = options_for(context, names)
    if these != _NOT_SHORT:
        context.hint(f"Watch: {context.program} {'list --watch' if many else 'status'} {these}")
        context.hint(f"Results: {context.program} output {these}")
    else:
        # Nothing else leads to these jobs.
        tell(context, [], "\n".join(names))


def tell_done(context: Context, job_ids: Iterable[str], what: str) -> None:
    """Print what was done with each job; for a person, one line about many jobs."""
    rows = [{"id": job_id, "done": what} for job_id in job_ids]
    if len(rows) > MANY and context.shows_tables:
        tell(context, rows, f"{len(rows)} jobs {what}")
    else:
        context.output.done([row["id"] for row in rows], what)


def tell(context: Context, rows: Sequence[Row], text: str) -> None:
    """Print one line about all rows; programs read the rows themselves."""
    context.output.results.extend(rows)
    sys.stdout.write(fitted(text, sys.stdout) + "\n")
    sys.stdout.flush()


def counts(rows: Iterable[Row]) -> str:
    """Return how many of the jobs there are, and how many of each status."""
    found = Counter(status_words(row["status"], row.get("state", "")) for row in rows)
    each = (f"{count} {status}" for status, count in found.items())
    return ", ".join([counted(sum(found.values()), "job"), *each])
