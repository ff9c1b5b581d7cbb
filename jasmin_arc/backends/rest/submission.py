"""Submitting in two phases: write down, create, write the ids down, upload, and last of all the run script.

A job does not run before its run script is there, so a job whose answer was lost never runs, and one that runs is in
the job list. Wherever this process is killed, :mod:`~jasmin_arc.backends.rest.recovery` can settle what is left.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from jasmin_arc._support.parallel import run_all
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats.adl import submission_adl
from jasmin_arc.exceptions import (
    InputFileError,
    JasminArcError,
    JobListError,
    JobSubmissionError,
    NoTargetsAvailableError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list import JobList, new_token
from jasmin_arc.staging import StagedInput, plan_inputs, upload_all

if TYPE_CHECKING:
    from jasmin_arc.backends.rest.api import Api
    from jasmin_arc.backends.rest.delegations import Delegations
    from jasmin_arc.backends.rest.documents import JobAnswer

_WAVE_JOBS = 1000
_WAVE_BYTES = 1 << 30
"""A server gives a client ten minutes to upload a job's inputs, so no more jobs than that are created at a time"""
_POST_JOBS = 50
_POST_BYTES = 4 << 20
_POSTS_AT_ONCE = 4
_UPLOADS_AT_ONCE = 8
_PIECE = 1 << 20

Progress = Callable[[int], object]
Create = Callable[[bytes], "list[JobAnswer]"]


@dataclass
class _Job:
    """A job on its way."""

    description: JobDescription
    inputs: tuple[StagedInput, ...] = ()
    token: str = ""
    adl: str = ""
    delegation_id: str = ""
    name: str = ""
    """What the server calls it"""
    outcome: str | JasminArcError | None = None


