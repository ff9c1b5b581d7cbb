"""Asks about jobs and acts on them, through the bindings' job supervisor and job controllers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jasmin_arc._support.bulk import not_found
from jasmin_arc.backends.bindings.log_capture import LogLine, reasons
from jasmin_arc.backends.bindings.translate import REST_INTERFACE, JobAddress, make_arc_job
from jasmin_arc.exceptions import JasminArcError, OperationNotPossibleError, ServerError, ServerUnavailableError

_ANSWER = re.compile(r"Failed to process job: (\S+) - (\d{3})\b ?(.*)", re.DOTALL)
_UNKNOWN = 404
_NOT_POSSIBLE = 505


def updated_job(arc: Any, user_config: Any, address: JobAddress) -> Any:
    """Ask about a job, and return it as an ``arc.Job``; ``None`` if that failed."""
    supervisor = arc.JobSupervisor(user_config, [])
    supervisor.AddJob(make_arc_job(arc, address))
    supervisor.Update()
    answered = set(supervisor.GetIDsProcessed())
    # A copy, as the supervisor's own vanishes with it.
    jobs = [arc.Job(job) for job in supervisor.GetAllJobs()]
    return next((job for job in jobs if str(job.JobID) in answered and job.State), None)


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


def cancel(arc: Any, user_config: Any, address: JobAddress) -> bool:
    """Cancel one job. The supervisor would do so only in the states that it knows of."""
    job = make_arc_job(arc, address)
    return bool(job.PrepareHandler(user_config) and job.Cancel())


def failure(address: JobAddress, action: str, lines: Sequence[LogLine]) -> JasminArcError:
    """Translate a question or an action that failed."""
    code, reason = _answers(lines).get(address.native_id, (0, ""))
    if code == _UNKNOWN:
        return not_found(address.id)
    if code == _NOT_POSSIBLE:
        return OperationNotPossibleError(f"{action} is not possible now for {address.id}: {reason}")
    why = reasons(lines) or "no reason was given"
    if code:
        return ServerError(f"{address.endpoint} answered with an error about {address.id}: {why}", status=code)
    return ServerUnavailableError(f"{address.endpoint} does not answer for {address.id}: {why}")


def _answers(lines: Sequence[LogLine]) -> dict[str, tuple[int, str]]:
    found = [_ANSWER.fullmatch(line.text) for line in lines]
    return {match[1]: (int(match[2]), match[3]) for match in found if match}
