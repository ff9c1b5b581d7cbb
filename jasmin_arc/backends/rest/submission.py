"""Submitting in two phases: write down, create, write the ids down, upload, and last of all the run script.

A job does not run before its run script is there, so a job whose answer was lost never runs, and one that runs is in
the job list. Wherever this process is killed, :mod:`~jasmin_arc.backends.rest.recovery` can settle what is left.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from jasmin_arc._support.parallel import run_all
from jasmin_arc._support.text import excerpt
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.backends.rest.delegations import Delegations
from jasmin_arc.backends.rest.documents import JobAnswer
from jasmin_arc.backends.rest.marks import marked_script
from jasmin_arc.constants import RUN_SCRIPT_NAME
from jasmin_arc.credentials import Credentials
from jasmin_arc.description import JobDescription
from jasmin_arc.description.formats.adl import submission_adl
from jasmin_arc.exceptions import (
    Advice,
    InputFileError,
    JasminArcError,
    JobListError,
    JobSubmissionError,
    NoTargetsAvailableError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list.journal import Batch, Entry, Journal
from jasmin_arc.staging.inputs import StagedInput, plan_inputs, upload_all

_WAVE_JOBS = 1000
_WAVE_BYTES = 1 << 30
"""A server gives a client ten minutes to upload a job's inputs, so no more jobs than that are created at a time"""
_POST_JOBS = 50
_POST_BYTES = 4 << 20
_PIECE = 1 << 20
_NOT_SUBMITTED = "the job was not submitted"
_SETTLED = Advice("{recover} settles it")

Progress = Callable[[int], object]
Create = Callable[[bytes], list[JobAnswer]]


@dataclass(eq=False)
class PendingJob:
    """A job on its way."""

    entry: Entry
    needs_delegation: bool = False
    inputs: tuple[StagedInput, ...] = ()
    adl: str = ""
    native_id: str = ""
    outcome: str | JasminArcError | None = None