class Submitter:
    """Submits jobs to one compute element."""

    def __init__(self, api: Api, delegations: Delegations, job_list: JobList, log: logging.Logger) -> None:
        self._api = api
        self._delegations = delegations
        self._job_list = job_list
        self._log = log
        # SQLite lets waiting threads sleep for longer than needed.
        self._writing = threading.Lock()

    def submit(
        self, descriptions: Sequence[JobDescription], progress: Progress | None = None
    ) -> list[str | JasminArcError]:
        """See :meth:`jasmin_arc.backends.base.Backend.submit`."""
        jobs = [_planned(description) for description in descriptions]
        for wave in _waves([job for job in jobs if job.outcome is None]):
            try:
                self._submit_wave(wave, progress)
            except JasminArcError as error:
                if not any(_was_sent(job) for job in jobs):
                    raise
                # What became of the waves before must reach the caller.
                for job in jobs:
                    job.outcome = job.outcome if job.outcome is not None else error
                break
        if progress is not None:
            progress(sum(job.outcome is not None and not job.adl for job in jobs))
        if jobs and all(isinstance(job.outcome, NoTargetsAvailableError) for job in jobs):
            raise jobs[0].outcome  # type: ignore[misc]
        return [job.outcome if job.outcome is not None else _never_tried(job) for job in jobs]

    def _submit_wave(self, wave: Sequence[_Job], progress: Progress | None) -> None:
        self._delegate(wave)
        for job in wave:
            _describe(job)
        jobs = [job for job in wave if job.outcome is None]
        self._intend(jobs)
        try:
            self._create(jobs, progress)
            self._upload([job for job in jobs if job.outcome is None], progress)
        finally:
            self._release([job for job in jobs if not isinstance(job.outcome, str)])

    def _delegate(self, jobs: Sequence[_Job]) -> None:
        """See that the server is there, and give credentials to the jobs that need them."""
        needy = [job for job in jobs if job.description.needs_credentials]
        try:
            if not needy:
                self._api.check_reachable()
            for job in needy:
                job.delegation_id = self._delegations.current()
        except ServerUnavailableError as error:
            raise NoTargetsAvailableError(f"nothing was submitted: {error}") from error

    def _intend(self, jobs: Sequence[_Job]) -> None:
        endpoint = self._api.client.endpoint
        records = [
            self._job_list.record(job.description, endpoint=endpoint, token=job.token, delegation_id=job.delegation_id)
            for job in jobs
        ]
        with self._writing:
            self._job_list.intend(records)

    # --- The first phase ---

    def _create(self, jobs: Sequence[_Job], progress: Progress | None) -> None:
        chunks = list(_chunks(jobs))
        with self._api.creating() as create:
            results = run_all(lambda chunk: self._post(create, chunk), chunks, workers=_POSTS_AT_ONCE)
        for chunk, result in zip(chunks, results):
            for job in chunk:
                if isinstance(result, JasminArcError) and job.outcome is None:
                    job.outcome = result
        refused = [job for job in jobs if job.outcome is not None]
        self._forget([job for job in refused if not isinstance(job.outcome, (SubmissionUnknownError, JobListError))])
        if progress is not None and refused:
            progress(len(refused))

    def _post(self, create: Create, jobs: Sequence[_Job]) -> None:
        """Create the jobs of one request, and write down their ids before anything else is done with them."""
        document = "<ActivityDescriptions>" + "".join(job.adl for job in jobs) + "</ActivityDescriptions>"
        try:
            answers = create(document.encode())
        except SubmissionUnknownError:
            raise
        except ServerUnavailableError as error:
            raise NoTargetsAvailableError(f"the job was not submitted: {error}") from error
        except ServerError as error:
            raise JobSubmissionError(f"the job was not submitted: {error}") from error
        _check_answers(answers, jobs)
        for job, answer in zip(jobs, answers):
            if answer.done:
                job.name = answer.id
            else:
                job.outcome = JobSubmissionError(
                    f"the compute element refuses the job {job.description.name!r}: {answer.reason or answer.code}"
                )
        try:
            with self._writing:
                self._job_list.created({job.token: self._api.job_url(job.name) for job in jobs if job.name})
        except JobListError as error:
            self._erase([job for job in jobs if job.name])
            raise JobListError(f"the job was not submitted, as its id cannot be written down: {error}") from error

    # --- The second phase ---

    def _upload(self, jobs: Sequence[_Job], progress: Progress | None) -> None:
        by_id = {self._api.job_url(job.name): job for job in jobs}
        lock = threading.Lock()

        def put(job_id: str, staged: StagedInput) -> None:
            self._put(by_id[job_id].name, staged)
            if staged.commits and progress is not None:
                with lock:
                    progress(1)

        failures = upload_all({job_id: job.inputs for job_id, job in by_id.items()}, put, workers=_UPLOADS_AT_ONCE)
        failed = {job_id: error for job_id, error in failures.items() if not self._arrived(by_id[job_id])}
        self._commit({job_id: job for job_id, job in by_id.items() if job_id not in failed})
        if failed:
            self._give_up({job_id: by_id[job_id] for job_id in failed}, failed)

    def _put(self, name: str, staged: StagedInput) -> None:
        try:
            with staged.open() as stream:
                pieces = _exactly(stream, staged)
                body = b"".join(pieces) if staged.size <= _PIECE else pieces
                self._api.upload(name, staged.name, body, staged.size)
        except OSError as error:
            raise InputFileError(f"input {staged.name!r}: cannot be read: {error.strerror}") from error

    def _arrived(self, job: _Job) -> bool:
        """Say whether a job whose upload failed is complete all the same, as just the answer was lost."""
        try:
            return is_complete(self._api, job.name)
        except ServerError:
            return False

    def _commit(self, jobs: Mapping[str, _Job]) -> None:
        if not jobs:
            return
        try:
            with self._writing:
                self._job_list.commit(jobs)
        except JobListError as error:
            for job_id, job in jobs.items():
                job.outcome = SubmissionUnknownError(
                    f"the job {job_id} will run, but that cannot be written down: {error}. Once it can, call recover()"
                )
                job.outcome.__cause__ = error
            return
        for job_id, job in jobs.items():
            job.outcome = job_id

    def _give_up(self, jobs: Mapping[str, _Job], errors: Mapping[str, JasminArcError]) -> None:
        erased = self._erase(list(jobs.values()))
        for job_id, job in jobs.items():
            error = errors[job_id]
            if job.name not in erased:
                job.outcome = SubmissionUnknownError(
                    f"the inputs of the job {job_id} were not all uploaded ({error}), and it cannot be erased now. "
                    "recover() settles it"
                )
            elif isinstance(error, InputFileError):
                job.outcome = error
            else:
                job.outcome = JobSubmissionError(f"the job was not submitted: {error}")
            job.outcome.__cause__ = error
        self._forget([job for job in jobs.values() if job.name in erased])

    # --- Undoing ---

    def _erase(self, jobs: Sequence[_Job]) -> set[str]:
        with contextlib.suppress(ServerError):
            return erase(self._api, [job.name for job in jobs])
        return set()

    def _forget(self, jobs: Sequence[_Job]) -> None:
        self._unless_locked(self._job_list.forget, jobs)

    def _release(self, jobs: Sequence[_Job]) -> None:
        self._unless_locked(self._job_list.release, jobs)

    def _unless_locked(self, change: Callable[[Iterable[str]], None], jobs: Sequence[_Job]) -> None:
        # What stays in the list by mistake is settled by recover(), so this must not hide the true outcome.
        if jobs:
            try:
                with self._writing:
                    change([job.token for job in jobs])
            except JobListError as error:
                self._log.warning("%s", error)


