"""Asks about jobs and acts on them, through the bindings' job supervisor and job controllers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.translate import REST_INTERFACE, JobAddress, job_info, make_arc_job
from jasmin_arc.exceptions import (
    JasminArcError,
    JobNotFoundError,
    OperationNotPossibleError,
    ServerError,
    ServerUnavailableError,
)
from jasmin_arc.job_info import JobInfo

_ANSWER = re.compile(r"Failed to process job: (\S+) - (\d{3})\b ?(.*)", re.DOTALL)
_UNKNOWN = 404
_NOT_POSSIBLE = 505


def updated_jobs(arc: Any, user_config: Any, addresses: Sequence[JobAddress]) -> dict[str, Any]:
    """Ask about all the jobs in one request, and return an ``arc.Job`` for each that is known, by its id."""
    supervisor = arc.JobSupervisor(user_config, [])
    ids = {}
    for address in addresses:
        job = make_arc_job(arc, address)
        ids[str(job.JobID)] = address.id
        supervisor.AddJob(job)
    supervisor.Update()
    answered = set(supervisor.GetIDsProcessed())
    # Copies, as the supervisor's own vanish with it.
    jobs = [arc.Job(job) for job in supervisor.GetAllJobs()]
    return {ids[str(job.JobID)]: job for job in jobs if str(job.JobID) in answered and job.State}


def infos(jobs: Mapping[str, Any]) -> dict[str, JobInfo]:
    """Translate the answers."""
    return {job_id: job_info(job, job_id) for job_id, job in jobs.items()}


def check_unanswered(unanswered: Iterable[JobAddress], lines: Sequence[LogLine]) -> None:
    """Tell the jobs that are unknown there, which is an answer, from those that were not answered for.

    :raises ServerError: if there is one of the latter
    """
    codes = _answers(lines)
    for address in unanswered:
        code, _ = codes.get(address.name, (0, ""))
        if code != _UNKNOWN:
            raise _no_answer(address, code, lines)


def job_ids(arc: Any, user_config: Any, endpoint: str) -> list[str] | None:
    """Return the ids of all jobs of the user, or ``None`` if the question failed."""
    found = arc.JobContainer()
    retriever = arc.JobListRetriever(user_config)
    retriever.addConsumer(found)
    place = arc.Endpoint(endpoint, arc.Endpoint.JOBLIST, REST_INTERFACE)
    retriever.addEndpoint(place)
    retriever.wait()
    succeeded = retriever.getStatusOfEndpoint(place).getStatus() == arc.EndpointQueryingStatus.SUCCESSFUL
    retriever.removeConsumer(found)
    return [str(job.JobID) for job in found] if succeeded else None


def act(arc: Any, user_config: Any, address: JobAddress, action: str) -> bool:
    """Do one thing to one job.

    :param action: ``Cancel`` or ``Clean``, which the supervisor would do only in the states that it knows of
    """
    job = make_arc_job(arc, address)
    return bool(job.PrepareHandler(user_config) and getattr(job, action)())


def failure(address: JobAddress, action: str, lines: Sequence[LogLine]) -> JasminArcError:
    """Translate an action that failed."""
    code, reason = _answers(lines).get(address.name, (0, ""))
    if code == _UNKNOWN:
        return JobNotFoundError(f"no job with the id {address.id} is known there")
    if code == _NOT_POSSIBLE:
        return OperationNotPossibleError(f"{action} is not possible now for {address.id}: {reason}")
    return _no_answer(address, code, lines)


def _answers(lines: Sequence[LogLine]) -> dict[str, tuple[int, str]]:
    found = [_ANSWER.fullmatch(line.text) for line in lines]
    return {match[1]: (int(match[2]), match[3]) for match in found if match}


def _no_answer(address: JobAddress, code: int, lines: Sequence[LogLine]) -> ServerError:
    why = reasons(lines) or "no reason was given"
    if code:
        return ServerError(f"{address.endpoint} answered with an error about {address.id}: {why}", status=code)
    return ServerUnavailableError(f"{address.endpoint} does not answer for {address.id}: {why}")
