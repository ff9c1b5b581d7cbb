"""The facade: check what the user gave, make one call down, translate the answer."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar, overload

from jasmin_arc._support.bulk import JobLike, all_or_partial, job_id_of, job_ids_of, not_found, raise_failures
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.backends.base import RENEW
from jasmin_arc.constants import STDOUT_NAME, JobState, JobStatuses
from jasmin_arc.description import Duration, InputSource, JobDescription
from jasmin_arc.exceptions import (
    JasminArcError,
    JobNotFoundError,
)
from jasmin_arc.explain import Explanation, job_failed
from jasmin_arc.interface_2017 import ArcObjects
from jasmin_arc.job import Job
from jasmin_arc.job_info import JobInfo, RemoteFile

if TYPE_CHECKING:
    from jasmin_arc.site_info import SiteInfo
    from jasmin_arc.watcher import Seen

_Result = TypeVar("_Result")


class ArcInterface(ArcObjects):
    """Submit jobs, ask about them, cancel them and save their outputs.

    Nothing is read but the configuration until the first call that needs more. Threads may share an interface.
    Wherever a method takes the id of a job, it also takes a :class:`~jasmin_arc.job.Job`.

    :param config_path: path to the JSON file with the configuration (default: the one that the environment variable
        ``JASMIN_ARC_CONFIG`` names, else ``~/.config/jasmin_arc/config.json``, else the default settings)
    :param log: file-like object to write log messages to, or ``None`` for none (default: ``sys.stdout``). Messages also
        go to Python's own logger ``jasmin_arc``, if the program has set up handlers for it
    :param log_level: the level of detail that ``log`` shows
    :param config: a :class:`~jasmin_arc.config.ConnectionConfig`, or a mapping of options that override all others
    :raises InvalidConfigError: if the configuration is not valid JSON or is otherwise invalid
    """

    def __enter__(self) -> ArcInterface:
        return self

    # --- Submitting ---

    def submit_job(
        self,
        executable: str | os.PathLike[str] = "",
        args: Sequence[str] = (),
        input_files: Sequence[str | os.PathLike[str]] | Mapping[str, InputSource] = (),
        *,
        name: str | None = None,
        outputs: str | Sequence[str] | Mapping[str, str | None] | None = None,
        environment: Mapping[str, str] | None = None,
        queue: str | None = None,
        account: str | None = None,
        slots: int = 1,
        slots_per_host: int | None = None,
        memory: str | int | None = None,
        wall_time: Duration | None = None,
        cpu_time: Duration | None = None,
        runtime_environments: Sequence[str] = (),
        stdin: str | os.PathLike[str] | bytes | None = None,
        steps: Sequence[Sequence[str]] = (),
        stop_on_failure: bool = True,
        rerun: int = 0,
        native: Mapping[str, Sequence[str]] | None = None,
    ) -> str:
        """Submit a job and return the job ID.

        A successful return guarantees that the job is in the job list and will run. For the options see
        :class:`~jasmin_arc.description.JobDescription`, where ``args`` is called ``arguments`` and ``input_files``
        is called ``inputs``.

        :param executable: the command to run on the cluster
        :param args: the arguments to pass to the executable; they arrive exactly as given
        :param input_files: paths of local files to copy to the session directory, in which the job runs
        :raises InvalidJobDescription: if a value is impossible
        :raises InputFileError: if an input file cannot be used; nothing has been sent
        :raises NoTargetsAvailableError: if the server is out of reach or offers nothing to run jobs on
        :raises JobSubmissionError: if the server refuses the job; the message has its reason
        :raises SubmissionUnknownError: if the server's answer was lost; see :meth:`recover`
        """
        description = JobDescription(
            executable=executable,
            arguments=args,
            name=name,
            inputs=input_files,
            outputs=outputs,
            environment=environment,
            queue=queue,
            account=account,
            slots=slots,
            slots_per_host=slots_per_host,
            memory=memory,
            wall_time=wall_time,
            cpu_time=cpu_time,
            runtime_environments=runtime_environments,
            stdin=stdin,
            steps=steps,
            stop_on_failure=stop_on_failure,
            rerun=rerun,
            native=native,
        )
        (result,) = self._submit([description])
        if isinstance(result, JasminArcError):
            raise result
        return result

    def submit_jobs(self, descriptions: Sequence[JobDescription], *, progress: bool = False) -> list[str]:
        """Submit many jobs and return their ids, in order.

        :param progress: show a progress bar
        :raises PartialFailureError: if some were not submitted; its ``results`` has an id or an error for each
        """
        return all_or_partial(self._submit(descriptions, progress=progress), "submitted")

    def _submit(self, descriptions: Sequence[JobDescription], *, progress: bool = False) -> list[str | JasminArcError]:
        for description in descriptions:
            if not isinstance(description, JobDescription):
                raise TypeError(f"a JobDescription is needed, not {description!r}")
        complete = [description.completed([self.config.OUTPUT_FILE]) for description in descriptions]
        if not complete:
            return []
        with ProgressBar(len(complete), "job", show=progress) as bar:
            results = self.backend.submit(complete, progress=bar.update)
        if RENEW in self.backend.capabilities:
            self._warnings.short_credentials(complete, lambda: self.proxy.expires())
        for result in results:
            # The caller gets an error too; this is for the record alone.
            refused = isinstance(result, JasminArcError)
            self.logger.info("a job was not submitted: %s" if refused else "submitted %s", result)
        return results

    # --- Asking ---

    def get_job_status(self, job_id: JobLike) -> JobStatuses:
        """Return the status of the given job.

        :param job_id: ID of the job as returned by ``submit_job``, or a handle on it
        :raises JobNotFoundError: if no job with the given ID could be found
        :raises ServerError: if the server does not answer; no status is ever guessed
        """
        checked = job_id_of(job_id)
        return _found(checked, self._ledger.states([checked])).status

    def get_job_statuses(self, job_ids: Sequence[JobLike]) -> list[JobStatuses]:
        """Return the statuses of many jobs, in order, with few requests however many they are.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = job_ids_of(job_ids)
        answers = self._ledger.states(ids)
        found = [answers.get(job_id) or not_found(job_id) for job_id in ids]
        return all_or_partial([answer.status if isinstance(answer, JobState) else answer for answer in found], "found")

    def get_job_info(self, job_id: JobLike) -> JobInfo:
        """Return what is known of the given job.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        checked = job_id_of(job_id)
        return _found(checked, self._infos([checked]))

    def get_job_infos(self, job_ids: Sequence[JobLike]) -> list[JobInfo]:
        """Return what is known of many jobs, in order.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = job_ids_of(job_ids)
        infos = self._infos(ids)
        return all_or_partial([infos.get(job_id) or not_found(job_id) for job_id in ids], "found")

    def job(self, job_id: JobLike) -> Job:
        """Return a handle on the job; nothing is asked."""
        return Job(self, job_id_of(job_id))

    def list_jobs(
        self,
        *,
        status: JobStatuses | None = None,
        name: str | None = None,
        since: datetime | timedelta | None = None,
        last: int | None = None,
    ) -> list[str]:
        """Return the ids of the jobs on the server and in the job list, oldest first where that is known.

        With ``name``, ``since`` or ``last``, jobs that only the server knows are left out, and the server is not asked
        for them.

        :param status: only jobs with this status; the server is asked about those whose end was not seen yet
        :param name: only jobs whose name matches this pattern, such as ``"model-*"``
        :param since: only jobs submitted after this time, or within this timedelta
        :param last: only the newest so many of the jobs that all of this leaves
        :raises ServerError: if the server does not answer
        """
        if last is not None and last < 1:
            raise ValueError(f"last must be at least 1, not {last}")
        return self._ledger.select(status=status, name=name, since=since, last=last)

    def _infos(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        infos = self._ledger.infos(job_ids)
        self._warnings.sessions_ending(infos.values(), self.job_list)
        return infos

    # --- Waiting ---

    def wait(
        self, job_ids: Sequence[JobLike], *, timeout: float | None = None, progress: bool = False, check: bool = False
    ) -> list[JobStatuses]:
        """Return the statuses of the jobs, in order, once all have ended.

        A server that does not answer meanwhile is waited out, with a warning in the log.

        :param timeout: the most seconds to wait, where 0 just looks; the jobs go on in any case
        :param progress: show a progress bar
        :param check: raise an error if a job failed or was cancelled
        :raises WaitTimeoutError: if time is up; its ``unfinished`` names the jobs that have not ended
        :raises PartialFailureError: if some of the jobs could not be found
        :raises ServerError: if the server refuses to answer for a minute, or five times in a row if it has never
            answered before; with ``timeout=0``, if the question fails
        :raises JobFailedError: with ``check``, if jobs failed: its ``job_ids`` names them, its message says why the
            first of them did, as :meth:`explain` does
        """
        ids = job_ids_of(job_ids)
        outcomes: dict[str, JobStatuses | JobNotFoundError] = {}
        with ProgressBar(len(set(ids)), "job", show=progress, waits=True) as bar:
            for job_id, future in self._completions(ids, timeout, bar.see):
                outcomes[job_id] = _outcome(future)
                bar.update(1)
        statuses = all_or_partial([outcomes[job_id] for job_id in ids], "found")
        failed = [job_id for job_id, status in zip(ids, statuses) if status is JobStatuses.FAILED]
        if check and failed:
            raise job_failed(self.explain(failed[0]), failed)
        return statuses

    def as_completed(self, job_ids: Sequence[JobLike], *, timeout: float | None = None) -> Iterator[Job]:
        """Yield a handle on each job as it ends.

        :param timeout: the most seconds to wait for all, where 0 just looks; the jobs go on in any case
        :raises WaitTimeoutError: if time is up
        :raises JobNotFoundError: if a job could not be found
        :raises ServerError: as :meth:`wait` does
        """
        for job_id, future in self._completions(job_ids_of(job_ids), timeout):
            future.result()
            yield Job(self, job_id)

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

        checked = job_id_of(job_id)
        # Elsewhere, as it may take its time to make a backend and a proxy, or ask for a passphrase.
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.backend.authenticate())
        return (await self._watcher.when_ended(checked)).status

    # --- Ending ---

    def cancel_job(self, job_id: JobLike) -> None:
        """Cancel the given job. A job that has ended already is left as it is.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        for error in self.backend.cancel([job_id_of(job_id)]).values():
            raise error

    def cancel_jobs(self, job_ids: Sequence[JobLike]) -> None:
        """Cancel many jobs. Those that have ended already are left as they are.

        :raises PartialFailureError: if some could not be cancelled
        """
        ids = job_ids_of(job_ids)
        raise_failures(ids, self.backend.cancel(ids), "cancelled")

    def clean_jobs(self, job_ids: Sequence[JobLike], *, force: bool = False) -> None:
        """Erase jobs with their files from the server and from the job list. Jobs known to be gone are no failure.

        A compute element erases them within some seconds; until then it may still list them.

        Outputs count as saved once all of them were downloaded after the job's end.

        :param force: also erase jobs whose outputs were never saved, and drop from the job list those that are not
            known there though no end of theirs was seen
        :raises PartialFailureError: if some could not be erased: they have not ended (cancel them and wait), or their
            outputs were never saved
        """
        ids = job_ids_of(job_ids)
        raise_failures(ids, self._ledger.erase(ids, force=force), "erased")

    def resubmit_jobs(self, job_ids: Sequence[JobLike], *, progress: bool = False) -> list[str]:
        """Submit the same descriptions, with the same inputs, as new jobs, and return the new ids, in order.

        The old jobs stay as they are; the job list links the new ones to them. Inputs are read anew, from where they
        were read for the old job.

        :raises PartialFailureError: if some could not be submitted again
        """
        ids = job_ids_of(job_ids)
        descriptions, failures = self._ledger.descriptions(ids)
        sent = dict(zip(descriptions, self._submit(list(descriptions.values()), progress=progress)))
        self._ledger.resubmitted({new: old for old, new in sent.items() if isinstance(new, str)})
        results = {**sent, **failures}
        return all_or_partial([results[job_id] for job_id in ids], "submitted again")

    def restart_jobs(self, job_ids: Sequence[JobLike]) -> None:
        """Let the compute element itself take up failed jobs again, under their old ids, at the step that failed.

        That helps where a transfer failed, or where the job could not be handed to the batch system. A program that
        ran and failed is not run again so: that is what :meth:`resubmit_jobs` is for.

        :raises PartialFailureError: for jobs whose description did not allow it (``rerun``), or that did not fail
        """
        ids = job_ids_of(job_ids)
        raise_failures(ids, self._ledger.restart(ids), "restarted")

    def renew(self, job_ids: Sequence[JobLike]) -> None:
        """Give the delegated credentials of jobs a new lifetime, from a fresh proxy. A job without them is no failure.

        :raises PartialFailureError: if some could not be renewed
        """
        ids = job_ids_of(job_ids)
        raise_failures(ids, self.backend.renew(ids), "renewed")

    # --- Outputs ---

    def save_job_outputs(
        self,
        job_id: JobLike,
        *,
        directory: str | os.PathLike[str] | None = None,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> str | None:
        """Download the outputs of a job and return the path of the directory that they are in.

        The outputs that the job's description names (by default ``OUTPUT_FILE``) are saved under their names, standard
        output and error as ``stdout.txt`` and ``stderr.txt``. Of a job that was submitted with another tool or on
        another machine, all files are saved that it has kept. An interrupted download leaves nothing half-written.

        :param directory: where to save them; made if it is not there (default: a new temporary directory)
        :param files: names or patterns of what to save, besides stdout and stderr
        :param overwrite: whether files that are there already are replaced
        :param progress: show a progress bar
        :returns: the directory, or ``None`` where there was nothing to save
        :raises JobNotFoundError: if no job with the given ID could be found
        :raises OutputError: if a download failed or a file is there already
        """
        folder = Path(directory).expanduser() if directory is not None else None
        return self._saver.save(job_id_of(job_id), folder, files=files, overwrite=overwrite, progress=progress)

    def save_outputs(
        self,
        job_ids: Sequence[JobLike],
        directory: str | os.PathLike[str],
        *,
        files: Sequence[str] | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> list[str | None]:
        """Download the outputs of many jobs, each into a folder of its own, and return the folders, in order.

        A folder is called like the last part of the job's id; if two jobs share that, the host goes in front. For the
        rest see :meth:`save_job_outputs`.

        :raises PartialFailureError: if some could not be saved
        """
        folders = self._saver.save_many(
            job_ids_of(job_ids), Path(directory).expanduser(), files=files, overwrite=overwrite, progress=progress
        )
        return all_or_partial(folders, "saved")

    # --- Looking inside ---

    def list_files(self, job_id: JobLike, path: str = "") -> list[RemoteFile]:
        """List the job's files, or those of one of its folders, with their sizes; also while it runs.

        :raises JobNotFoundError: if there is no such job or folder
        """
        return self.backend.list_files(job_id_of(job_id), path)

    @overload
    def read(self, job_id: JobLike, name: str = ..., *, limit: int | None = ..., encoding: str = ...) -> str: ...
    @overload
    def read(self, job_id: JobLike, name: str = ..., *, limit: int | None = ..., encoding: None) -> bytes: ...
    def read(
        self, job_id: JobLike, name: str = STDOUT_NAME, *, limit: int | None = None, encoding: str | None = "utf-8"
    ) -> str | bytes:
        """Return the content of one of the job's files; also while it runs.

        :param name: the file: ``"stdout"`` or ``"stderr"``, whatever the job calls it, or any that :meth:`list_files`
            shows
        :param limit: the most bytes to read
        :param encoding: how to read it as text, where what cannot be read is replaced; ``None`` returns bytes
        :raises JobNotFoundError: if there is no such job or file
        """
        from jasmin_arc.staging.reading import read_all

        content = read_all(self.backend, job_id_of(job_id), name, limit=limit)
        return content if encoding is None else content.decode(encoding, "replace")

    def open(self, job_id: JobLike, name: str = STDOUT_NAME, *, offset: int = 0) -> BinaryIO:
        """Open one of the job's files for reading, for those that are too large for :meth:`read`.

        :param offset: the byte to start at
        :raises JobNotFoundError: if there is no such job or file
        """
        return self.backend.open(job_id_of(job_id), name, offset)

    @overload
    def follow(self, job_id: JobLike, name: str = ..., *, encoding: str = ...) -> Iterator[str]: ...
    @overload
    def follow(self, job_id: JobLike, name: str = ..., *, encoding: None) -> Iterator[bytes]: ...
    def follow(
        self, job_id: JobLike, name: str = STDOUT_NAME, *, encoding: str | None = "utf-8"
    ) -> Iterator[str] | Iterator[bytes]:
        """Yield the content of one of the job's files as it grows, until the job has ended.

        A file that is not there yet is waited for, and so is a server that does not answer, with a warning in the log.

        :param encoding: how to read it as text, where what cannot be read is replaced; ``None`` yields bytes
        :raises JobNotFoundError: if there is no such job
        """
        from jasmin_arc.staging.reading import decoded, follow

        blocks = follow(self.backend, job_id_of(job_id), name, log=self.logger)
        return blocks if encoding is None else decoded(blocks, encoding)

    def explain(self, job_id: JobLike) -> Explanation:
        """Say why the job failed, or why it has not ended yet: the cause, the evidence, and what to do.

        A job that only the job list still knows is explained from there.

        :raises JobNotFoundError: if there is no such job
        :raises ServerError: if the server does not answer
        """
        from jasmin_arc.explain.conclude import explain
        from jasmin_arc.explain.gather import gather

        checked = job_id_of(job_id)
        return explain(gather(self.backend, self.job_list, checked, optional=[self.config.OUTPUT_FILE]))

    def site(self) -> SiteInfo:
        """Return what the place where jobs run offers: queues, limits, slots, runtime environments."""
        return self.backend.site()

    def check(self, description: JobDescription) -> list[str]:
        """Compare the description with what the site offers, and return what stands in its way; nothing is sent.

        :returns: one sentence for each problem, with the nearest name for a typo; empty where there is none
        """
        from jasmin_arc.explain.limits import check

        return check(description, self.backend.site())

    # --- Putting right ---

    def recover(self) -> dict[str, str]:
        """Settle what an earlier process left unfinished when it was killed in the middle of a submission.

        Jobs whose answer was lost are found; those that were complete are kept, the others, which could never run, are
        erased. Nothing is submitted again.

        :returns: by job id: its state, or ``"removed"``
        """
        settled = self.backend.recover()
        return {job_id: info.state.value if info is not None else "removed" for job_id, info in settled.items()}


def _outcome(future: Future[JobState]) -> JobStatuses | JobNotFoundError:
    try:
        return future.result().status
    except JobNotFoundError as error:
        return error


def _found(job_id: str, answers: Mapping[str, _Result | JasminArcError]) -> _Result:
    answer = answers.get(job_id) or not_found(job_id)
    if isinstance(answer, JasminArcError):
        raise answer
    return answer