class Submitter:
    def __init__(self, api: Api, credentials: Credentials, delegations: Delegations, journal: Journal) -> None:
        self._api = api
        self._credentials = credentials
        self._delegations = delegations
        self._journal = journal

    def plan(self, description: JobDescription) -> PendingJob:
        """Check the inputs of a job, which has an outcome already where something is wrong with them."""
        job = PendingJob(Entry(description, self._api.client.endpoint))
        try:
            job.needs_delegation = self._needs_delegation(description)
            job.inputs = plan_inputs(description, script=marked_script)
        except JasminArcError as error:
            job.outcome = error
        return job

    def _needs_delegation(self, description: JobDescription) -> bool:
        """Say whether the compute element is to act for the user.

        :raises JobSubmissionError: if it would send a token over a connection that is not encrypted: it shows what was
            delegated to every server of the job
        """
        if not self._credentials.is_token:
            return description.needs_credentials
        bare = [url for url in description.urls if _in_the_open(url)]
        needed = description.hands_on_credentials or len(bare) < len(description.urls)
        if needed and bare:
            raise JobSubmissionError(
                f"{_NOT_SUBMITTED}: the compute element would send your token unencrypted to {excerpt(bare[0])}, as "
                "it shows the token to all servers of a job",
                advice="use https URLs, or submit the job with a certificate",
            )
        return needed

    def submit(self, descriptions: Sequence[JobDescription], progress: Progress | None) -> list[str | JasminArcError]:
        count = progress or (lambda _jobs: None)
        jobs = [self.plan(description) for description in descriptions]
        planned = [job for job in jobs if job.outcome is None]
        for wave in _cut(planned, _WAVE_JOBS, _WAVE_BYTES, lambda job: sum(staged.size for staged in job.inputs)):
            try:
                self._submit_wave(wave, count)
            except JasminArcError as error:
                if not any(job.adl and job.outcome is not None for job in jobs):
                    raise
                # What became of the waves before must reach the caller.
                for job in jobs:
                    job.outcome = job.outcome or error
                break
        count(sum(job.outcome is not None and not job.adl for job in jobs))
        if jobs and all(isinstance(job.outcome, NoTargetsAvailableError) for job in jobs):
            raise jobs[0].outcome  # type: ignore[misc]
        return [job.outcome or JobSubmissionError(_NOT_SUBMITTED) for job in jobs]

    def _submit_wave(self, wave: Sequence[PendingJob], count: Progress) -> None:
        self._delegate(wave)
        for job in wave:
            inputs = [(staged.name, None) for staged in job.inputs]
            entry = job.entry
            try:
                job.adl = submission_adl(
                    entry.description, inputs, token=entry.token, delegation_id=entry.delegation_id
                )
            except JasminArcError as error:
                job.outcome = error
        jobs = [job for job in wave if job.outcome is None]
        # This may ask the server, which must not fail once something is written down.
        create = self._api.job_creator()
        with self._journal.submitting([job.entry for job in jobs]) as batch:
            self._create(create, jobs, batch, count)
            self._upload([job for job in jobs if job.outcome is None], batch, count)

    def _delegate(self, jobs: Sequence[PendingJob]) -> None:
        """See that the server is there, and give credentials to the jobs that need them."""
        # Jobs must belong to whom they are written down for, also where the token was replaced a moment ago.
        self._api.client.look_again()
        needy = [job for job in jobs if job.needs_delegation]
        try:
            if needy:
                delegation_id = self._delegations.current()
            else:
                self._api.check_reachable()
        except ServerUnavailableError as error:
            raise NoTargetsAvailableError(f"nothing was submitted: {error.message}", advice=error.advice) from error
        for job in needy:
            job.entry.delegation_id = delegation_id
        self.name_owner(jobs)

    def name_owner(self, jobs: Sequence[PendingJob]) -> None:
        """Note whose jobs they will be."""
        owner = self._credentials.owner()
        for job in jobs:
            job.entry.identity = owner

    def _create(self, create: Create, jobs: Sequence[PendingJob], batch: Batch, count: Progress) -> None:
        chunks = list(_cut(jobs, _POST_JOBS, _POST_BYTES, lambda job: len(job.adl)))
        results = run_all(lambda chunk: self._post(create, chunk, batch), chunks, workers=4)
        for chunk, result in zip(chunks, results):
            for job in chunk:
                job.outcome = job.outcome or result
        failed = [job for job in jobs if job.outcome is not None]
        batch.drop(job.entry.token for job in failed if not isinstance(job.outcome, SubmissionUnknownError))
        count(len(failed))

    def _post(self, create: Create, jobs: Sequence[PendingJob], batch: Batch) -> None:
        """Create the jobs of one request, and write down their ids before anything else is done with them."""
        document = "<ActivityDescriptions>" + "".join(job.adl for job in jobs) + "</ActivityDescriptions>"
        try:
            answers = create(document.encode())
        except ServerError as error:
            kind = NoTargetsAvailableError if isinstance(error, ServerUnavailableError) else JobSubmissionError
            raise kind(f"{_NOT_SUBMITTED}: {error.message}", advice=error.advice) from error
        native_ids = [answer.native_id for answer in answers if answer.done]
        if len(answers) != len(jobs) or "" in native_ids or len(set(native_ids)) != len(native_ids):
            raise SubmissionUnknownError(
                f"the compute element's answer to a submission of {len(jobs)} jobs does not tell which of them exist; "
                "they do not run",
                advice=Advice("{recover} settles them"),
            )
        for job, answer in zip(jobs, answers):
            if answer.done:
                job.native_id = answer.native_id
            else:
                name = job.entry.description.name
                job.outcome = JobSubmissionError(
                    f"the compute element refuses the job {name!r}: {answer.reason or answer.code}"
                )
        self.write_ids([job for job in jobs if job.native_id], batch)

    def write_ids(self, jobs: Sequence[PendingJob], batch: Batch) -> None:
        """Write down the ids of jobs that exist now; where that is impossible they are given up."""
        try:
            batch.created({job.entry.token: self._api.job_url(job.native_id) for job in jobs})
        except JobListError as error:
            unlisted = JobListError(
                f"{_NOT_SUBMITTED}, as its id cannot be written down: {error.message}", advice=error.advice
            )
            unlisted.__cause__ = error
            self.give_up(dict.fromkeys(jobs, unlisted), batch)

    def _upload(self, jobs: Sequence[PendingJob], batch: Batch, count: Progress) -> None:
        lock = threading.Lock()

        def put(job: PendingJob, staged: StagedInput) -> None:
            self._put(job.native_id, staged)
            if staged.commits:
                with lock:
                    count(1)

        failures = upload_all({job: job.inputs for job in jobs}, put, workers=8)
        # A job is complete all the same where just the last answer was lost.
        complete = run_all(lambda job: is_complete(self._api, job.native_id), failures, workers=8)
        failed = {job: error for (job, error), done in zip(failures.items(), complete) if done is not True}
        self.commit([job for job in jobs if job not in failed], batch)
        self.give_up(failed, batch)

    def _put(self, native_id: str, staged: StagedInput) -> None:
        with contextlib.closing(staged.pieces(_PIECE)) as pieces:
            body = b"".join(pieces) if staged.size <= _PIECE else pieces
            self._api.upload(native_id, staged.name, body, staged.size)

    def commit(self, jobs: Sequence[PendingJob], batch: Batch) -> None:
        """Write down that jobs run, which is their outcome."""
        ids = {self._api.job_url(job.native_id): job for job in jobs}
        unlisted = batch.commit(ids)
        for job_id, job in ids.items():
            job.outcome = unlisted.get(job_id, job_id)

    def give_up(self, failed: Mapping[PendingJob, JasminArcError], batch: Batch) -> None:
        """Erase jobs that exist and must not run. Why is their outcome, or that they cannot be erased."""
        erased: set[str] = set()
        with contextlib.suppress(JasminArcError):
            erased = erase(self._api, [job.native_id for job in failed])
        for job, error in failed.items():
            if job.native_id not in erased:
                url = self._api.job_url(job.native_id)
                job.outcome = SubmissionUnknownError(
                    f"the job {url} was not submitted ({error.message}), but cannot be erased now", advice=_SETTLED
                )
            elif isinstance(error, (InputFileError, JobListError, JobSubmissionError)):
                job.outcome = error
                continue
            else:
                job.outcome = JobSubmissionError(f"{_NOT_SUBMITTED}: {error.message}", advice=error.advice)
            job.outcome.__cause__ = error
        batch.drop(job.entry.token for job in failed if job.native_id in erased)


def erase(api: Api, native_ids: Collection[str]) -> set[str]:
    """Cancel and erase jobs that must not run, and return those that are gone or will be."""
    killed = api.act_on_jobs("kill", native_ids)
    cleaned = api.act_on_jobs("clean", native_ids)
    gone = {job for job, answer in cleaned.items() if answer.code == 404}
    return gone | {job for job in native_ids if all(job in done and done[job].done for done in (killed, cleaned))}


def is_complete(api: Api, native_id: str) -> bool:
    """Say whether the run script of a job is there: it is uploaded last."""
    received = api.diagnose(native_id, "input_status") or ""
    return any(line.strip().lstrip("/") == RUN_SCRIPT_NAME for line in received.splitlines())


def _in_the_open(url: str) -> bool:
    return url.partition(":")[0].lower() in ("http", "dav", "ftp")


def _cut(
    jobs: Sequence[PendingJob], max_jobs: int, max_bytes: int, size: Callable[[PendingJob], int]
) -> Iterator[list[PendingJob]]:
    part: list[PendingJob] = []
    total = 0
    for job in jobs:
        if part and (len(part) == max_jobs or total + size(job) > max_bytes):
            yield part
            part, total = [], 0
        part.append(job)
        total += size(job)
    if part:
        yield part
