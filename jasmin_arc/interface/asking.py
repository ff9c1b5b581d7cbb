"""Asking about jobs: their statuses, what is known of them, which ones there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from jasmin_arc._support.bulk import JobLike, JobsLike, all_or_partial, not_found
from jasmin_arc._support.suggestions import nearest
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.interface.parts import Parts
from jasmin_arc.job_info import JobInfo

_Result = TypeVar("_Result")


@shortens_tracebacks
class Asking(Parts):
    """Jobs are asked about."""

    def get_job_status(self, job_id: JobLike) -> JobStatuses:
        """Return the status of the given job.

        :param job_id: ID of the job as returned by ``submit_job``, or a handle on it
        :raises JobNotFoundError: if no job with the given ID could be found
        :raises ServerError: if the server does not answer; no status is ever guessed
        """
        checked = self._id(job_id)
        return _found(checked, self._ledger.states([checked])).status

    def get_job_statuses(self, job_ids: JobsLike) -> list[JobStatuses]:
        """Return the statuses of many jobs, in order, with few requests however many they are.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = self._ids(job_ids)
        answers = self._ledger.states(ids)
        found = [answers.get(job_id) or not_found(job_id) for job_id in ids]
        return all_or_partial([answer.status if isinstance(answer, JobState) else answer for answer in found], "found")

    def get_job_info(self, job_id: JobLike) -> JobInfo:
        """Return what is known of the given job.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        checked = self._id(job_id)
        return _found(checked, self._infos([checked]))

    def get_job_infos(self, job_ids: JobsLike) -> list[JobInfo]:
        """Return what is known of many jobs, in order.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = self._ids(job_ids)
        infos = self._infos(ids)
        return all_or_partial([infos.get(job_id) or not_found(job_id) for job_id in ids], "found")

    def list_jobs(
        self,
        *,
        status: JobStatuses | str | None = None,
        name: str | None = None,
        since: datetime | timedelta | None = None,
        last: int | None = None,
    ) -> list[str]:
        """Return the ids of the jobs on the server and in the job list: first those that only the server knows, whose
        times are not known, then the others, oldest first.

        With ``name``, ``since`` or ``last``, jobs that only the server knows are left out, and the server is not asked
        for them.

        :param status: only jobs with this status, or with the status of this value or name, such as
            ``"in progress"``. With ``"cancelled"``, only those of the failed jobs that were cancelled. The server is
            asked about jobs whose end was not seen yet; with ``"cancelled"``, about those that failed, too
        :param name: only jobs whose name matches this pattern, such as ``"model-*"``
        :param since: only jobs submitted after this time, or within this timedelta
        :param last: only the newest so many of the jobs that all of this leaves
        :raises ValueError: if there is no such status
        :raises ServerError: if the server does not answer
        """
        if last is not None and last < 1:
            raise ValueError(f"last must be at least 1, not {last}")
        return self._ledger.select(
            states=None if status is None else states_of(status), name=name, since=since, last=last
        )

    def _infos(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        infos = self._ledger.infos(job_ids)
        self._warnings.sessions_ending(infos.values(), self.job_list)
        self._known_site.learn(infos)
        return self._missing.filled(infos)


def _found(job_id: str, answers: Mapping[str, _Result | JasminArcError]) -> _Result:
    answer = answers.get(job_id) or not_found(job_id)
    if isinstance(answer, JasminArcError):
        raise answer
    return answer


def states_of(status: JobStatuses | str) -> frozenset[JobState]:
    """Return the states that a status stands for: one of ``JobStatuses``, its value or name, or ``"cancelled"``.

    :raises ValueError: if there is no such status
    """
    if not isinstance(status, (JobStatuses, str)):
        raise TypeError(f"a status is one of JobStatuses, its value or its name, not {status!r}")
    text = (status.value if isinstance(status, JobStatuses) else status).lower().replace("-", " ").replace("_", " ")
    if text in ("cancelled", "canceled"):
        return frozenset([JobState.KILLED])
    found = frozenset(state for state in JobState if state.status.value == text)
    if not found:
        known = [*(known.value for known in JobStatuses), "cancelled"]
        meant = nearest(text, known)
        hint = f"did you mean {meant!r}?" if meant else f"it is one of {', '.join(known)}"
        raise ValueError(f"there is no status {status!r}; {hint}")
    return found
