"""Submitting a batch of jobs: their session folders first, then all their records at once."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import sqlite3
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jasmin_arc._support.machine import boot_id
from jasmin_arc.backends.local.fetch import SCHEMES, is_valid, shown
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store
from jasmin_arc.backends.posix.clean_session import remove_tree
from jasmin_arc.backends.posix.session import write_inputs
from jasmin_arc.description import JobDescription, is_pattern
from jasmin_arc.description.run_script import OUTPUT_LIST_NAME
from jasmin_arc.exceptions import Advice, JasminArcError, JobSubmissionError, SubmissionUnknownError
from jasmin_arc.job_list import JobRecord, new_token
from jasmin_arc.job_list.journal import Batch, Entry, Journal
from jasmin_arc.staging.inputs import StagedInput, plan_inputs

QUEUE = "local"
"""The one queue that there is"""
_INHERITED = ("HOME", "LANG", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
"""What a job has of the environment of the process that submits it, beside the ``LC_`` variables"""


@dataclass(frozen=True)
class _Job:
    """A job on its way."""

    description: JobDescription
    inputs: tuple[StagedInput, ...]
    key: str
    id: str
    token: str


class Submission:
    """One batch. Whenever it is cut short, either a job's record is written and it runs, or it never will."""

    def __init__(self, layout: Layout, journal: Journal, store: Store, *, slots: int) -> None:
        self._layout = layout
        self._journal = journal
        self._store = store
        self._slots = slots

    def submit(self, descriptions: Sequence[JobDescription], wake: Callable[[], object]) -> list[str | JasminArcError]:
        """Submit the jobs and return an id or an error for each, in order."""
        jobs = [self._prepare(description) for description in descriptions]
        good = [job for job in jobs if isinstance(job, _Job)]
        failures: dict[str, JasminArcError] = {}
        if good:
            # A runner takes a moment to start, which is used to write the jobs.
            wake()
            entries = [Entry(job.description, self._layout.endpoint, token=job.token, id=job.id) for job in good]
            with self._journal.submitting(entries) as batch:
                failures = self._submit(good, batch, wake)
        return [job if isinstance(job, JasminArcError) else failures.get(job.id, job.id) for job in jobs]

    def _prepare(self, description: JobDescription) -> _Job | JasminArcError:
        try:
            _refuse_impossible(description, self._slots)
            inputs = plan_inputs(description)
        except JasminArcError as error:
            return error
        key = secrets.token_hex(12)
        return _Job(description, inputs, key, self._layout.id(key), new_token())

    def _submit(self, jobs: list[_Job], batch: Batch, wake: Callable[[], object]) -> dict[str, JasminArcError]:
        """Submit jobs that are in order; the failures by id.

        An error that comes once jobs are recorded is no reason to hide their ids; it is raised if none is recorded.
        """
        failures: dict[str, JasminArcError] = {}
        try:
            for job in jobs:
                try:
                    write_inputs(Path(self._layout.session(job.key)), job.inputs)
                except JasminArcError as error:
                    failures[job.id] = error
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
            known = [failures.get(job.id) for job in jobs]
            will_not_run = all(failure and not isinstance(failure, SubmissionUnknownError) for failure in known)
            if will_not_run or not isinstance(error, (JasminArcError, OSError, sqlite3.Error)):
                raise
            return failures

    def _row(self, job: _Job, record: JobRecord) -> dict[str, Any]:
        """What to record of a job whose folder is whole; once that is recorded, the job runs."""
        spec = _make_spec(job.description, job.id, recorded=record.description)
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
        """
        try:
            recorded = self._store.get([job.key for job in jobs])
        except sqlite3.Error as error:
            unknown = f"its record cannot be read, so it may or may not run: {error}"
            advice = Advice("{recover} settles it")
            return {job.id: SubmissionUnknownError(f"{job.id}: {unknown}", advice=advice) for job in jobs}
        unlisted = batch.commit(job.id for job in jobs if job.key in recorded)
        lost = [job for job in jobs if job.key not in recorded]
        self._abandon(batch, lost)
        return {**unlisted, **{job.id: not_submitted(job.description, cause) for job in lost}}

    def _abandon(self, batch: Batch, jobs: list[_Job]) -> None:
        """Remove what there is of jobs that will never run; what cannot be removed is for recover() to remove."""
        with contextlib.suppress(OSError):
            for job in jobs:
                remove_tree(self._layout.job(job.key))
            batch.drop(job.token for job in jobs)


def not_submitted(description: JobDescription, cause: BaseException) -> JobSubmissionError:
    return JobSubmissionError(f"the job {description.name!r} was not submitted: {cause}")


def _refuse_impossible(description: JobDescription, slots: int) -> None:
    description.refuse_native()
    reason = _impossible_need(description, slots) or _impossible_file(description)
    if reason:
        raise JobSubmissionError(f"the local backend cannot run the job {description.name!r}: {reason}")


def _impossible_need(description: JobDescription, slots: int) -> str:
    if description.queue not in (None, QUEUE):
        return f"there is no queue {description.queue!r}; the only one is {QUEUE!r}"
    if description.slots > slots:
        return f"it asks for {description.slots} slots and there are {slots}; LOCAL_SLOTS sets their number"
    if description.slots_per_host not in (None, description.slots):
        return f"all its {description.slots} slots are on one host, so slots_per_host cannot be less"
    if description.account is not None:
        return f"there are no accounts here that it could be charged to, so not {description.account!r}"
    if description.runtime_environments:
        return f"there are no runtime environments here, so not {', '.join(description.runtime_environments)}"
    return ""


def _impossible_file(description: JobDescription) -> str:
    for name, url in description.url_inputs.items():
        if url.partition("://")[0].lower() not in SCHEMES:
            possible = ", ".join(f"{scheme}://" for scheme in SCHEMES)
            return f"the input {name!r} cannot be fetched from {shown(url)}; possible are {possible}"
        if not is_valid(url):
            return f"the input {name!r} cannot be fetched from {shown(url)}; that is no valid URL"
    for name, target in (description.outputs or {}).items():
        if target is not None:
            return f"the output {name!r} cannot be sent to {shown(target)}; outputs can only be kept for download"
    return ""


def _make_spec(description: JobDescription, job_id: str, *, recorded: str) -> dict[str, Any]:
    """What the runner, the supervisor and the helper for URL inputs need to know, as JSON can hold it.

    :param recorded: the description as the job list has it, without the contents of inputs
    """
    return {
        "environment": _environment(job_id),
        "outputs": [name for name in description.outputs or {} if not is_pattern(name)],
        "output_list": OUTPUT_LIST_NAME if description.patterns else "",
        "urls": description.url_inputs,
        "description": recorded,
        "wall_time": None if description.wall_time is None else description.wall_time.total_seconds(),
    }


def _environment(job_id: str) -> dict[str, str]:
    """What a job finds in its environment beside the variables of its description: little, as on a compute element."""
    kept = {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")}
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    presets = {"USER": user, "LOGNAME": user, "HOME": str(Path.home()), "PATH": os.defpath}
    return {**presets, **kept, "JASMIN_ARC_JOB_ID": job_id}
