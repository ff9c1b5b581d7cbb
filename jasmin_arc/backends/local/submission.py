"""Submitting a batch of jobs: their session folders first, then all their records at once."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jasmin_arc.backends.local.layout import Layout, boot_id
from jasmin_arc.backends.local.plan import make_plan, refuse_impossible
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix.session import write_inputs
from jasmin_arc.backends.posix.tidy import remove_tree
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError, JobListError, JobSubmissionError, SubmissionUnknownError
from jasmin_arc.job_list import JobList, JobRecord, new_token
from jasmin_arc.staging import StagedInput, plan_inputs

_FORESEEN = (JasminArcError, OSError, sqlite3.Error)


@dataclass(frozen=True)
class _Job:
    """A job on its way."""

    description: JobDescription
    inputs: tuple[StagedInput, ...]
    key: str
    record: JobRecord

    @property
    def id(self) -> str:
        return self.record.id or ""


class Submission:
    """One batch. Whenever it is cut short, either a job's record is written and it runs, or it never will.

    :param slots: how many slots this host has
    """

    def __init__(self, layout: Layout, job_list: JobList, store: Store, *, slots: int) -> None:
        self._layout = layout
        self._job_list = job_list
        self._store = store
        self._slots = slots
        self._boot = boot_id()

    def submit(self, descriptions: Sequence[JobDescription], wake: Callable[[], object]) -> list[str | JasminArcError]:
        """Submit the jobs and return an id or an error for each, in order.

        :param wake: calls the runner
        """
        jobs = [self._prepare(description) for description in descriptions]
        good = [job for job in jobs if isinstance(job, _Job)]
        if not good:
            return [job for job in jobs if isinstance(job, JasminArcError)]
        failures = self._commit(good, wake)
        return [job if isinstance(job, JasminArcError) else failures.get(job.key, job.id) for job in jobs]

    def _prepare(self, description: JobDescription) -> _Job | JasminArcError:
        try:
            refuse_impossible(description, self._slots)
            inputs = plan_inputs(description)
        except JasminArcError as error:
            return error
        key = secrets.token_hex(12)
        endpoint, job_id = f"local://{self._layout.host}", self._layout.job_id(key)
        record = self._job_list.record(description, endpoint=endpoint, token=new_token(), id=job_id)
        return _Job(description, inputs, key, record)

    def _commit(self, jobs: list[_Job], wake: Callable[[], object]) -> dict[str, JasminArcError]:
        """Submit jobs that are in order; the failures by key.

        An error that comes once jobs are recorded is no reason to hide their ids; it is raised if none is recorded.
        """
        # A runner takes a moment to start, which is used to write the jobs.
        wake()
        failures: dict[str, JasminArcError] = {}
        try:
            self._job_list.intend([job.record for job in jobs])
            failures = self._write_folders(jobs)
            good = [job for job in jobs if job.key not in failures]
            self._record(good)
            with contextlib.suppress(OSError):
                # The jobs are submitted now. Whoever asks for them next tries again to start a runner.
                wake()
            self._abandon([job for job in jobs if job.key in failures])
            return {**failures, **self._list(good)}
        except BaseException as error:
            # A transaction that Ctrl-C left open ends with the frame that it was begun in.
            traceback.clear_frames(error.__traceback__)
            failures = {**self._settle(jobs, error), **failures}
            if not isinstance(error, _FORESEEN) or all(_is_sure(failures.get(job.key)) for job in jobs):
                raise
            return failures

    def _write_folders(self, jobs: list[_Job]) -> dict[str, JasminArcError]:
        """Write the session folders; the failures by key."""
        failures: dict[str, JasminArcError] = {}
        for job in jobs:
            try:
                write_inputs(Path(self._layout.session(job.key)), job.inputs)
            except JasminArcError as error:
                failures[job.key] = error
        return failures

    def _record(self, jobs: list[_Job]) -> None:
        """Write the records of jobs whose folders are whole, all or none; jobs with a record run."""
        self._store.add([self._row(job) for job in jobs], host=self._layout.host, slots=self._slots)

    def _settle(self, jobs: list[_Job], cause: BaseException) -> dict[str, JasminArcError]:
        """List the jobs whose records are written, for they run, and undo the others; the failures by key.

        Only the record says which are which: an error may come when it is written, but not yet known to be.

        :param cause: the error that cut the submission short
        """
        try:
            recorded = self._store.get([job.key for job in jobs])
        except sqlite3.Error as error:
            return self._leave_to_recover(jobs, f"its record cannot be read, so it may or may not run: {error}")
        failures = self._list([job for job in jobs if job.key in recorded])
        lost = [job for job in jobs if job.key not in recorded]
        self._abandon(lost)
        return {**failures, **{job.key: not_submitted(job.description, cause) for job in lost}}

    def _row(self, job: _Job) -> dict[str, Any]:
        plan = make_plan(job.description, job.id, recorded=job.record.description)
        return {
            "key": job.key,
            "host": self._layout.host,
            "boot": self._boot,
            "fetch": int(bool(plan["urls"])),
            "name": job.description.name,
            "slots": job.description.slots,
            "submitted": job.record.submitted.timestamp(),
            "plan": json.dumps(plan),
        }

    def _abandon(self, jobs: list[_Job]) -> None:
        """Remove what there is of jobs that will never run; what cannot be removed is for recover() to remove."""
        if jobs:
            with contextlib.suppress(OSError, JobListError):
                for job in jobs:
                    remove_tree(self._layout.job(job.key))
                self._job_list.forget([job.record.token for job in jobs])

    def _list(self, jobs: list[_Job]) -> dict[str, JasminArcError]:
        """Put jobs that run into the job list; the failures by key."""
        try:
            self._job_list.commit([job.id for job in jobs])
        except JobListError as error:
            return self._leave_to_recover(jobs, f"it runs, but is not in the job list: {error}")
        return {}

    def _leave_to_recover(self, jobs: list[_Job], why: str) -> dict[str, JasminArcError]:
        with contextlib.suppress(JobListError):
            # From now on recover() may settle them, in this process as well.
            self._job_list.release([job.record.token for job in jobs])
        return {job.key: SubmissionUnknownError(f"{job.id}: {why}; recover() settles it") for job in jobs}


def not_submitted(description: JobDescription, cause: BaseException) -> JobSubmissionError:
    """Return the error for a job that will never run."""
    return JobSubmissionError(f"the job {description.name!r} was not submitted: {cause}")


def _is_sure(failure: JasminArcError | None) -> bool:
    """Say whether the job that has this failure, if any, will never run."""
    return failure is not None and not isinstance(failure, SubmissionUnknownError)
