"""The protocol of a submission, once for all backends: intend, create, commit.

Each job is written down before the request that creates it, again with its id once it exists, and a third time when
nothing can keep it from running. Wherever a process is killed, the list tells ``recover()`` what there is to settle.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import Advice, JobListError, SubmissionUnknownError
from jasmin_arc.job_list import JobList, new_token


@dataclass
class Entry:
    """A job that is about to be submitted."""

    description: JobDescription
    endpoint: str
    token: str = field(default_factory=new_token)
    delegation_id: str = ""
    id: str | None = None
    """The id of the job, where the backend gives it before the job exists"""
    identity: str = ""
    """Whose job it is, in the words of the place"""


class Journal:
    """Writes submissions into a job list. Threads may share it."""

    def __init__(self, job_list: JobList, log: logging.Logger) -> None:
        self.job_list = job_list
        self.log = log
        # SQLite lets waiting threads sleep for longer than needed.
        self.lock = threading.Lock()

    @contextmanager
    def submitting(self, entries: Sequence[Entry]) -> Iterator[Batch]:
        """Write down what is about to be created. The jobs that are neither committed nor dropped are released at the
        end, also after Ctrl-C: ``recover()`` may settle them from then on, in this process as well.

        :raises JobListError: if it cannot be written down; nothing may be sent then
        """
        batch = Batch(self, entries)
        try:
            with self.lock:
                self.job_list.intend(batch.records)
        except BaseException as error:
            if not isinstance(error, JobListError):
                # They may be written, but nothing was sent.
                _end_transaction(error)
                batch.drop(record.token for record in batch.records)
            raise
        try:
            yield batch
        except BaseException as error:
            _end_transaction(error)
            raise
        finally:
            if batch.open:
                with self.logged("unfinished submissions can be settled only once this process has ended"):
                    self.job_list.release(batch.open)

    @contextmanager
    def logged(self, consequence: str) -> Iterator[None]:
        """Write into the job list; a failure is logged."""
        try:
            with self.lock:
                yield
        except JobListError as error:
            self.log.warning("%s: %s", consequence, error)


class Batch:
    """The jobs of one submission."""

    def __init__(self, journal: Journal, entries: Sequence[Entry]) -> None:
        self._journal = journal
        self.records = [journal.job_list.record(**vars(entry)) for entry in entries]
        """What is written down of each job, in the order of the entries"""
        self._tokens = {record.id: record.token for record in self.records if record.id}
        self.open = {record.token for record in self.records}

    def created(self, ids: Mapping[str, str]) -> None:
        """Write down, by the tokens, the ids of jobs that exist and do not run yet."""
        if not ids:
            return
        with self._journal.lock:
            self._tokens.update((job_id, token) for token, job_id in ids.items())
            self._journal.job_list.created(ids)

    def commit(self, job_ids: Iterable[str]) -> dict[str, SubmissionUnknownError]:
        """Write down that the jobs run. If that fails, there is an error for each job, by its id."""
        done = list(job_ids)
        if not done:
            return {}
        try:
            with self._journal.lock:
                self._journal.job_list.commit(done)
                self.open.difference_update(self._tokens[job_id] for job_id in done)
        except JobListError as error:
            return {job_id: _unlisted(job_id, error) for job_id in done}
        return {}

    def drop(self, tokens: Iterable[str]) -> None:
        """Write down that the jobs with these tokens do not exist and never will; a failure is logged."""
        dropped = list(tokens)
        if not dropped:
            return
        # recover() settles what stays in the list by mistake, so this must not hide the true outcome.
        with self._journal.logged("a submission that came to nothing is still in the job list"):
            self._journal.job_list.drop(dropped)
            self.open.difference_update(dropped)


def _end_transaction(error: BaseException) -> None:
    """End the transaction that Ctrl-C may have left open: it ends with the frame that it was begun in."""
    if not isinstance(error, Exception):
        traceback.clear_frames(error.__traceback__)


def _unlisted(job_id: str, cause: JobListError) -> SubmissionUnknownError:
    error = SubmissionUnknownError(
        f"the job {job_id} runs, but that cannot be written down ({cause})", advice=Advice("{recover} settles it")
    )
    error.__cause__ = cause
    return error
