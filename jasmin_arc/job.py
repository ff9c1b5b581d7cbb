"""A handle on one job: an id and the interface that made it. Where there is nothing to read or save, it says why."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from jasmin_arc.constants import STDOUT_NAME, JobStatuses
from jasmin_arc.exceptions import JobNotFoundError
from jasmin_arc.explain import Explanation, job_failed

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.job_info import JobInfo


class Job:
    """One job. ``await job`` gives its final status; a thousand jobs awaited cost the requests of one."""

    def __init__(self, interface: ArcInterface, job_id: str) -> None:
        self._interface = interface
        self.id = job_id

    @property
    def status(self) -> JobStatuses:
        """The present status; see ``ArcInterface.get_job_status``."""
        return self._interface.get_job_status(self.id)

    def info(self) -> JobInfo:
        """Return what is known of the job; see ``ArcInterface.get_job_info``."""
        return self._interface.get_job_info(self.id)

    def wait(self, *, timeout: float | None = None) -> JobStatuses:
        """Return the status once the job has ended; see ``ArcInterface.wait``."""
        (status,) = self._interface.wait([self.id], timeout=timeout)
        return status

    def cancel(self) -> None:
        """Cancel the job; see ``ArcInterface.cancel_job``."""
        self._interface.cancel_job(self.id)

    def outputs(self, directory: str | os.PathLike[str] | None = None) -> str | None:
        """Download the outputs and return their directory; see ``ArcInterface.save_job_outputs``.

        :raises JobFailedError: if there is nothing to download as the job failed; the message says why
        """
        saved = self._interface.save_job_outputs(self.id, directory=directory)
        if saved is None:
            self._raise_if_failed()
        return saved

    def read(self, name: str = STDOUT_NAME, *, limit: int | None = None) -> str:
        """Return the text of one of the job's files; see ``ArcInterface.read``.

        :raises JobFailedError: if there is no such file as the job failed; the message says why
        """
        try:
            return self._interface.read(self.id, name, limit=limit)
        except JobNotFoundError as error:
            self._raise_if_failed(error)
            raise

    def stdout(self) -> str:
        """Return what the job has written to its standard output so far.

        :raises JobFailedError: if it failed before it wrote anything; the message says why
        """
        text = self.read(STDOUT_NAME)
        if not text:
            self._raise_if_failed()
        return text

    def explain(self) -> Explanation:
        """Say why the job failed, or why it has not ended yet; see ``ArcInterface.explain``."""
        return self._interface.explain(self.id)

    def _raise_if_failed(self, cause: Exception | None = None) -> None:
        if self.status is JobStatuses.FAILED:
            raise job_failed(self.explain(), [self.id]) from cause

    def __await__(self) -> Generator[Any, None, JobStatuses]:
        return self._interface.status_when_ended(self.id).__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