def erase(api: Api, names: Sequence[str]) -> set[str]:
    """Cancel and erase jobs that must not run, and return the names of those that are gone or will be.

    :raises ServerError: if the server cannot be asked
    """
    killed = api.tell("kill", names)
    cleaned = api.tell("clean", names)
    gone = {name for name, answer in cleaned.items() if answer.code == 404}
    return gone | {name for name in names if all(name in told and told[name].done for told in (killed, cleaned))}


def is_complete(api: Api, name: str) -> bool:
    """Say whether the run script of a job is there, which was the last thing to be uploaded."""
    received = api.diagnose(name, "input_status") or ""
    return any(line.strip().lstrip("/") == RUN_SCRIPT_NAME for line in received.splitlines())


def _was_sent(job: _Job) -> bool:
    return bool(job.adl) and job.outcome is not None


def _planned(description: JobDescription) -> _Job:
    try:
        return _Job(description, plan_inputs(description), new_token())
    except JasminArcError as error:
        return _Job(description, outcome=error)


def _describe(job: _Job) -> None:
    inputs = [(staged.name, None) for staged in job.inputs]
    try:
        job.adl = submission_adl(job.description, inputs, token=job.token, delegation_id=job.delegation_id)
    except JasminArcError as error:
        job.outcome = error


def _check_answers(answers: Sequence[JobAnswer], jobs: Sequence[_Job]) -> None:
    names = [answer.id for answer in answers if answer.done]
    if len(answers) != len(jobs) or "" in names or len(set(names)) != len(names):
        raise SubmissionUnknownError(
            f"the compute element's answer to a submission of {len(jobs)} jobs does not tell which of them exist; "
            "they do not run, and recover() settles them"
        )


def _exactly(file: BinaryIO, staged: StagedInput) -> Iterator[bytes]:
    """Read as many bytes as were announced; a file that changes meanwhile is an error, not another file."""
    left = staged.size
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise InputFileError(f"input {staged.name!r}: it became shorter while it was uploaded")
        left -= len(piece)
        yield piece
    if file.read(1):
        raise InputFileError(f"input {staged.name!r}: it grew while it was uploaded")


def _waves(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    yield from _cut(jobs, _WAVE_JOBS, _WAVE_BYTES, lambda job: sum(staged.size for staged in job.inputs))


def _chunks(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    yield from _cut(jobs, _POST_JOBS, _POST_BYTES, lambda job: len(job.adl))


def _cut(jobs: Sequence[_Job], most: int, most_bytes: int, size: Callable[[_Job], int]) -> Iterator[list[_Job]]:
    part: list[_Job] = []
    total = 0
    for job in jobs:
        if part and (len(part) == most or total + size(job) > most_bytes):
            yield part
            part, total = [], 0
        part.append(job)
        total += size(job)
    if part:
        yield part


def _never_tried(job: _Job) -> JobSubmissionError:
    return JobSubmissionError(f"the job {job.description.name!r} was not submitted")
