"""The facade: check what the user gave, make one call down, translate the answer."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed, wait
from concurrent.futures import TimeoutError as FuturesTimeoutError
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypeVar, overload

from jasmin_arc._support.bulk import JobLike, all_or_partial, job_id_of, job_ids_of, not_found, raise_failures, some
from jasmin_arc._support.logs import make_logger
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import STDOUT_NAME, JobState, JobStatuses, LogLevels
from jasmin_arc.description import Duration, InputSource, JobDescription
from jasmin_arc.exceptions import (
    InvalidConfigError,
    JasminArcError,
    JobListError,
    JobNotFoundError,
    OperationNotPossibleError,
    WaitTimeoutError,
)
from jasmin_arc.explain import Explanation, job_failed
from jasmin_arc.job import Job
from jasmin_arc.job_info import JobInfo, RemoteFile

if TYPE_CHECKING:
    from jasmin_arc.backends.base import Backend
    from jasmin_arc.credentials.proxy import ProxyManager
    from jasmin_arc.job_list import JobList, JobRecord
    from jasmin_arc.job_list.ledger import Ledger
    from jasmin_arc.site_info import SiteInfo
    from jasmin_arc.watcher import Watcher

_Result = TypeVar("_Result")


class _StandardOutput:
    """Stands for ``sys.stdout`` as it is when an interface is made, such as a notebook's."""

    def __repr__(self) -> str:
        return "sys.stdout"


_STANDARD_OUTPUT: Any = _StandardOutput()
_LOOK_UP = 0.5

_interfaces: weakref.WeakSet[ArcInterface] = weakref.WeakSet()


def _begin_all_in_child() -> None:
    for interface in list(_interfaces):
        interface._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all_in_child)


