"""What users hold: all that can be done with jobs. Its methods are in ``interface/``, by task."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, overload

from jasmin_arc._support.bulk import JobLike, JobsLike
from jasmin_arc._support.notebook import this_cell
from jasmin_arc._support.tracebacks import interrupted, shortens_tracebacks
from jasmin_arc.constants import JobState, JobStatuses
from jasmin_arc.description import Argument, JobDescription, check_keywords, shows_fields
from jasmin_arc.exceptions import PartialFailureError
from jasmin_arc.interface.arc_objects import ArcObjects
from jasmin_arc.interface.asking import Asking
from jasmin_arc.interface.ending import Ending
from jasmin_arc.interface.files import Files
from jasmin_arc.interface.submitting import Described, Names2017, Submitting, described, renamed
from jasmin_arc.interface.waiting import stopped
from jasmin_arc.interface.watching import Watching
from jasmin_arc.job import Job
from jasmin_arc.jobs import Jobs

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from jasmin_arc.executor import JobExecutor


@shortens_tracebacks
class ArcInterface(Submitting, Asking, Watching, Ending, Files, ArcObjects):
    """Submit jobs, ask about them, cancel them and save their outputs.

    Nothing is read but the configuration until the first call that needs more. Threads may share an interface.

    Wherever a method takes a job, it takes its id, four or more characters of the id that no other job has, its name,
    or a :class:`~jasmin_arc.job.Job`. Of several jobs with one name, the newest is meant. Where a method takes many, it
    also takes one alone, :class:`~jasmin_arc.jobs.Jobs`, and patterns of names such as ``"m-*"``; then a name means all
    jobs that have it, oldest first.

    :param config_path: path to the JSON file with the configuration (default: the one that the environment variable
        ``JASMIN_ARC_CONFIG`` names, else ``~/.config/jasmin_arc/config.json``, else the default settings)
    :param log: file-like object to write log messages to, or ``None`` for none (default: ``sys.stdout``). Messages also
        go to Python's own logger ``jasmin_arc``, if the program has set up handlers for it
    :param log_level: the level of detail that ``log`` shows (default: ``INFO``, in a notebook ``WARNING``)
    :param config: a :class:`~jasmin_arc.config.ConnectionConfig`, or a mapping of options that override all others
    :param options: options of the configuration in lower case, such as ``backend="local"``, which override ``config``
    :raises TypeError: if there is no such option; the message names the one that may be meant
    :raises InvalidConfigError: if the configuration is not valid JSON or is otherwise invalid
    """

    def __enter__(self) -> ArcInterface:
        return self

    @overload
    def submit(
        self,
        executable: str | os.PathLike[str] = ...,
        arguments: Sequence[Argument] = ...,
        **fields: Unpack[Names2017],
    ) -> Job: ...
    @overload
    def submit(
        self, executable: Described, arguments: Sequence[Argument] = ..., **fields: Unpack[Names2017]
    ) -> Job: ...
    @overload
    def submit(
        self,
        executable: Iterable[Described],
        arguments: Sequence[Argument] = ...,
        *,
        progress: bool = ...,
        **fields: Unpack[Names2017],
    ) -> Jobs: ...
    @shows_fields
    def submit(
        self,
        executable: str | os.PathLike[str] | Described | Iterable[Described] = "",
        arguments: Sequence[Argument] | None = None,
        *,
        progress: bool = False,
        **fields: Any,
    ) -> Job | Jobs:
        """Submit a job and return a handle on it; or many jobs, and return a sequence of handles.

        A successful return guarantees that the jobs are in the job list and will run.

        :param executable: the program to run; or a :class:`~jasmin_arc.description.JobDescription`; or a sequence of
            descriptions, or of mappings of their fields, for as many jobs
        :param arguments: the program's arguments
        :param progress: show a progress bar, where there are many jobs
        :param fields: the fields of :class:`~jasmin_arc.description.JobDescription`, which replace those of given
            descriptions; ``args`` and ``input_files``, the names of 2017, are taken too
        :raises PartialFailureError: if some of many were not submitted; its ``results`` has a handle or an error for
            each
        :raises JasminArcError: otherwise as :meth:`submit_job` does
        """
        if arguments is not None:
            fields["arguments"] = arguments
        changes = renamed(fields)
        check_keywords("submit", changes)
        if isinstance(executable, (str, os.PathLike)):
            return self._submitted(described({"executable": executable, **changes}))
        if isinstance(executable, (JobDescription, Mapping)):
            return self._submitted(described(executable).replace(**changes))
        jobs = [described(job).replace(**changes) for job in executable]
        try:
            ids = self.submit_jobs(jobs, progress=progress)
        except PartialFailureError as error:
            named = zip(error.results, jobs)
            error.results = [Job(self, done, job.name) if isinstance(done, str) else done for done, job in named]
            raise
        return Jobs(self, [Job(self, job_id, job.name) for job_id, job in zip(ids, jobs)])

    def _submitted(self, description: JobDescription) -> Job:
        return Job(self, self._submit_one(description), description.name)

    def executor(
        self,
        *,
        max_in_flight: int = 1000,
        python: str = "python3",
        modules: Iterable[ModuleType | str] | ModuleType | str = (),
        name: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        retries: int = 0,
        chunk: int | Literal["auto"] = "auto",
        rerun_failed: bool = False,
        progress: bool = False,
        **fields: Any,
    ) -> JobExecutor:
        """Return an executor, as those of :mod:`concurrent.futures`, whose functions run as jobs.

        For the options see :class:`~jasmin_arc.executor.JobExecutor`. It needs the extra ``functions``:
        ``pip install 'jasmin-arc-py[functions]'``.
        """
        from jasmin_arc.executor import JobExecutor

        options: dict[str, Any] = {"max_in_flight": max_in_flight, "python": python, "modules": modules, "name": name}
        options.update(cache=cache, retries=retries, chunk=chunk, rerun_failed=rerun_failed, progress=progress)
        return JobExecutor(self, **options, **fields)

    def job(self, job_id: JobLike) -> Job:
        """Return a handle on the job; the server is not asked about it."""
        return job_id if isinstance(job_id, Job) and job_id.interface is self else Job(self, self._id(job_id))

    def jobs(
        self,
        jobs: JobsLike | None = None,
        *,
        status: JobStatuses | str | None = None,
        name: str | None = None,
        since: datetime | timedelta | None = None,
        last: int | None = None,
    ) -> Jobs:
        """Return handles on jobs: on these, or on all that :meth:`list_jobs` returns for the same options.

        :param jobs: what names the jobs
        :raises JobNotFoundError: if a name or a part of an id is not that of a job
        """
        options = {"status": status, "name": name, "since": since, "last": last}
        if jobs is None:
            ids = self.list_jobs(status=status, name=name, since=since, last=last)
        elif any(value is not None for value in options.values()):
            raise TypeError(f"give either jobs or {', '.join(options)}, not both")
        else:
            ids = self._ids(jobs)
        return Jobs(self, [Job(self, job_id) for job_id in ids])

    def watch(self, jobs: JobsLike, *, background: bool = False, timeout: float | None = None) -> Jobs:
        """Show the jobs on a board that is kept up to date, until all have ended, and return handles on them.

        In a notebook the board is an output of the cell, on a terminal its last lines, and elsewhere a line on standard
        error once a minute. It costs no more questions than :meth:`wait`. If it is stopped, by the stop button or
        Ctrl-C, the jobs go on.

        :param background: return at once; the board is kept up to date all the same, until the jobs have ended or this
            interface is closed. What goes wrong is said on the board alone. A terminal gets a line once a minute
        :param timeout: the most seconds to watch; the jobs go on in any case
        :raises WaitTimeoutError: if time is up
        :raises JobNotFoundError: if a job could not be found, once all others have ended
        :raises ServerError: as :meth:`wait` does
        :raises KeyboardInterrupt: if it is stopped; its message says how many of the jobs go on
        """
        watched = jobs if isinstance(jobs, Jobs) and jobs.interface is self else self.jobs(jobs)
        handles: dict[str, list[Job]] = {}
        for job in watched:
            handles.setdefault(job.id, []).append(job)

        def told(states: Mapping[str, JobState]) -> None:
            for job_id, state in states.items():
                for job in handles[job_id]:
                    job._told(state.status, state)

        watched._watched_in = this_cell()
        reasons = {job.id: job._why() for job in watched}
        self._watch(list(handles), told, reasons=reasons, background=background, timeout=timeout)
        return watched

    def as_completed(self, job_ids: JobsLike, *, timeout: float | None = None) -> Iterator[Job]:
        """Yield a handle on each job as it ends.

        :param timeout: the most seconds to wait for all, where 0 just looks; the jobs go on in any case
        :raises WaitTimeoutError: if time is up
        :raises JobNotFoundError: if a job could not be found
        :raises ServerError: as :meth:`wait` does
        """
        ids = self._ids(job_ids)
        left = len(set(ids))
        try:
            for job_id, future in self._completions(ids, timeout):
                future.result()
                left -= 1
                yield Job(self, job_id)
        except KeyboardInterrupt:
            raise interrupted(stopped(left)) from None
