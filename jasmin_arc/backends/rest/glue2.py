"""What a compute element publishes of jobs and of itself, in GLUE2, as our own data."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from xml.etree.ElementTree import Element

from jasmin_arc._support.text import printable, undoubled
from jasmin_arc._support.xml import all_of, first_text, name_of, texts
from jasmin_arc.backends.rest.documents import number, read_xml
from jasmin_arc.constants import ARC_REST_STATES, STDERR_NAME, STDOUT_NAME, JobState
from jasmin_arc.description import path_parts
from jasmin_arc.exceptions import ServerError
from jasmin_arc.job_info import JobInfo
from jasmin_arc.site_info import QueueInfo, SiteInfo

_MEGABYTE = 1024 * 1024
_CLOCKS_DIFFER = timedelta(seconds=5)
"""How much later than the submission the time may be that is told of credentials that there are not"""
_UNLIMITED = 2**31 - 1
"""What Slurm's back end of ARC publishes where there is no limit"""


def general_state(native: str) -> JobState:
    """Return ARC's general state for a state of the REST interface."""
    return ARC_REST_STATES.get(native, JobState.OTHER if native else JobState.UNDEFINED)


def job_info(activity: Element, native_id: str = "") -> JobInfo:
    """Read a ``ComputingActivity``. It is as old as the last run of the server's information provider."""
    native = next((state[8:] for state in texts(activity, "State") if state.startswith("arcrest:")), "")
    slots = _number(activity, "RequestedSlots")
    wall = _seconds(activity, "UsedTotalWallTime")
    megabytes = _number(activity, "UsedMainMemory")
    submitted = parse_time(first_text(activity, "SubmissionTime"))
    credentials_end = parse_time(first_text(activity, "ProxyExpirationTime"))
    if credentials_end is not None and submitted is not None and credentials_end <= submitted + _CLOCKS_DIFFER:
        # Of a job without any, the server tells the time of its submission.
        credentials_end = None
    return JobInfo(
        id="",
        native_id=native_id,
        state=general_state(native),
        native_state=printable(native, max_length=50),
        name=_told(activity, "Name"),
        exit_code=_number(activity, "ExitCode"),
        queue=_told(activity, "Queue"),
        nodes=tuple(map(printable, texts(activity, "ExecutionNode"))),
        slots=slots,
        position=_number(activity, "WaitingPosition") or None,
        submitted=submitted,
        started=parse_time(first_text(activity, "StartTime")),
        ended=parse_time(first_text(activity, "ComputingManagerEndTime") or first_text(activity, "EndTime")),
        # The server multiplies by the slots.
        wall_time=wall / max(slots or 1, 1) if wall is not None else None,
        cpu_time=_seconds(activity, "UsedTotalCPUTime"),
        memory=megabytes * _MEGABYTE if megabytes else None,
        errors=tuple(printable(undoubled(error)) for error in texts(activity, "Error")),
        proxy_expires=credentials_end,
        session_expires=parse_time(first_text(activity, "WorkingAreaEraseTime")),
    )


def stream_names(activity: Element) -> dict[str, str]:
    """Read from a ``ComputingActivity`` which files of the session directory have standard output and error."""
    told = {STDOUT_NAME: "StdOut", STDERR_NAME: "StdErr"}
    found = {}
    for stream, name in told.items():
        path = undoubled(first_text(activity, name))
        parts = path_parts(path)
        # A path outside the session directory, such as /dev/null, is none of its files.
        if parts and ".." not in parts and not path.startswith("/") and path.isprintable():
            found[stream] = "/".join(parts)
    return found


def site_info(endpoint: str, document: bytes) -> SiteInfo:
    """Read the description of a compute element."""
    found = read_xml(document)
    service = next((entry for entry in found.iter() if name_of(entry) == "ComputingService"), None)
    if service is None:
        if name_of(found) != "InfoRoot":
            raise ServerError(
                f"the server {endpoint} does not describe itself", advice="does ARC_SERVER name a compute element?"
            )
        return SiteInfo(endpoint=endpoint)
    managers = all_of(service, "ComputingManager")
    slots = next((number for manager in managers if (number := _number(manager, "TotalSlots")) is not None), None)
    entries = [one for manager in managers for one in manager.iter() if name_of(one) == "ApplicationEnvironment"]
    endpoints = all_of(service, "ComputingEndpoint")
    return SiteInfo(
        endpoint=endpoint,
        name=_told(service, "Name"),
        queues=tuple(_queue(share, slots) for share in all_of(service, "ComputingShare")),
        runtime_environments=tuple(sorted({_environment(entry) for entry in entries})),
        interfaces=tuple(dict.fromkeys(printable(first_text(entry, "InterfaceName")) for entry in endpoints)),
        healthy=all(first_text(entry, "HealthState") in ("", "ok") for entry in endpoints),
    )


def parse_time(written: str) -> datetime | None:
    """Read a time: ``2026-11-20T08:18:00Z``, or ``20261120081800Z`` as in A-REX's own files."""
    for pattern in ("%Y-%m-%dT%H:%M:%SZ", "%Y%m%d%H%M%SZ"):
        try:
            return datetime.strptime(written, pattern).replace(tzinfo=timezone.utc)
        except ValueError:
            continue
    return None


def _told(element: Element, name: str) -> str:
    """Return a text that people read. The information provider encodes all that it publishes twice too often."""
    return printable(undoubled(first_text(element, name)))


def _number(element: Element, name: str) -> int | None:
    return number(first_text(element, name))


def _seconds(element: Element, name: str) -> timedelta | None:
    seconds = _number(element, name)
    return timedelta(seconds=seconds) if seconds is not None and 0 <= seconds < 10**11 else None


def _limit(share: Element, name: str) -> int | None:
    limit = _number(share, name)
    return limit if limit is not None and 0 < limit < _UNLIMITED else None


def _queue(share: Element, total_slots: int | None) -> QueueInfo:
    wall, cpu = _limit(share, "MaxWallTime"), _limit(share, "MaxCPUTime")
    memory = _limit(share, "MaxMainMemory") or _limit(share, "MaxVirtualMemory")
    return QueueInfo(
        name=_told(share, "MappingQueue") or _told(share, "Name"),
        max_wall_time=timedelta(seconds=wall) if wall else None,
        max_cpu_time=timedelta(seconds=cpu) if cpu else None,
        max_slots=_limit(share, "MaxSlotsPerJob"),
        max_memory=memory * _MEGABYTE if memory else None,
        total_slots=total_slots,
        free_slots=_number(share, "FreeSlots"),
        running=_number(share, "RunningJobs"),
        waiting=_number(share, "WaitingJobs"),
    )


def _environment(entry: Element) -> str:
    version = first_text(entry, "AppVersion")
    return printable(first_text(entry, "AppName") + (f"-{version}" if version else ""))