class ArcInterface:
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

    def __init__(
        self,
        config_path: str | os.PathLike[str] | None = None,
        log: TextIO | None = _STANDARD_OUTPUT,
        log_level: LogLevels = LogLevels.INFO,
        *,
        config: ConnectionConfig | Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(log_level, LogLevels):
            raise InvalidConfigError(f"log_level must be one of LogLevels, not {log_level!r}")
        self.logger = make_logger(sys.stdout if log is _STANDARD_OUTPUT else log, log_level)
        if isinstance(config, ConnectionConfig):
            self.config = config
        else:
            self.config = ConnectionConfig.load(config_path, config=config, logger=self.logger)
        self._warned: set[str] = set()
        self._begin()
        _interfaces.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._backend: Backend | None = None
        self._job_list: JobList | None = None
        self._ledger_: Ledger | None = None
        self._proxy: ProxyManager | None = None
        self._watcher: Watcher | None = None

    def _begin_in_child(self) -> None:
        """Make new parts after a fork: the threads of the old ones are the parent's, and so are their connections.

        The locks of the old ones may be held for ever, also those that it takes to let go of them, so they stay.
        """
        self._of_the_parent = vars(self).copy()
        self._begin()

    # --- The parts, each made when it is first used ---

    @property
    def backend(self) -> Backend:
        """The place where jobs run."""
        with self._lock:
            if self._backend is None:
                self._backend = self._make_backend()
            return self._backend

    @property
    def job_list(self) -> JobList:
        """The list of submitted jobs."""
        with self._lock:
            if self._job_list is None:
                from jasmin_arc.job_list import JobList

                self._job_list = JobList(Path(self.config.JOBS_INFO_FILE), log=self.logger)
            return self._job_list

    @property
    def _ledger(self) -> Ledger:
        with self._lock:
            if self._ledger_ is None:
                from jasmin_arc.job_list.ledger import Ledger

                self._ledger_ = Ledger(self.job_list, self.logger)
            return self._ledger_

    @property
    def proxy(self) -> ProxyManager:
        """The proxy certificate."""
        with self._lock:
            if self._proxy is None:
                from jasmin_arc.credentials.proxy import ProxyManager

                self._proxy = ProxyManager(self.config, self.logger)
            return self._proxy

    @property
    def _watch(self) -> Watcher:
        with self._lock:
            if self._watcher is None:
                from jasmin_arc.watcher import Watcher

                self._watcher = Watcher(self._states, self.logger, pace=self.backend.pace)
            return self._watcher

    def _make_backend(self) -> Backend:
        from jasmin_arc.backends.base import Services
        from jasmin_arc.backends.table import make_backend

        return make_backend(self.config, Services(self.job_list, lambda: self.proxy, self.logger))

    def close(self) -> None:
        """Let go of connections, files and threads. Jobs go on; a later call opens what it needs again."""
        with self._lock:
            parts = (self._watcher, self._backend, self._ledger_)
            self._watcher = self._backend = self._ledger_ = self._job_list = None
        for part in parts:
            if part is not None:
                part.close()

    def __enter__(self) -> ArcInterface:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = self.config.LOCAL_DIR if self.config.BACKEND == "local" else self.config.endpoint
        return f"<{type(self).__name__} {self.config.BACKEND} {place}>"

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
        results = self._submit(descriptions, progress=progress)
        return all_or_partial(results, "submitted")

    def _submit(self, descriptions: Sequence[JobDescription], *, progress: bool = False) -> list[str | JasminArcError]:
        for description in descriptions:
            if not isinstance(description, JobDescription):
                raise TypeError(f"a JobDescription is needed, not {description!r}")
        complete = [self._completed(description) for description in descriptions]
        if not complete:
            return []
        with ProgressBar(len(complete), "job", show=progress) as bar:
            results = self.backend.submit(complete, progress=bar.update)
        self._warn_of_short_proxy(complete)
        for result in results:
            if isinstance(result, JasminArcError):
                # The caller gets it as an error too, so this is for the record alone.
                self.logger.info("a job was not submitted: %s", result)
            else:
                self.logger.info("submitted %s", result)
        return results

    def _warn_of_short_proxy(self, descriptions: Sequence[JobDescription]) -> None:
        """Warn of a proxy that may end before the jobs. They are submitted, so nothing that goes wrong here counts."""
        from jasmin_arc.backends.base import RENEW
        from jasmin_arc.explain.warnings import of_short_proxy

        limited = [job for job in descriptions if job.wall_time is not None and job.needs_credentials]
        if RENEW not in self.backend.capabilities or not limited:
            return
        try:
            proxy = self.proxy.info()
        except JasminArcError as error:
            self.logger.debug("whether the proxy lasts long enough is not known: %s", error)
            return
        if proxy is not None and (warning := of_short_proxy(limited, proxy.expires)):
            self.logger.warning("%s", warning)

    def _completed(self, description: JobDescription) -> JobDescription:
        """Fill in what depends on this process: the default output, and where relative paths start."""
        outputs = description.outputs if description.outputs is not None else [self.config.OUTPUT_FILE]
        inputs = {name: _absolute(source) for name, source in description.inputs.items()}
        return description.replace(outputs=outputs, inputs=inputs, stdin=_absolute(description.stdin))

    # --- Asking ---

    def get_job_status(self, job_id: JobLike) -> JobStatuses:
        """Return the status of the given job.

        :param job_id: ID of the job as returned by ``submit_job``, or a handle on it
        :raises JobNotFoundError: if no job with the given ID could be found
        :raises ServerError: if the server does not answer; no status is ever guessed
        """
        checked = job_id_of(job_id)
        return _state(checked, self._answers([checked])).status

    def get_job_statuses(self, job_ids: Sequence[JobLike]) -> list[JobStatuses]:
        """Return the statuses of many jobs, in order, with few requests however many they are.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = job_ids_of(job_ids)
        answers = self._answers(ids)
        found = [answers.get(job_id) or not_found(job_id) for job_id in ids]
        return all_or_partial([answer.status if isinstance(answer, JobState) else answer for answer in found], "found")

    def get_job_info(self, job_id: JobLike) -> JobInfo:
        """Return what is known of the given job.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        checked = job_id_of(job_id)
        return self._one(checked, self._infos([checked]))

    def get_job_infos(self, job_ids: Sequence[JobLike]) -> list[JobInfo]:
        """Return what is known of many jobs, in order.

        :raises PartialFailureError: if some of the jobs could not be found
        """
        ids = job_ids_of(job_ids)
        infos = self._infos(ids)
        return all_or_partial([infos.get(job_id) or not_found(job_id) for job_id in ids], "found")

    def job(self, job_id: JobLike) -> Job:
        """Return a handle on the job; nothing is asked."""
        checked = job_id_of(job_id)
        return Job(self, checked)

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
        ids = self._select(status, name, since, last)
        return ids if last is None else ids[-last:]

    def _select(
        self,
        status: JobStatuses | None,
        name: str | None,
        since: datetime | timedelta | None,
        last: int | None,
    ) -> list[str]:
        listed = self.job_list.select(
            self.backend.endpoint,
            name=name,
            since=_start(since),
            ends=None if status is None else [None, *(end for end in JobState if end.final and end.status is status)],
            last=last if status is None else None,
        )
        ids = [job.id for job in listed]
        if name is None and since is None and last is None:
            # Of jobs that only the server knows, neither name nor time is known.
            ids = list(dict.fromkeys([*ids, *self._not_listed(status)]))
        return ids if status is None else self._with_status(ids, {job.id: job.final_state for job in listed}, status)

    def _not_listed(self, status: JobStatuses | None) -> list[str]:
        """Return the ids of jobs that are on the server, without those that are known to have another status."""
        there = self.backend.list_jobs()
        if status is None or not there:
            return there
        ended = {job_id for job_id, job in self.job_list.summaries(there).items() if job.final_state}
        return [job_id for job_id in there if job_id not in ended]

    def _with_status(
        self, job_ids: Sequence[str], ends: Mapping[str, JobState | None], status: JobStatuses
    ) -> list[str]:
        """Return the jobs with this status; only of those whose end was not seen, the server is asked."""
        states = {job_id: end for job_id, end in ends.items() if end}
        open_ids = [job_id for job_id in job_ids if job_id not in states]
        states.update(self._states(open_ids) if open_ids else {})
        return [job_id for job_id in job_ids if job_id in states and states[job_id].status is status]

    def _answers(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        """Return for each known job its state, or why it cannot be told now."""
        _, answers = self._reconciled(job_ids, self.backend.states, lambda answers: answers)
        return answers

    def _states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of the known jobs.

        :raises JasminArcError: if one of them cannot be told now
        """
        return {job_id: _state(job_id, {job_id: answer}) for job_id, answer in self._answers(job_ids).items()}

    def _reconciled(
        self,
        job_ids: Sequence[str],
        ask: Callable[[Sequence[str]], dict[str, _Result]],
        states_in: Callable[[dict[str, _Result]], Mapping[str, JobState | JasminArcError]],
    ) -> tuple[dict[str, _Result], dict[str, JobState | JasminArcError]]:
        """Ask the place, and return its answers and the states, with what is remembered of ends."""
        while True:
            restarts = self._ledger.restarts
            answers = ask(job_ids)
            states = self._ledger.reconcile(job_ids, states_in(answers), restarts=restarts)
            if states is not None:
                return answers, states

    def _infos(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        infos, answers = self._reconciled(
            job_ids, self.backend.query, lambda infos: {job_id: info.state for job_id, info in infos.items()}
        )
        infos = self._filled_in(infos)
        self._warn_of_sessions_ending(infos)
        lost = {
            job_id: state
            for job_id, state in answers.items()
            if isinstance(state, JobState) and (job_id not in infos or infos[job_id].state != state)
        }
        return {**infos, **self._remembered(lost)}

    def _filled_in(self, infos: dict[str, JobInfo]) -> dict[str, JobInfo]:
        """Add from the job list what a server tells of a job only after a while."""
        lacking = [job_id for job_id, info in infos.items() if not info.name or info.submitted is None]
        records = self._ledger.summaries(lacking)
        return {
            job_id: replace(info, name=info.name or record.name, submitted=info.submitted or record.submitted)
            if (record := records.get(job_id))
            else info
            for job_id, info in infos.items()
        }

    def _remembered(self, states: Mapping[str, JobState]) -> dict[str, JobInfo]:
        """What the job list knows of jobs that the server has forgotten."""
        return self._filled_in({job_id: JobInfo(id=job_id, state=state) for job_id, state in states.items()})

    def _warn_of_sessions_ending(self, infos: Mapping[str, JobInfo]) -> None:
        from jasmin_arc.explain.warnings import of_sessions_ending

        warnings = of_sessions_ending(infos.values(), self._warned)
        try:
            records = self.job_list.get(warnings) if warnings else {}
        except JobListError as error:
            self.logger.debug("whether outputs were saved is not known: %s", error)
            return
        for job_id, warning in warnings.items():
            self._warned.add(job_id)
            if job_id not in records or records[job_id].outputs_saved is None:
                self.logger.warning("%s", warning)

    def _one(self, job_id: str, answers: Mapping[str, _Result]) -> _Result:
        if job_id not in answers:
            raise not_found(job_id)
        return answers[job_id]

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
        if ids:
            self.backend.authenticate()
        with self._watching(ids) as futures:
            if timeout == 0:
                self._watch.look(list(futures))
            self._wait_for(futures, timeout, progress=progress)
        statuses = all_or_partial([_outcome(futures[job_id]) for job_id in ids], "found")
        failed = [job_id for job_id, status in zip(ids, statuses) if status is JobStatuses.FAILED]
        if check and failed:
            raise job_failed(self.explain(failed[0]), failed)
        return statuses

    def _wait_for(self, futures: Mapping[str, Future[JobState]], timeout: float | None, *, progress: bool) -> None:
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        unfinished = set(futures.values())
        with ProgressBar(len(futures), "job", show=progress) as bar:
            while unfinished and (seconds := until - time.monotonic()) > 0:
                # A Ctrl-C that comes just before the wait would not end it, so it is looked for from time to time.
                done, unfinished = wait(unfinished, min(seconds, _LOOK_UP))
                bar.update(len(done))
            if unfinished and timeout:
                self._look_once_more(futures)
        unfinished = {future for future in unfinished if not future.done()}
        if unfinished:
            left = [job_id for job_id, future in futures.items() if future in unfinished]
            raise WaitTimeoutError(
                f"{len(left)} of {len(futures)} jobs have not ended after {timeout:g} s: {some(left)}", left
            )

    def _look_once_more(self, futures: Mapping[str, Future[JobState]]) -> None:
        """Ask before a wait is given up: after a question that took long, the next one may be far away."""
        with suppress(JasminArcError):
            self._watch.look([job_id for job_id, future in futures.items() if not future.done()])

    def as_completed(self, job_ids: Sequence[JobLike], *, timeout: float | None = None) -> Iterator[Job]:
        """Yield a handle on each job as it ends.

        :param timeout: the most seconds to wait for all, where 0 just looks; the jobs go on in any case
        :raises WaitTimeoutError: if time is up
        :raises JobNotFoundError: if a job could not be found
        :raises ServerError: as :meth:`wait` does
        """
        ids = job_ids_of(job_ids)
        if ids:
            self.backend.authenticate()
        with self._watching(ids) as futures:
            if timeout == 0:
                self._watch.look(list(futures))
            names = {future: job_id for job_id, future in futures.items()}
            try:
                for future in as_completed(names, timeout):
                    future.result()
                    yield Job(self, names.pop(future))
            except FuturesTimeoutError as error:
                if timeout:
                    self._look_once_more(futures)
                for future in [future for future in names if future.done()]:
                    future.result()
                    yield Job(self, names.pop(future))
                left = list(names.values())
                if not left:
                    return
                raise WaitTimeoutError(
                    f"{len(left)} of {len(futures)} jobs have not ended after {timeout:g} s: {some(left)}", left
                ) from error

    async def status_when_ended(self, job_id: JobLike) -> JobStatuses:
        """Wait without blocking the event loop, and return the job's status once it has ended.

        All jobs that are waited for at the same time, in whichever way, share their questions to the server.

        :raises JobNotFoundError: if the job could not be found
        """
        import asyncio

        checked = job_id_of(job_id)
        # Elsewhere, as it may take its time to make a backend and a proxy, or ask for a passphrase.
        await asyncio.get_running_loop().run_in_executor(None, lambda: self.backend.authenticate())
        with self._watching([checked]) as futures:
            future = asyncio.wrap_future(futures[checked])
            # An error that comes after the caller gave up is nobody's, and asyncio would complain of it.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            # Shielded, as a caller that gives up must not end the wait of others.
            return (await asyncio.shield(future)).status

    @contextmanager
    def _watching(self, job_ids: Sequence[str]) -> Iterator[dict[str, Future[JobState]]]:
        watcher = self._watch
        futures = watcher.watch(job_ids)
        try:
            yield futures
        finally:
            watcher.forget(futures)

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
        failures = self._not_to_erase(ids, force=force)
        failures.update(self.backend.clean([job_id for job_id in ids if job_id not in failures]))
        lost = [job_id for job_id, error in failures.items() if isinstance(error, JobNotFoundError)]
        for job_id in self._listed_here(lost) if force else ():
            del failures[job_id]
        self._ledger.erased([job_id for job_id in ids if job_id not in failures])
        raise_failures(ids, failures, "erased")

    def _listed_here(self, job_ids: Sequence[str]) -> list[str]:
        """Return those that the job list has of this place: jobs of other places may run there."""
        try:
            records = self.job_list.get(job_ids)
        except JobListError as error:
            self.logger.warning("%s", error)
            return []
        return [job_id for job_id, record in records.items() if record.endpoint == self.backend.endpoint]

    def _not_to_erase(self, job_ids: Sequence[str], *, force: bool) -> dict[str, JasminArcError]:
        # Jobs that only the list still knows have nothing left to be saved.
        there, known = self._reconciled(job_ids, self.backend.states, lambda states: states)
        states = {job_id: _state(job_id, known) for job_id in there}
        records = self.job_list.get(job_ids)
        unsaved = {
            job_id
            for job_id, state in states.items()
            if state in (JobState.FINISHED, JobState.FAILED)
            and there[job_id] is not JobState.DELETED
            and not (job_id in records and records[job_id].outputs_saved)
        }
        # Of many jobs, it takes a closer look to see which were killed: nobody wants the outputs of those.
        failed = [job_id for job_id in unsaved if states[job_id] is JobState.FAILED]
        unsaved.difference_update(
            job_id
            for job_id, info in (self._infos(failed) if failed and not force else {}).items()
            if info.state is JobState.KILLED
        )
        refused: dict[str, JasminArcError] = {}
        for job_id, state in states.items():
            if not state.final:
                refused[job_id] = OperationNotPossibleError(f"{job_id} has not ended; cancel it first, and wait")
            elif job_id in unsaved and not force:
                refused[job_id] = OperationNotPossibleError(
                    f"the outputs of {job_id} were never saved; save them first, or erase them with force=True"
                )
        return refused

    def resubmit_jobs(self, job_ids: Sequence[JobLike], *, progress: bool = False) -> list[str]:
        """Submit the same descriptions, with the same inputs, as new jobs, and return the new ids, in order.

        The old jobs stay as they are; the job list links the new ones to them. Inputs are read anew, from where they
        were read for the old job.

        :raises PartialFailureError: if some could not be submitted again
        """
        ids = job_ids_of(job_ids)
        descriptions = self._descriptions(ids)
        sendable = [job_id for job_id in descriptions if isinstance(descriptions[job_id], JobDescription)]
        results: dict[str, str | JasminArcError] = {
            job_id: entry for job_id, entry in descriptions.items() if isinstance(entry, JasminArcError)
        }
        sent = self._submit(
            [entry for job_id in sendable if isinstance(entry := descriptions[job_id], JobDescription)],
            progress=progress,
        )
        results.update(zip(sendable, sent))
        self._ledger.resubmitted({new: old for old, new in zip(sendable, sent) if isinstance(new, str)})
        return all_or_partial([results[job_id] for job_id in ids], "submitted again")

    def _descriptions(self, job_ids: Sequence[str]) -> dict[str, JobDescription | JasminArcError]:
        records = self.job_list.get(job_ids)
        found: dict[str, JobDescription | JasminArcError] = {}
        for job_id in job_ids:
            try:
                text = records[job_id].description if job_id in records else ""
                description = JobDescription.from_json(text) if text else self.backend.description(job_id)
                self.job_list.verify_inputs(description)
                found[job_id] = description
            except JasminArcError as error:
                found[job_id] = error
        return found

    def restart_jobs(self, job_ids: Sequence[JobLike]) -> None:
        """Let the compute element itself take up failed jobs again, under their old ids, at the step that failed.

        That helps where a transfer failed, or where the job could not be handed to the batch system. A program that
        ran and failed is not run again so: that is what :meth:`resubmit_jobs` is for.

        :raises PartialFailureError: for jobs whose description did not allow it (``rerun``), or that did not fail
        """
        ids = job_ids_of(job_ids)
        try:
            failures = self.backend.restart(ids)
        except BaseException:
            # The server may have done it: what was seen of these jobs is not their end then.
            self._ledger.restarted(ids)
            raise
        self._ledger.restarted([job_id for job_id in ids if job_id not in failures])
        raise_failures(ids, failures, "restarted")

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
        from jasmin_arc.staging import save_outputs

        checked = job_id_of(job_id)
        complete = self._complete_if_saved([checked], files)
        target = Path(directory).expanduser() if directory is not None else Path(tempfile.mkdtemp(prefix="jasmin_arc-"))
        try:
            with ProgressBar(None, "B", show=progress) as bar:
                saved = save_outputs(
                    self.backend,
                    checked,
                    target,
                    outputs=files if files is not None else self._outputs_of(checked),
                    overwrite=overwrite,
                    planned=lambda count, size: self._announce(bar, count, size),
                    progress=bar.update,
                )
        except BaseException:
            if directory is None:
                # Nobody was told where it is.
                shutil.rmtree(target, ignore_errors=True)
            raise
        self._ledger.saved(complete)
        if not saved:
            if directory is None:
                _remove_if_empty(target)
            return None
        self.logger.info("saved %d outputs of %s to %s", len(saved), checked, target)
        return str(target)

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
        from jasmin_arc.staging import folders_of, save_many

        ids = job_ids_of(job_ids)
        root = Path(directory).expanduser()
        folders = folders_of(ids, root)
        complete = self._complete_if_saved(ids, files)
        records = self.job_list.get(ids)
        with ProgressBar(len(folders), "job", show=progress) as bar:
            results = save_many(
                self.backend,
                folders,
                outputs=lambda job_id: files if files is not None else self._outputs_in(records.get(job_id)),
                overwrite=overwrite,
                job_done=lambda: bar.update(1),
            )
        self._ledger.saved([job_id for job_id in complete if not isinstance(results[job_id], JasminArcError)])
        saved = [job_id for job_id in ids if isinstance(results[job_id], list) and results[job_id]]
        self.logger.info("saved the outputs of %d jobs to %s", len(saved), root)
        return all_or_partial([_folder(results[job_id], folders[job_id]) for job_id in ids], "saved")

    def _complete_if_saved(self, job_ids: Sequence[str], files: Sequence[str] | None) -> list[str]:
        """Return those jobs of which nothing is missing once their outputs, as they are now, were downloaded."""
        if files is not None:
            return []
        return [job_id for job_id, state in self._states(job_ids).items() if state.final]

    def _announce(self, bar: ProgressBar, files: int, size: int) -> None:
        bar.expect(size)
        self.logger.info("downloading %d files, %.1f MB", files, size / 1e6)

    def _outputs_of(self, job_id: str) -> Sequence[str]:
        return self._outputs_in(self.job_list.get([job_id]).get(job_id))

    def _outputs_in(self, record: JobRecord | None) -> Sequence[str]:
        if record is None or not record.description:
            from jasmin_arc.staging import EVERYTHING

            return EVERYTHING
        outputs = JobDescription.from_json(record.description).outputs or {}
        return [name for name, target in outputs.items() if target is None]

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

    # --- What the 2017 interface offered besides ---

    def create_proxy(self) -> None:
        """Create a proxy certificate from the private key and certificate, and save it to the path in the config.

        :raises ProxyGenerationError: if the certificate cannot be generated, or the present proxy has VOMS attributes
            and has not ended
        """
        self.proxy.create()

    def create_user_config(self) -> Any:
        """Create a user config for use with the ARC client.

        :returns: an instance of ``arc.UserConfig`` with the necessary keys, certificates and proxy files
        :raises BindingsNotFoundError: if the bindings cannot be loaded
        """
        return self._bindings().create_user_config()

    def get_user_config(self) -> Any:
        """Return the cached user config, or create a new one. A proxy that ends soon is renewed.

        :returns: an instance of ``arc.UserConfig`` (see :meth:`create_user_config`)
        """
        return self._bindings().user_config()

    def get_job(self, job_id: JobLike) -> Any:
        """Return an instance of ``arc.Job`` representing the job with the given ID.

        :raises JobNotFoundError: if no job with the given ID could be found
        """
        checked = job_id_of(job_id)
        return self._bindings().arc_job(checked)

    def get_job_descriptions(self, description: str) -> Any:
        """Return an instance of ``arc.JobDescriptionList`` with the job that the given text describes.

        :param description: the job description in xRSL, ADL or JSDL
        :raises InvalidJobDescription: if it is none of these
        """
        return self._bindings().parse_descriptions(description)

    def _bindings(self) -> Any:
        backend = self.backend
        if backend.name != "bindings":
            raise OperationNotPossibleError(
                f"this returns objects of the ARC bindings, which the {backend.name} backend does not use; "
                "set BACKEND to bindings"
            )
        return backend


def _absolute(source: _Result) -> _Result | Path:
    return source.absolute() if isinstance(source, Path) else source


def _outcome(future: Future[JobState]) -> JobStatuses | JasminArcError:
    try:
        return future.result().status
    except JobNotFoundError as error:
        return error


def _state(job_id: str, answers: Mapping[str, JobState | JasminArcError]) -> JobState:
    answer = answers.get(job_id) or not_found(job_id)
    if isinstance(answer, JasminArcError):
        raise answer
    return answer


def _folder(result: Any, folder: Path) -> str | JasminArcError | None:
    if isinstance(result, JasminArcError):
        return result
    return str(folder) if result else None


def _start(since: datetime | timedelta | None) -> datetime | None:
    if isinstance(since, timedelta):
        return datetime.now(timezone.utc) - since
    # A time without a zone is the user's own, as everywhere in Python.
    return since.astimezone(timezone.utc) if since is not None else None


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return
