"""Warnings of what will go wrong later, while there is still time."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta, timezone
from itertools import chain

from jasmin_arc._support.quantities import duration
from jasmin_arc._support.text import first_few, utc
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import Advice, JasminArcError, JobListError
from jasmin_arc.explain.limits import may_never_start
from jasmin_arc.explain.not_sent import is_here, not_sent
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList
from jasmin_arc.site_info import SiteInfo

SOON = timedelta(hours=12)
"""How long before a job's files are erased it is time to say so"""


class Warnings:
    """Warns in the log of one interface, of each thing once. What keeps it from doing so is no error of the caller."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._warned: set[str] = set()

    def submitted(
        self,
        jobs: Sequence[JobDescription],
        *,
        expires: Callable[[], datetime | None],
        renewable: bool = True,
        site: Callable[[], SiteInfo | None],
    ) -> None:
        """Warn of what can be told of jobs that have just been submitted: nothing may hide that they were.

        :param expires: returns when the credentials end that were delegated for them
        :param renewable: whether these can be renewed
        """
        if not jobs:
            return
        try:
            self._not_sent(jobs)
            self._may_never_start(jobs, site())
            self.short_credentials(jobs, expires, renewable=renewable)
        except Exception as error:  # noqa: BLE001 - the caller must get the ids
            self._log.debug("what may go wrong with the jobs is not known: %r", error)

    def _not_sent(self, jobs: Sequence[JobDescription]) -> None:
        """Warn of files of this machine that commands name, and that are no inputs."""
        here = functools.cache(is_here)
        forgotten = [not_sent(job, is_meant=lambda name: name not in self._warned and here(name)) for job in jobs]
        names = dict.fromkeys(chain.from_iterable(forgotten))
        if names:
            self._warned.update(names)
            self._log.warning("%s", files_stay(list(names), jobs=sum(map(bool, forgotten))))

    def _may_never_start(self, jobs: Sequence[JobDescription], site: SiteInfo | None) -> None:
        """Warn of jobs that are over the limits of the queue that they are in, or may be in."""
        reasons = Counter("; ".join(may_never_start(job, site)) for job in jobs) if site is not None else {}
        for reason, count in reasons.items():
            if reason and reason not in self._warned:
                self._warned.add(reason)
                self._log.warning("%s may never start: %s", _number(count), reason)

    def short_credentials(
        self, jobs: Sequence[JobDescription], expires: Callable[[], datetime | None], *, renewable: bool
    ) -> None:
        """Warn of jobs that may run for longer than the credentials that go with them."""
        limited = [job for job in jobs if job.wall_time is not None and job.needs_credentials]
        try:
            end = expires() if limited else None
        except JasminArcError as error:
            self._log.debug("whether the credentials last long enough is not known: %s", error)
            return
        if end is not None and (warning := short_credentials(limited, end, renewable=renewable)):
            self._log.warning("%s", warning)

    def sessions_ending(self, infos: Iterable[JobInfo], job_list: JobList) -> None:
        """Warn of ended jobs whose files will soon be erased, though they were never saved."""
        warnings = sessions_ending(infos, self._warned)
        try:
            records = job_list.get(warnings) if warnings else {}
        except JobListError as error:
            self._log.debug("whether outputs were saved is not known: %s", error)
            return
        self._warned.update(warnings)
        for job_id, warning in warnings.items():
            if job_id not in records or records[job_id].outputs_saved is None:
                self._log.warning("%s", warning)


def files_stay(names: Sequence[str], *, jobs: int) -> Advice:
    """Return a warning of files that are here, and that this number of jobs name and do not have."""
    several = len(names) > 1
    return Advice(
        "{names} {are} here, and {are} not among the inputs of {jobs}; to have {them} where the program runs, send "
        "{them} along with {inputs}",
        names=first_few(names),
        are="are" if several else "is",
        them="them" if several else "it",
        jobs=_number(jobs),
    )


def _number(jobs: int) -> str:
    return "the job" if jobs == 1 else f"{jobs} jobs"


def short_credentials(
    jobs: Iterable[JobDescription], expires: datetime, *, renewable: bool = True, now: datetime | None = None
) -> Advice | None:
    """Return a warning if a job may run for longer than until the credentials end."""
    left = expires - (now or datetime.now(timezone.utc))
    longest = max((job.wall_time for job in jobs if job.wall_time is not None), default=timedelta())
    if longest <= left:
        return None
    if renewable:
        return Advice(
            "the proxy ends at {end}, and a job may run for {longest}. While a script waits for jobs or asks about "
            "them, their credentials are renewed; otherwise call {renew}, or set PROXY_VALIDITY_PERIOD higher",
            end=utc(expires),
            longest=duration(longest),
        )
    return Advice(
        "the token ends at {end}, and a job may run for {longest}. What a job holds of a token cannot be renewed: "
        "outputs that go to URLs may be lost. Keep outputs at the compute element, or use a token that lasts longer, "
        "or a certificate",
        end=utc(expires),
        longest=duration(longest),
    )


def sessions_ending(
    infos: Iterable[JobInfo], warned: Collection[str], *, now: datetime | None = None
) -> dict[str, str]:
    """Return warnings, by job id, of ended jobs whose files will soon be erased and that are not in ``warned``."""
    limit = (now or datetime.now(timezone.utc)) + SOON
    return {
        info.id: f"the compute element erases the files of {info.id} at {utc(info.session_expires)}, "
        "and its outputs were never saved"
        for info in infos
        if info.final and info.session_expires is not None and info.session_expires < limit and info.id not in warned
    }
