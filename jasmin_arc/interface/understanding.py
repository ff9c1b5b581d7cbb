"""Understanding what happens: why jobs fail or wait, and what the site offers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jasmin_arc._support.bulk import JobLike
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.description import JobDescription
from jasmin_arc.explain import Explanation
from jasmin_arc.interface.parts import Parts

if TYPE_CHECKING:
    from jasmin_arc.site_info import SiteInfo


@shortens_tracebacks
class Understanding(Parts):
    """Jobs are explained, and compared with the site."""

    def explain(self, job_id: JobLike) -> Explanation:
        """Say why the job failed, or why it has not ended yet: the cause, the evidence, and what to do.

        A job that only the job list still knows is explained from there.

        :raises JobNotFoundError: if there is no such job
        :raises ServerError: if the server does not answer
        """
        from jasmin_arc.explain.conclude import explain
        from jasmin_arc.explain.gather import gather

        checked = self._id(job_id)
        optional = [self.config.OUTPUT_FILE]
        facts = gather(self.backend, self.job_list, checked, optional=optional, site=self._known_site.ask)
        self._known_site.learn({checked: facts.info})
        if facts.missing_outputs:
            self._missing.note({checked: facts.missing_outputs})
        return explain(facts)

    def site(self) -> SiteInfo:
        """Return what the place where jobs run offers: queues, limits, slots, runtime environments."""
        return self._known_site.ask()

    def check(self, description: JobDescription) -> list[str]:
        """Compare the description with what the site offers, and return what stands in its way; nothing is sent.

        A job is compared with the queue that it names. No site tells which queue a job is in that names none: it is
        learned from earlier jobs. Until then, each queue counts that the job may be put into.

        :returns: one sentence for each problem, with the nearest name for a typo; empty where there is none
        """
        (problems,) = self.check_jobs([description])
        return problems

    def check_jobs(self, descriptions: Sequence[JobDescription]) -> list[list[str]]:
        """Do as :meth:`check` for many descriptions, and return what stands in the way of each.

        The site is asked once.
        """
        from jasmin_arc.explain.limits import check

        site = self._known_site.ask_all()
        return [check(description, site) for description in descriptions]
