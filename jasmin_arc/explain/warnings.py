"""Warnings of what will go wrong later, while there is still time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta, timezone

from jasmin_arc.description import JobDescription
from jasmin_arc.job_info import JobInfo

SOON = timedelta(hours=12)
"""How long before a job's files are erased it is time to say so"""


def of_short_proxy(
    descriptions: Iterable[JobDescription], expires: datetime, *, now: datetime | None = None
) -> str | None:
    """Warn of jobs that may run for longer than the credentials that go with them.

    :param expires: when the proxy ends
    """
    left = expires - (now or datetime.now(timezone.utc))
    longest = max((job.wall_time for job in descriptions if job.wall_time is not None), default=timedelta())
    if longest <= left:
        return None
    return (
        f"the proxy ends at {expires:%Y-%m-%d %H:%M} UTC, and a job may run for {longest}. While a script waits for "
        "jobs or asks about them, their credentials are renewed; otherwise call renew(), or set PROXY_VALIDITY_PERIOD "
        "higher"
    )


def of_sessions_ending(
    infos: Iterable[JobInfo], saved: Collection[str], *, now: datetime | None = None
) -> dict[str, str]:
    """Warn, by job id, of ended jobs whose files will soon be erased, though they were never saved.

    :param saved: the ids of the jobs whose outputs were saved
    """
    limit = (now or datetime.now(timezone.utc)) + SOON
    return {
        info.id: f"the compute element erases the files of {info.id} at {info.session_expires:%Y-%m-%d %H:%M} UTC, "
        "and its outputs were never saved"
        for info in infos
        if info.final and info.session_expires is not None and info.session_expires < limit and info.id not in saved
    }
