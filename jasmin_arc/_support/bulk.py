"""Answers for many jobs at once: all of them, or an error that carries each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, Union

from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError

if TYPE_CHECKING:
    from jasmin_arc.job import Job

JobLike = Union[str, "Job"]
"""A job: its id, a part of it that no other job has, its name, or a handle on it"""
JobsLike = Union[JobLike, Iterable[JobLike]]
"""Jobs: what names one, or a sequence of that; a pattern of names such as ``"m-*"`` stands for several"""

_Result = TypeVar("_Result")


def all_or_partial(results: Sequence[_Result | JasminArcError], done: str) -> list[_Result]:
    """Return the results; errors among them raise a PartialFailureError that says what could not be ``done``."""
    errors = [result for result in results if isinstance(result, JasminArcError)]
    if errors:
        raise PartialFailureError(
            f"{len(errors)} of {len(results)} jobs could not be {done}; the first: {errors[0].message}",
            results,
            advice=errors[0].advice,
        )
    return [result for result in results if not isinstance(result, JasminArcError)]


def raise_failures(job_ids: Sequence[str], failures: Mapping[str, JasminArcError], done: str) -> None:
    all_or_partial([failures.get(job_id) for job_id in job_ids], done)


def words_of(jobs: JobsLike) -> list[str]:
    """Return what names each of these jobs; one job alone is a list of one."""
    if isinstance(jobs, str) or not isinstance(jobs, Iterable):
        return [word_of(jobs)]
    return [word_of(job) for job in jobs]


def word_of(job: JobLike) -> str:
    """Return what names the job: an id or a name as it was given, or the id of a handle."""
    word = job if isinstance(job, str) else getattr(job, "id", None)
    if not isinstance(word, str):
        raise TypeError(f"a job is named by its id, its name, or a Job, not by {job!r}")
    return word


def not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"no job with this id could be found: {job_id}")


def summarize_ids(job_ids: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(job_ids[:3]) + (", ..." if len(job_ids) > 3 else "")
