"""What the site was found to offer of late, so that a submission needs no question of its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from jasmin_arc.backends.base import Backend
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.explain import site_file
from jasmin_arc.explain.limits import default_queue
from jasmin_arc.job_info import JobInfo
from jasmin_arc.job_list import JobList
from jasmin_arc.job_list.ledger import PATIENCE
from jasmin_arc.site_info import SiteInfo

_LOOKED_AT = 20
"""How many jobs are looked at, the newest, to learn which queue they are in"""
_SELDOM_TOLD = ("accounts", "qos", "default_account", "default_qos")
"""What a place may not tell that was asked for another purpose"""


class KnownSite:
    """Asks about the site of a backend, and remembers the answer for a day, in other processes as well.

    No compute element publishes which queue jobs are in that name none. It is learned from the jobs themselves.
    """

    def __init__(self, backend: Backend, job_list: JobList) -> None:
        self._backend = backend
        self._job_list = job_list.with_timeout(PATIENCE)
        self._known: tuple[float, SiteInfo] | None = None
        self._from_backend: SiteInfo | None = None
        self._seen: set[str] = set()

    def ask(self) -> SiteInfo:
        """Ask the site, and return its answer with the queue of jobs that name none, as far as that is known."""
        self._from_backend = self._backend.site()
        return self._remember(self._from_backend)

    def ask_all(self) -> SiteInfo:
        """Do as :meth:`ask`, and ask about jobs as well if the queue of those that name none is not known."""
        site = self.ask()
        if default_queue(site):
            return site
        with contextlib.suppress(JasminArcError):
            newest = [job.id for job in self._job_list.select(self._backend.endpoint, last=_LOOKED_AT)]
            if wanted := self._without_queue(newest):
                self.learn(self._backend.query(wanted))
        return self._with_default(site)

    def recall(self) -> SiteInfo | None:
        """Return what the site was found to offer within a day, without a question to anybody."""
        found = self._backend.known_site()
        if found is not None and found != self._from_backend:
            self._from_backend = found
            self._remember(self._completed(found))
        known = self._recalled()
        return known[1] if known else None

    def learn(self, infos: Mapping[str, JobInfo]) -> None:
        """See from the answers about jobs, newest last, in which queue jobs are that name none."""
        if self._from_backend is not None and self._from_backend.default_queue:
            return
        found, site = self._recalled() or (time.time(), SiteInfo(self._backend.endpoint))
        other = [i for i, info in infos.items() if info.queue not in ("", site.default_queue) and i not in self._seen]
        # What is older counts no more: it may be from before the site chose another queue.
        self._seen.update(other)
        if unnamed := self._without_queue(other[-_LOOKED_AT:]):
            self._known = found, replace(site, default_queue=infos[unnamed[-1]].queue)
            site_file.write(*self._known)

    def _without_queue(self, job_ids: Iterable[str]) -> list[str]:
        """Return those of the jobs that were submitted without the name of a queue."""
        wanted = [job_id for job_id in job_ids if self._backend.owns(job_id)]
        with contextlib.suppress(JasminArcError):
            records = self._job_list.get(wanted) if wanted else {}
            texts = {job_id: record.description for job_id, record in records.items() if record.description}
            return [job_id for job_id, text in texts.items() if JobDescription.from_json(text).queue is None]
        return []

    def _completed(self, site: SiteInfo) -> SiteInfo:
        """Add what was found earlier, and was not asked for this time."""
        _, kept = self._recalled() or (0, site)
        return replace(site, **{name: getattr(site, name) or getattr(kept, name) for name in _SELDOM_TOLD})

    def _recalled(self) -> tuple[float, SiteInfo] | None:
        if self._known is None or time.time() - self._known[0] > site_file.MAX_AGE:
            self._known = site_file.read(self._backend.endpoint)
        return self._known

    def _remember(self, site: SiteInfo) -> SiteInfo:
        self._known = time.time(), self._with_default(site)
        site_file.write(*self._known)
        return self._known[1]

    def _with_default(self, site: SiteInfo) -> SiteInfo:
        if site.default_queue:
            return site
        known = self._recalled()
        name = known[1].default_queue if known else ""
        return replace(site, default_queue=name if name in {queue.name for queue in site.queues} else "")
