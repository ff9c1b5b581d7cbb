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

from jasmin_arc._support.machine import boot_id
from jasmin_arc.backends.local.job_ids import JobIds
from jasmin_arc.backends.local.job_spec import make_spec, refuse_impossible
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix.clean_session import remove_tree
from jasmin_arc.backends.posix.session import write_inputs
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import Advice, JasminArcError, JobSubmissionError, SubmissionUnknownError
from jasmin_arc.job_list import JobRecord, new_token
from jasmin_arc.job_list.journal import Batch, Entry, Journal
from jasmin_arc.staging.inputs import StagedInput, plan_inputs

_FORESEEN = (JasminArcError, OSError, sqlite3.Error)


@dataclass(frozen=True)
class _Job:
    """A job on its way."""

    description: JobDescription
    inputs: tuple[StagedInput, ...]
    key: str
    id: str
    token: str


class Submission:
    """One batch. Whenever it is cut short, either a job's record is written and it runs, or it never will.

    :param slots: how many slots this host has
    """

    def __init__(self, layout: Layout, ids: JobIds, journal: Journal, store: Store, *, slots: int) -> None:
        self._layout = layout
        self._ids = ids
        self._journal = journal
        self._store = store
        self._slots = slots

    def submit(self, descriptions: Sequence[JobDescription], wake: Callable[[], object]) -> list[str | JasminArcError]:
        """Submit the jobs and return an id or an error for each, in order.

        :param wake: calls the runner
        """
        jobs = [self._prepare(description) for description in descriptions]
        good = [job for job in jobs if isinstance(job, _Job)]
        failures: dict[str, JasminArcError] = {}
        if good:
            # A runner takes a moment to start, which is used to write the jobs.
            wake()
            entries = [Entry(job.description, self._ids.endpoint, token=job.token, id=job.id) for job in good]
            with self._journal.submitting(entries) as batch:
                failures = self._submit(good, batch, wake)
        return [job if isinstance(job, JasminArcError) else failures.get(job.id, job.id) for job in jobs]

    def _prepare(self, description: JobDescription) -> _Job | JasminArcError:
        try:
            refuse_impossible(description, self._slots)
            inputs = plan_inputs(description)
        except JasminArcError as error:
            return error
        key = secrets.token_hex(12)
        return _Job(description, inputs, key, self._ids.id(key), new_token())

    def _submit(self, jobs: list[_Job], batch: Batch, wake: Callable[[], object]) -> dict[str, JasminArcError]:
        """Submit jobs that are in order; the failures by id.

        An error that comes once jobs are recorded is no reason to hide their ids; it is raised if none is recorded.
        """
        failures: dict[str, JasminArcError] = {}
        try:
            failures = self._write_folders(jobs)
            good = [job for job in jobs if job.id not in failures]
            rows = [self._row(job, record) for job, record in zip(jobs, batch.records) if job.id not in failures]
            self._store.add(rows, host=self._layout.host, slots=self._slots)
            with contextlib.suppress(OSError):
                # The jobs are submitted now. The next query tries again to start a runner.
                wake()
            self._abandon(batch, [job for job in jobs if job.id in failures])
            return {**failures, **batch.commit(job.id for job in good)}
        except BaseException as error:
            # A transaction that Ctrl-C left open ends with the frame that it was begun in.
            traceback.clear_frames(error.__traceback__)
            failures = {**self._settle(batch, jobs, error), **failures}
            if not isinstance(error, _FORESEEN) or all(_is_sure(failures.get(job.id)) for job in jobs):
                raise
            return failures

    def _write_folders(self, jobs: list[_Job]) -> dict[str, JasminArcError]:
        """Write the session folders; the failures by id."""
        failures: dict[str, JasminArcError] = {}
        for job in jobs:
            try:
                write_inputs(Path(self._layout.session(job.key)), job.inputs)
            except JasminArcError as error:
                failures[job.id] = error
        return failures

    def _row(self, job: _Job, record: JobRecord) -> dict[str, Any]:
        """What to record of a job whose folder is whole; once that is recorded, the job runs."""
        spec = make_spec(job.description, job.id, recorded=record.description)
        return {
            "key": job.key,
            "host": self._layout.host,
            "boot": boot_id(),
            "fetch": int(bool(spec["urls"])),
            "name": job.description.name,
            "slots": job.description.slots,
            "submitted": record.submitted.timestamp(),
            "plan": json.dumps(spec),
        }

    def _settle(self, batch: Batch, jobs: list[_Job], cause: BaseException) -> dict[str, JasminArcError]:
        """List the jobs whose records are written, for they run, and undo the others; the failures by id.

        Only the record says which are which: an error may come when it is written, but not yet known to be.

        :param cause: the error that cut the submission short
        """
        try:
            recorded = self._store.get([job.key for job in jobs])
        except sqlite3.Error as error:
            unknown = f"its record cannot be read, so it may or may not run: {error}"
            advice = Advice("{recover} settles it")
            return {job.id: SubmissionUnknownError(f"{job.id}: {unknown}", advice=advice) for job in jobs}
        failures: dict[str, JasminArcError] = {**batch.commit(job.id for job in jobs if job.key in recorded)}
        lost = [job for job in jobs if job.key not in recorded]
        self._abandon(batch, lost)
        return {**failures, **{job.id: not_submitted(job.description, cause) for job in lost}}

    def _abandon(self, batch: Batch, jobs: list[_Job]) -> None:
        """Remove what there is of jobs that will never run; what cannot be removed is for recover() to remove."""
        with contextlib.suppress(OSError):
            for job in jobs:
                remove_tree(self._layout.job(job.key))
            batch.drop(job.token for job in jobs)


def not_submitted(description: JobDescription, cause: BaseException) -> JobSubmissionError:
    """Return the error for a job that will never run."""
    return JobSubmissionError(f"the job {description.name!r} was not submitted: {cause}")


def _is_sure(failure: JasminArcError | None) -> bool:
    """Whether the job that has this failure, if any, will never run."""
    return failure is not None and not isinstance(failure, SubmissionUnknownError)
