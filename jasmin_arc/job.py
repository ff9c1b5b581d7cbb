"""A handle on one job: its id and the interface that it was made by. It adds no logic of its own."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.constants import JobStatuses
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

    def __await__(self) -> Generator[Any, None, JobStatuses]:
        return self._interface.status_when_ended(self.id).__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id}>"
