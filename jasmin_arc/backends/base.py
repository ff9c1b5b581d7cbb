"""The seam between what users hold and the places where jobs run."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME, JobState
from jasmin_arc.credentials import Credentials
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.site_info import SiteInfo

if TYPE_CHECKING:
    from jasmin_arc.job_list import JobList

INPUT_URLS = "input-urls"
OUTPUT_URLS = "output-urls"
ACCOUNTS = "accounts"
QUEUES = "queues"
RUNTIME_ENVIRONMENTS = "runtime-environments"
RENEW = "renew"
RESTART = "restart"
ARC_OBJECTS = "arc-objects"


@dataclass(frozen=True)
class Services:
    """What every backend is given."""

    job_list: JobList
    """Where submissions are written down"""
    credentials: Callable[[], Credentials]
    """Makes the credentials when they are first needed"""
    log: logging.Logger


@dataclass(frozen=True)
class Pace:
    """How often a place may be asked for the states of jobs."""

    fastest: float = 0.05
    """The least seconds between two questions"""
    slowest: float = 1.5
    """The seconds between two questions while nothing happens; an end must be seen within 2 s"""
    share: float = 0.05
    """The largest part of the time that questions may take: after a long one, the next comes later than ``slowest``"""
    view: float = 0.0
    """The least seconds between two looks of a view that asks, as a person does, for all that is known"""


class Backend(ABC):
    """A place where jobs run, as a contract.

    Bulk is the primitive: each job of a call gets an answer of its own, so that one bad job does not spoil the
    rest. A call as a whole raises only when none of its jobs could be answered for: the server is out of reach,
    the proxy cannot be made. Every error is a :class:`~jasmin_arc.exceptions.JasminArcError`. Threads may share a
    backend.
    """

    name: ClassVar[str]
    """How the configuration calls it."""

    capabilities: ClassVar[frozenset[str]] = frozenset()
    """What this place can do that others cannot: names from this module, such as :data:`RESTART`."""

    pace: ClassVar[Pace] = Pace()
    """How often this place may be asked; whoever waits keeps to it."""

    worthwhile: ClassVar[float] = 60.0
    """The seconds that a job should last at least, so that its start is worth it: short tasks are put together"""

    python: ClassVar[str] = "python3"
    """The Python of a job, where nobody names another"""

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """The URL of the place; the job list keeps it with each job."""

    def owns(self, job_id: str) -> bool:
        """Say whether a job lives at this place, by its id alone; whether there is such a job is not asked."""
        return job_id.startswith(self.endpoint + "/")

    def authenticate(self) -> None:  # noqa: B027 - a place may need no credentials
        """Make sure of the credentials that requests need, while there is a user who can be asked for a passphrase.

        Threads in the background cannot ask: see :class:`~jasmin_arc.credentials.proxy.ProxyManager`.

        :raises CredentialsError: if there are none
        """

    @abstractmethod
    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        """Submit the jobs, inputs and all, and return an id or an error for each, in order.

        A successful return of an id guarantees that the job is in the job list, that its inputs are uploaded and
        that it will run. An error guarantees that it will not, save for
        :class:`~jasmin_arc.exceptions.SubmissionUnknownError`, which :meth:`recover` settles.

        :param progress: called with the number of jobs that have been dealt with since the last call
        :raises JasminArcError: only if none of the jobs exists: nothing is left to settle
        """

    @abstractmethod
    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        """Ask for the present state of the jobs; an id that is not known there is absent from the answer.

        :raises ServerError: if the question failed; no job's state is ever guessed
        """

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        """Ask for the present states alone, as cheaply as the place allows.

        Each job has an answer of its own: its state, or why it cannot be told now. An id that is not known there is
        absent from the answer. Of many jobs that have just ended without success, ``FAILED`` may stand for ``KILLED``
        as well, which :meth:`query` tells apart.

        :raises ServerError: if no job could be answered for
        """
        return {job_id: info.state for job_id, info in self.query(job_ids).items()}

    def watched_states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        """As :meth:`states`, for somebody who asks again and again.

        A place that does not want to be asked so may answer from what it said of late, but for the ends that jobs
        themselves tell.
        """
        return self.states(job_ids)

    def hidden(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:  # noqa: ARG002 - most places hide nothing
        """Return why jobs that the place does not show may be there all the same: other credentials are needed."""
        return {}

    @abstractmethod
    def list_jobs(self) -> list[str]:
        """Return the ids of all jobs that this user has there."""

    @abstractmethod
    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """Cancel the jobs and return the failures; a job that has already ended is none."""

    @abstractmethod
    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """Erase the jobs, their files and all, and return the failures; a job already gone is none.

        A job that has not ended is refused with :class:`~jasmin_arc.exceptions.OperationNotPossibleError`: it must be
        cancelled first.
        """

    @abstractmethod
    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        """List one directory of the job's session directory.

        :param recursive: whether all that is below its subdirectories is listed as well, as deep as it can be saved
        :raises JobNotFoundError: if there is no such job or directory
        """

    @abstractmethod
    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        """Open a file of the session directory for reading from ``offset``.

        Reading it to its end gives the whole file or raises: a transfer cut short is never taken for the end.

        :param path: the file; ``stdout`` and ``stderr`` are standard output and error also where no file is called so
            and :meth:`streams` tells the files that they are in
        :raises JobNotFoundError: if there is no such job or file
        """

    def fetch(self, job_id: str, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
        """Open several files of the session directory, in as few round trips as the place allows.

        Each stream is read to its end, or closed, before the next one is taken.

        :raises JobNotFoundError: if there is no such job or file
        """
        for name in names:
            yield name, self.open(job_id, name)

    def streams(self, job_id: str) -> dict[str, str]:  # noqa: ARG002 - most places call them so for every job
        """Return the names, in the session directory, of the files that standard output and error are in.

        :returns: by ``stdout`` and ``stderr``, the names; one that is not kept, or not known yet, is absent
        """
        return {STDOUT_NAME: STDOUT_NAME, STDERR_NAME: STDERR_NAME}

    @abstractmethod
    def evidence(self, job_id: str) -> dict[str, str]:
        """Collect what the place has logged about the job: texts by name. Empty where there is nothing."""

    def description(self, job_id: str) -> JobDescription:
        """Return the description that the job was submitted with, as far as the place still has it.

        :raises JobNotFoundError: if there is no such job
        :raises OperationNotPossibleError: if the place does not have it
        """
        raise OperationNotPossibleError(f"the {self.name} backend does not keep the description of {job_id}")

    @abstractmethod
    def site(self) -> SiteInfo:
        """Describe the place: queues, limits, slots, runtime environments."""

    def known_site(self) -> SiteInfo | None:
        """Return what the place said of itself of late, if it was asked for a purpose of its own; nothing is asked."""
        return None

    def find_software(self, name: str) -> list[str]:
        """Return where a program of this name is, and the modules whose names contain it.

        :returns: paths of programs, and names of modules, such as ``jaspy/3.11``
        """
        raise OperationNotPossibleError(
            f"the {self.name} backend cannot look for programs; {name!r} was not looked for"
        )

    def restart(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """Let the place itself take up failed jobs at the step that failed, and return the failures."""
        return self._refuse(job_ids, "restart a job")

    def renew(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        """Give the jobs' delegated credentials a new lifetime, and return the failures; a job without them is none."""
        return self._refuse(job_ids, "renew a job's credentials")

    def recover(self) -> dict[str, JobInfo | None]:
        """Settle what an earlier process left unfinished.

        :returns: by job id: what became of it, ``None`` for a job that was removed since it could never run
        """
        return {}

    @abstractmethod
    def close(self) -> None:
        """Let go of connections and threads. Jobs go on. A second call does nothing."""

    def _refuse(self, job_ids: Sequence[str], what: str) -> dict[str, JasminArcError]:
        reason = f"the {self.name} backend cannot {what}"
        return {job_id: OperationNotPossibleError(f"{reason}: {job_id}") for job_id in job_ids}
