"""Waiting for jobs to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from jasmin_arc._support.bulk import JobLike, JobsLike, all_or_partial, summarize_ids
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc._support.tracebacks import in_one_line, interrupted, shortens_tracebacks
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.exceptions import PYTHON_WORDS, JasminArcError, JobFailedError, JobNotFoundError
from jasmin_arc.explain import job_failed
from jasmin_arc.interface.understanding import Understanding

if TYPE_CHECKING:
    from jasmin_arc.watcher import Seen


@shortens_tracebacks
class Waiting(Understanding):
    """Jobs are waited for."""

    def wait(
        self, job_ids: JobsLike, *, timeout: float | None = None, progress: bool = False, check: bool = False
    ) -> list[JobStatuses]:
        """Return the statuses of the jobs, in order, once all have ended.

        A server that does not answer meanwhile is waited out, with a warning in the log. The log also warns, once for
        each job, of completed jobs that did not make an output that their description names.

        :param timeout: the most seconds to wait, where 0 just looks; the jobs go on in any case
        :param progress: show a progress bar
        :param check: raise an error if a job failed or was cancelled
        :raises WaitTimeoutError: if time is up; its ``unfinished`` names the jobs that have not ended
        :raises PartialFailureError: if some of the jobs could not be found
        :raises ServerError: if the server refuses to answer for a minute, or five times in a row if it has never
            answered before; with ``timeout=0``, if the question fails
        :raises KeyboardInterrupt: at Ctrl-C; its message says how many of the jobs go on
        :raises JobFailedError: with ``check``, if jobs failed: its ``job_ids`` names them, its message says why the
            first of them did, as :meth:`explain` does
        """
        ids = self._ids(job_ids)
        outcomes: dict[str, JobStatuses | JobNotFoundError] = {}
        try:
            with ProgressBar(len(set(ids)), "job", show=progress, waits=True) as bar:
                for job_id, future in self._completions(ids, timeout, bar.see):
                    outcomes[job_id] = _outcome(future)
                    bar.update(1)
            completed = [job_id for job_id in ids if outcomes.get(job_id) is JobStatuses.COMPLETED]
            if completed:
                self._missing.warn(self._missing.look(completed, saved_too=False))
        except KeyboardInterrupt:
            raise interrupted(stopped(len(set(ids)) - len(outcomes))) from None
        statuses = all_or_partial([outcomes[job_id] for job_id in ids], "found")
        failed = [job_id for job_id, status in zip(ids, statuses) if status is JobStatuses.FAILED]
        if check and failed:
            raise self._failed(failed)
        return statuses

    def _failed(self, job_ids: Sequence[str]) -> JobFailedError:
        try:
            return job_failed(self.explain(job_ids[0]), job_ids)
        except JasminArcError as error:
            problem = f"{summarize_ids(job_ids)} did not succeed; why cannot be told now: {error.message}"
            return JobFailedError(problem, job_ids)

    def _completions(
        self, job_ids: Sequence[str], timeout: float | None, seen: Seen | None = None
    ) -> Iterator[tuple[str, Future[JobState]]]:
        if job_ids:
            self.backend.authenticate()
        return self._watcher.completed(job_ids, timeout=timeout, seen=seen)

    async def status_when_ended(self, job_id: JobLike) -> JobStatuses:
        """Wait without blocking the event loop, and return the job's status once it has ended.

        All jobs that are waited for at the same time, in whichever way, share their questions to the server.

        :raises JobNotFoundError: if the job could not be found
        """
        import asyncio

        def find() -> str:
            self.backend.authenticate()
            return self._id(job_id)

        try:
            # Elsewhere, as it may take its time to make a backend and a proxy, ask for a passphrase, or find a name.
            checked = await asyncio.get_running_loop().run_in_executor(None, find)
            return (await self._watcher.when_ended(checked)).status
        except asyncio.CancelledError as error:
            # As by the stop button of a notebook.
            raise in_one_line(error, stopped(1)) from None


def _outcome(future: Future[JobState]) -> JobStatuses | JobNotFoundError:
    try:
        return future.result().status
    except JobNotFoundError as error:
        return error


def stopped(going_on: int, *, back: str = "wait") -> str:
    """Return what an interrupted wait says of the jobs that go on.

    :param back: what waits again, by its name in ``PYTHON_WORDS``
    """
    if not going_on:
        return "stopped; all jobs have ended"
    jobs, them = ("the job goes on", "it") if going_on == 1 else (f"{going_on} jobs go on", "them")
    return f"stopped; {jobs}: {PYTHON_WORDS[back]} leads back to {them}, {PYTHON_WORDS['cancel']} ends {them}"
