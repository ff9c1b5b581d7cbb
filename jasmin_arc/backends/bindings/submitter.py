"""Submits jobs through the bindings, so that none is lost: written down before, and settled whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jasmin_arc.backends.bindings import submission
from jasmin_arc.backends.bindings.runtime import Runtime
from jasmin_arc.backends.bindings.translate import JobAddress
from jasmin_arc.exceptions import JasminArcError, JobListError, JobSubmissionError, SubmissionUnknownError

if TYPE_CHECKING:
    from jasmin_arc.description import JobDescription
    from jasmin_arc.job_list import JobList
    from jasmin_arc.staging import StagedInput


class Submitter:
    """Submits jobs to one compute element.

    :param user_config: returns the ``arc.UserConfig`` to use, after it has checked who the compute element is
    :param erase: cancels and erases a job, and returns why that failed, if it did
    """

    def __init__(
        self,
        runtime: Runtime,
        user_config: Callable[[], Any],
        job_list: JobList,
        log: logging.Logger,
        endpoint: str,
        erase: Callable[[JobAddress], JasminArcError | None],
    ) -> None:
        self._runtime = runtime
        self._user_config = user_config
        self._job_list = job_list
        self._log = log
        self._endpoint = endpoint
        self._erase = erase

    def submit(
        self, description: JobDescription, inputs: Sequence[StagedInput], *, queues: Sequence[str]
    ) -> str | JasminArcError:
        """Submit one job and return its id, or why there is none.

        It is written down before and after: an interruption leaves an intention, never a job that nobody knows of.

        :param queues: those of the compute element, for the message where it refuses one
        """
        from jasmin_arc.job_list import new_token

        token = new_token()
        try:
            self._job_list.intend([self._job_list.record(description, endpoint=self._endpoint, token=token)])
        except JobListError as error:
            return error
        try:
            return self._written_down(token, self._send(description, inputs, token, queues))
        except SubmissionUnknownError as error:
            self._release(token)
            return error
        except JasminArcError as error:
            self._forget(token)
            return error
        except BaseException:
            self._release(token)
            raise

    def _send(
        self, description: JobDescription, inputs: Sequence[StagedInput], token: str, queues: Sequence[str]
    ) -> str:
        from jasmin_arc.description.formats.adl import submission_adl

        with submission.staged(inputs) as placed:
            text = submission_adl(description, placed, token=token)
            user_config = self._user_config()
            with self._runtime.call(self._log) as lines:
                job_id = submission.send(self._runtime.arc, user_config, self._endpoint, text)
            if job_id:
                return job_id
            orphan = submission.forgotten_job(lines, self._endpoint, placed)
            if orphan is None:
                raise submission.refusal(lines, description.name, self._endpoint, queues=queues)
            why = submission.upload_failure(lines, placed)
            raise JobSubmissionError(
                f"job {description.name!r} was not submitted, {why}; {self._abandon(orphan, token)}"
            )

    def _written_down(self, token: str, job_id: str) -> str:
        try:
            self._list(token, job_id)
        except JobListError as error:
            address = JobAddress.parse(job_id)
            left = self._abandon(address, token) if address else f"it is {job_id}"
            raise JobSubmissionError(f"the job could not be written down ({error}); {left}") from error
        return job_id

    def _list(self, token: str, job_id: str) -> None:
        self._job_list.created({token: job_id})
        self._job_list.commit([job_id])

    def _abandon(self, address: JobAddress, token: str) -> str:
        """Cancel and erase a job that exists and must not, and say what became of it."""
        error = self._erase(address)
        if error is None:
            return f"the job that had been created ({address.id}) has been cancelled and removed"
        try:
            self._list(token, address.id)
            where = "and is in the job list"
        except JobListError as list_error:
            where = f"and could not be put into the job list ({list_error})"
        return f"the job that had been created, {address.id}, could not be cancelled ({error}) {where}"

    def _forget(self, token: str) -> None:
        try:
            self._job_list.forget([token])
        except JobListError as error:
            self._log.warning("a submission that came to nothing is still in the job list: %s", error)

    def _release(self, token: str) -> None:
        try:
            self._job_list.release([token])
        except JobListError as error:
            self._log.debug("%s", error)
