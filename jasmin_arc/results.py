"""Answers for many jobs at once: all of them, or an error that carries each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, PartialFailureError

_Result = TypeVar("_Result")


def all_or_partial(results: Sequence[_Result | JasminArcError], done: str) -> list[_Result]:
    """Return the results, if there is no error among them.

    :param done: what was to be done with each job, as in "could not be done"
    :raises PartialFailureError: with all the results, errors included, in order
    """
    errors = [result for result in results if isinstance(result, JasminArcError)]
    if errors:
        raise PartialFailureError(
            f"{len(errors)} of {len(results)} jobs could not be {done}; the first: {errors[0]}", results
        )
    return [result for result in results if not isinstance(result, JasminArcError)]


def raise_failures(job_ids: Sequence[str], failures: Mapping[str, JasminArcError], done: str) -> None:
    """Raise a :class:`~jasmin_arc.exceptions.PartialFailureError` if there are failures."""
    all_or_partial([failures.get(job_id) for job_id in job_ids], done)


def job_ids_of(job_ids: Sequence[str]) -> list[str]:
    """Check that these are job ids, and return them as a list.

    :raises JobNotFoundError: for a text that is no job id
    """
    # A single text is a sequence too, of its letters: never what was meant.
    if isinstance(job_ids, (str, bytes)):
        raise TypeError(f"a list of job ids is needed, not {job_ids!r}")
    return [job_id_of(job_id) for job_id in job_ids]


def job_id_of(job_id: str) -> str:
    """Check that this is a job id, and return it.

    :raises JobNotFoundError: if it is none
    """
    if not isinstance(job_id, str):
        raise TypeError(f"a job id is a text, not {job_id!r}")
    if "://" not in job_id:
        raise JobNotFoundError(f"not a job id: {job_id!r} (a job id is a URL, as submit_job returns it)")
    return job_id


def not_found(job_id: str) -> JobNotFoundError:
    """Return the error for a job that nobody knows."""
    return JobNotFoundError(f"no job with this id could be found: {job_id}")


def some(job_ids: Sequence[str]) -> str:
    """Name the first few, for a message."""
    return ", ".join(job_ids[:3]) + (", ..." if len(job_ids) > 3 else "")
