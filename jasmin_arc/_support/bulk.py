"""Answers for many jobs at once: all of them, or an error that carries each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, Union

from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError

if TYPE_CHECKING:
    from jasmin_arc.job import Job

JobLike = Union[str, "Job"]
"""A job: its id, or a handle on it"""

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


def job_ids_of(jobs: Sequence[JobLike]) -> list[str]:
    # A single text is a sequence too, of its letters: never what was meant.
    if isinstance(jobs, (str, bytes)) or not isinstance(jobs, Iterable):
        raise TypeError(f"a list of jobs is needed, not {jobs!r}")
    return [job_id_of(job) for job in jobs]


def job_id_of(job: JobLike) -> str:
    """Return the id of a job; a text that is no job id raises a JobNotFoundError."""
    job_id = job if isinstance(job, str) else getattr(job, "id", None)
    if not isinstance(job_id, str):
        raise TypeError(f"a job id or a Job is needed, not {job!r}")
    if "://" not in job_id:
        raise JobNotFoundError(f"not a job id: {job_id!r} (a job id is a URL, as submit_job returns it)")
    return job_id


def not_found(job_id: str) -> JobNotFoundError:
    return JobNotFoundError(f"no job with this id could be found: {job_id}")


def summarize_ids(job_ids: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(job_ids[:3]) + (", ..." if len(job_ids) > 3 else "")
