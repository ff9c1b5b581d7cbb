"""The objects of the bindings in our words, copied: theirs are windows into memory that the library may reuse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jasmin_arc.site_info import QueueInfo, SiteInfo

REST_INTERFACE = "org.nordugrid.arcrest"
_UNLIMITED = 2**31 - 1
# Only a name and a port may stand before the first slash. Otherwise the library could read another host than we do.
_SERVER = r"https://(?:[\w.-]+|\[[\da-fA-F:.]+\])(?::(?P<port>\d{1,5}))?"
_JOB_ID = re.compile(rf"(?P<endpoint>{_SERVER}(?:/[^/?#;\s]+)*?)/rest/1\.\d+/jobs/(?P<native_id>[\w.-]+)/?")


@dataclass(frozen=True)
class JobAddress:
    """Where a job lives, read from its id."""

    id: str
    endpoint: str
    native_id: str

    @classmethod
    def parse(cls, job_id: str) -> JobAddress | None:
        """Read a job id such as ``https://HOST:PORT/arex/rest/1.0/jobs/ID``; ``None`` for anything else."""
        match = _JOB_ID.fullmatch(job_id) if job_id.isprintable() and job_id.isascii() else None
        if match is None or int(match["port"] or 0) > 65535:
            return None
        return cls(job_id, match["endpoint"], match["native_id"])


def make_arc_job(arc: Any, address: JobAddress) -> Any:
    """Make an ``arc.Job`` that is complete enough for the library to ask about it."""
    job = arc.Job()
    job.JobID = address.id.rstrip("/")
    job.IDFromEndpoint = address.native_id
    # Without all of these the library drops the job silently.
    for part in ("ServiceInformation", "JobStatus", "JobManagement"):
        setattr(job, part + "URL", arc.URL(address.endpoint))
        setattr(job, part + "InterfaceName", REST_INTERFACE)
    return job


def site_info(targets: Sequence[Any], endpoint: str) -> SiteInfo:
    """Translate the ``arc.ExecutionTarget`` objects of one compute element."""
    # The first of each name counts.
    queues = {queue.name: queue for queue in map(_queue, reversed(targets)) if queue.name}
    return SiteInfo(
        endpoint=endpoint,
        name=str(targets[0].ComputingService.Name) if targets else "",
        # ARC gives them in the order in which it happens to keep them.
        queues=tuple(queues[name] for name in sorted(queues)),
        # Its method toString() cannot be called: the static one of the same name hides it.
        runtime_environments=_distinct(str(entry) for target in targets for entry in target.ApplicationEnvironments),
        interfaces=_distinct(str(target.ComputingEndpoint.InterfaceName) for target in targets),
        healthy=bool(targets) and all(str(target.ComputingEndpoint.HealthState) == "ok" for target in targets),
    )


def _queue(target: Any) -> QueueInfo:
    share = target.ComputingShare
    return QueueInfo(
        name=str(share.Name),
        max_wall_time=_limit(share.MaxWallTime),
        max_cpu_time=_limit(share.MaxCPUTime),
        max_slots=_known(share.MaxSlotsPerJob),
        # Nothing runs in 0 bytes: it was not measured, or there is no limit.
        max_memory=(_known(share.MaxVirtualMemory) or _known(share.MaxMainMemory) or 0) * 2**20 or None,
        total_slots=_known(target.ComputingManager.TotalSlots),
        free_slots=_known(share.FreeSlots),
        running=_known(share.RunningJobs),
        waiting=_known(share.WaitingJobs),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def _known(number: Any) -> int | None:
    # The library's word for "not told" is -1.
    return None if int(number) < 0 else int(number)


def _limit(period: Any) -> timedelta | None:
    seconds = int(period.GetPeriod())
    return timedelta(seconds=seconds) if 0 <= seconds < _UNLIMITED else None
