"""A Snakemake executor: the jobs of a workflow run on Slurm, on an ARC compute element, or on this machine."""

import asyncio
import os
import shlex
import sys
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface as Job
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from jasmin_arc import ArcInterface, Explanation, JasminArcError, JobDescription, JobStatuses
from jasmin_arc.exceptions import JobNotFoundError, PartialFailureError, SubmissionUnknownError

_OVER = (JobStatuses.COMPLETED, JobStatuses.FAILED, JobNotFoundError)
"""What is said of a job that does not run any more: its status, or the error of asking for that"""
_PLACE = {"account": "slurm_account", "queue": "slurm_partition"}
"""Resources, and what Snakemake's own executor for Slurm calls them"""


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """The options of the command line. Snakemake reads their types, so these cannot be texts."""

    config: Optional[Path] = field(default=None, metadata={"help": "The configuration of jasmin_arc, a JSON file."})
    backend: Optional[str] = field(default=None, metadata={"help": "Where jobs run: slurm, rest, bindings or local."})


common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=True)
common_settings.auto_deploy_default_storage_provider = False


class Executor(RemoteExecutor):
    """Submits the jobs that are ready as one batch, and learns of all ends by the questions of one watcher."""

    next_seconds_between_status_checks = 0.5
    """Seconds between two looks at answers that have come. The watcher asks at the pace of the place."""

    def __post_init__(self) -> None:
        settings = self.workflow.executor_settings
        try:
            self._arc = ArcInterface(
                settings.config, sys.stderr, config={"BACKEND": settings.backend} if settings.backend else {}
            )
            self._arc.backend.authenticate()
        except JasminArcError as error:
            raise WorkflowError(str(error)) from error
        self._ids: dict[Job, str] = {}
        self._to_erase: list[str] = []
        self._sender = ThreadPoolExecutor(1)

    def run_job(self, job: Job) -> None:
        self.run_jobs([job])

    def run_jobs(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.run_job_pre(job)
        going_on = self._of_earlier_run(jobs)
        self.logger.info(f"Jobs that go on since an earlier run: {', '.join(going_on.values()) or 'none'}")
        new = {job: self._description(job) for job in jobs if job not in going_on}
        # In a thread, which Ctrl-C does not interrupt: what it has submitted is cancelled then.
        for job, outcome in self._sender.submit(self._submitted, going_on, new).result().items():
            if isinstance(outcome, SubmissionUnknownError):
                # The job may run, so Snakemake must not submit it once more.
                raise WorkflowError(str(outcome))
            if isinstance(outcome, JasminArcError):
                self.report_job_error(SubmittedJobInfo(job), msg=f"{outcome}\n")
            else:
                self.report_job_submission(SubmittedJobInfo(job, outcome))

    def _of_earlier_run(self, jobs: list[Job]) -> dict[Job, Any]:
        """Return the ids of jobs that go on since an earlier run; one that cannot be asked about now may go on."""
        old = {job: self.workflow.persistence.external_jobids(job) for job in jobs}
        ids = {job: known[0] for job, known in old.items() if len(known) == 1 and self._arc.backend.owns(known[0])}
        found = dict(zip(ids, _each(self._arc.get_job_statuses, list(ids.values()))))
        return {job: ids[job] for job, status in found.items() if status not in _OVER and type(status) not in _OVER}

    def _submitted(self, going_on: dict[Job, Any], new: dict[Job, JobDescription]) -> dict[Job, Any]:
        """Submit the new jobs, and return an id or an error for each of all."""
        outcomes = going_on | dict(zip(new, _each(self._arc.submit_jobs, list(new.values()))))
        self._ids |= {job: job_id for job, job_id in outcomes.items() if isinstance(job_id, str)}
        return outcomes

    def _description(self, job: Job) -> JobDescription:
        """Return the job that runs Snakemake's script. What only Slurm knows is left out elsewhere."""
        script, on_slurm = self.get_jobscript(job), self._arc.backend.name == "slurm"
        self.write_jobscript(job, script)
        given = {name: value for name, value in job.resources.items() if on_slurm or not name.startswith("slurm_")}
        fields: dict[str, Any] = {"name": self.get_jobname(job), "inputs": {"snakejob": script}, "outputs": []}
        # Memory is that of a slot. Threads share a node.
        fields.update(slots=job.threads, slots_per_host=job.threads, wall_time=given.get("runtime", 0) * 60 or None)
        fields.update(memory=-(-given.get("mem_mb", 0) // job.threads) * 2**20 or None)
        fields.update((name, given.get(name, given.get(of_slurm))) for name, of_slurm in _PLACE.items())
        try:
            return JobDescription("snakejob", **fields)
        except JasminArcError as error:
            raise WorkflowError(f"{job.name}: {error}") from error

    def get_job_exec_prefix(self, job: Job) -> str:  # noqa: ARG002 - the same for all
        prefix = f"export PATH={shlex.quote(os.environ['PATH'])} && cd {shlex.quote(self.workflow.workdir_init)}"
        return prefix if self.workflow.storage_settings.assume_common_workdir else ""

    def additional_general_args(self) -> str:
        # What explains a failure is at the end of stderr, without Snakemake's own account of it.
        return "--quiet host progress reason rules"

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        for info in active_jobs:
            info.aux = info.aux or {"end": asyncio.ensure_future(self._failure(info.external_jobid))}
            if not info.aux["end"].done():
                yield info
            elif failure := info.aux["end"].result():
                self._ids.pop(info.job, None)
                self.report_job_error(info, msg=failure)
            else:
                self.report_job_success(info)

    async def _failure(self, job_id: str) -> str:
        """Wait until a job has ended or is gone, and return why it did not succeed; an empty text if it did."""
        while True:
            try:
                succeeded = await self._arc.status_when_ended(job_id) is JobStatuses.COMPLETED
                return "" if succeeded else _reason(await asyncio.to_thread(self._arc.explain, job_id))
            except JobNotFoundError as error:
                return f"{error}\n"
            except JasminArcError:
                # The job may go on. The log tells of the outage.
                await asyncio.sleep(self.next_seconds_between_status_checks)

    def handle_job_success(self, job: Job) -> None:
        self._to_erase += [self._ids.pop(job)] if job in self._ids else []

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:  # noqa: ARG002
        # Snakemake's list lacks jobs that are being submitted or looked at.
        self.wait = False
        self.wait_thread.join()
        self._sender.shutdown()
        self._to_erase += self._ids.values()
        _each(self._arc.cancel_jobs, self._to_erase)
        _each(lambda ids: self._arc.wait(ids, timeout=60), self._to_erase)

    def shutdown(self) -> None:
        super().shutdown()
        # What could not be cancelled cannot be erased.
        if failed := [*filter(None, _each(lambda ids: self._arc.clean_jobs(ids, force=True), self._to_erase))]:
            self.logger.warning(f"{len(failed)} jobs stay: {failed[0]}")
        self._arc.close()


def _reason(explanation: Explanation) -> str:
    """Return why a job failed, below the word "message" that Snakemake puts before the first line."""
    evidence = [f"  - {line}" for line in explanation.evidence]
    return "\n        ".join([explanation.summary, *evidence, explanation.advice, ""])


def _each(call: Callable[[list[Any]], list[Any] | None], items: list[Any]) -> list[Any]:
    """Call for all items at once, and return a result or an error for each."""
    try:
        return (call(items) if items else []) or []
    except JasminArcError as error:
        return error.results if isinstance(error, PartialFailureError) else [error] * len(items)
