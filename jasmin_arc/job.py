"""A handle on one job: an id and the interface that made it. Where there is nothing to read or save, it says why."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from jasmin_arc._support.cards import Card, Shown, known_fields
from jasmin_arc._support.text import excerpt, last_part
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc._support.values import for_people, status_words
from jasmin_arc.constants import STDERR_NAME, STDOUT_NAME, JobState, JobStatuses
from jasmin_arc.exceptions import JobNotFoundError, PartialFailureError
from jasmin_arc.explain import Explanation, job_failed

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface
    from jasmin_arc.job_info import JobInfo
    from jasmin_arc.job_list import JobSummary

_Answer = TypeVar("_Answer")


@shortens_tracebacks
class Job(Shown):
    """One job. ``await job`` gives its final status; a thousand jobs awaited cost the requests of one.

    In a notebook it shows what is known of it: what it, or the :class:`~jasmin_arc.jobs.Jobs` that it is of, was last
    asked for, and what the job list has. Nobody is asked for that.
    """

    def __init__(self, interface: ArcInterface, job_id: str, name: str | None = None) -> None:
        self.interface = interface
        self.id = job_id
        self._name = name
        self._word = ""
        self._info: JobInfo | None = None

    @property
    def name(self) -> str:
        """The job's name, from the job list; the server is asked only for a job that is not in the list."""
        if self._name is None:
            known = self.interface._ledger.summaries([self.id])
            self._name = known[self.id].name if self.id in known else self.info().name
        return self._name

    @property
    def status(self) -> JobStatuses:
        """The present status; see ``ArcInterface.get_job_status``."""
        return self._told(self.interface.get_job_status(self.id))

    def info(self) -> JobInfo:
        """Return what is known of the job; see ``ArcInterface.get_job_info``."""
        return self._told_all(self.interface.get_job_info(self.id))

    def wait(self, *, timeout: float | None = None, check: bool = False) -> JobStatuses:
        """Return the status once the job has ended; see ``ArcInterface.wait``."""
        (status,) = _only(self.interface.wait, [self.id], timeout=timeout, check=check)
        return self._told(status)

    def cancel(self) -> None:
        """Cancel the job; see ``ArcInterface.cancel_job``."""
        self.interface.cancel_job(self.id)

    def clean(self, *, force: bool = False) -> None:
        """Erase the job with its files; see ``ArcInterface.clean_jobs``."""
        _only(self.interface.clean_jobs, [self.id], force=force)

    def resubmit(self) -> Job:
        """Submit the same again as a new job, and return a handle on that; see ``ArcInterface.resubmit_jobs``."""
        (job_id,) = _only(self.interface.resubmit_jobs, [self.id])
        return Job(self.interface, job_id, self._name)

    def outputs(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> str | None:
        """Download the outputs and return their directory; see ``ArcInterface.save_job_outputs``.

        :param directory: where to save them (default: a folder here that is called like the job, as by
            ``ArcInterface.save_outputs``)
        :raises JobFailedError: if there is nothing to download as the job failed; the message says why
        """
        options: dict[str, Any] = {"files": files, "overwrite": overwrite, "progress": progress}
        if directory is None:
            (saved,) = _only(self.interface.save_outputs, [self.id], **options)
        else:
            saved = self.interface.save_job_outputs(self.id, directory=directory, **options)
        if saved is None:
            self._raise_if_failed()
        return saved

    def read(self, name: str = STDOUT_NAME, *, limit: int | None = None) -> str:
        """Return the text of one of the job's files; see ``ArcInterface.read``.

        :raises JobFailedError: if there is no such file as the job failed; the message says why
        """
        try:
            return self.interface.read(self.id, name, limit=limit)
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

    def stderr(self) -> str:
        """Return what the job has written to its standard error so far.

        :raises JobFailedError: if there is none as the job failed; the message says why
        """
        return self.read(STDERR_NAME)

    def explain(self) -> Explanation:
        """Say why the job failed, or why it has not ended yet; see ``ArcInterface.explain``."""
        return self.interface.explain(self.id)

    def _raise_if_failed(self, cause: Exception | None = None) -> None:
        if self.status is JobStatuses.FAILED:
            raise job_failed(self.explain(), [self.id]) from cause

    def __await__(self) -> Generator[Any, None, JobStatuses]:
        return self.interface.status_when_ended(self.id).__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _line(self) -> str:
        name = f"{excerpt(self._name)} " if self._name else ""
        return f"<Job {name}{self.id}{f' ({self._word})' if self._word else ''}>"

    def __str__(self) -> str:
        return self._line()

    def _told(self, status: JobStatuses, state: JobState | None = None) -> JobStatuses:
        """Remember what somebody was told of the job, to show it."""
        if self._info is not None and self._info.status is not status:
            self._info = None
        self._word = status_words(status.value, state or (self._info.state if self._info else None))
        return status

    def _told_all(self, info: JobInfo) -> JobInfo:
        self._word, self._info = status_words(info.status.value, info.state), info
        self._name = self._name or info.name or None
        return info

    def _words(self, listed: JobSummary | None) -> str:
        """Return what people call the status, as far as it is known. An end in the job list counts most."""
        if listed is not None and listed.final_state is not None:
            return status_words(listed.final_state.status.value, listed.final_state)
        return self._word

    def _row(self, listed: JobSummary | None) -> dict[str, Any]:
        """Return what is known without a question, for a table of jobs."""
        info = self._info
        return {
            "status": self._words(listed) or SUBMITTED,
            "name": self._name or (listed.name if listed else ""),
            "job": last_part(self.id),
            "submitted": (info.submitted if info else None) or (listed.submitted if listed else None),
            "wall_time": info.wall_time if info else None,
            "memory": info.memory if info else None,
            "why": self._why(),
        }

    def _why(self) -> str:
        """Return why the job is in its state, as far as somebody was told."""
        info = self._info
        if info is None:
            return ""
        if info.missing_outputs:
            return f"did not make {', '.join(info.missing_outputs)}"
        return info.reason or (f"exit code {info.exit_code}" if info.exit_code else next(iter(info.errors), ""))

    def _card(self) -> Card:
        listed = self.interface._listed([self.id]).get(self.id)
        row = self._row(listed)
        if self._info is not None:
            pairs = known_fields(self._info, without=["name"])
        else:
            pairs = [("id", self.id), ("submitted", for_people(row["submitted"]))]
        return Card(row["name"] or row["job"], status=row["status"], properties=[pair for pair in pairs if pair[1]])


SUBMITTED = "submitted"
"""What is known of a job that nobody has asked about"""


def _only(call: Callable[..., _Answer], *args: Any, **options: Any) -> _Answer:
    """Make a bulk call about one job; it raises the job's own error."""
    try:
        return call(*args, **options)
    except PartialFailureError as error:
        raise error.errors[0] from error
