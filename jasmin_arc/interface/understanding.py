"""Understanding what happens: why jobs fail or wait, and what the site offers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from jasmin_arc._support.bulk import JobLike
from jasmin_arc._support.tracebacks import shortens_tracebacks
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError
from jasmin_arc.explain import Explanation
from jasmin_arc.interface.parts import Parts

if TYPE_CHECKING:
    from jasmin_arc.site_info import SiteInfo


_SOFTWARE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+:@-]*")


@shortens_tracebacks
class Understanding(Parts):
    """Jobs are explained, and compared with the site."""

    def explain(self, job_id: JobLike) -> Explanation:
        """Say why the job failed, or why it has not ended yet: the cause, the evidence, and what to do.

        A job that only the job list still knows is explained from there.

        :raises JobNotFoundError: if there is no such job
        :raises OperationNotPossibleError: if the job was submitted with other credentials, so that the place hides it
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
        """Return what the place where jobs run offers: queues, limits, slots, runtime environments, accounts."""
        return self._known_site.ask()

    def find_software(self, name: str) -> list[str]:
        """Look for a program or a module where jobs run, and return where a program of this name is, and which modules
        have it in their names.

        :param name: one word, such as ``"python3"`` or ``"jaspy/3.11"``
        :returns: paths of programs, which begin with a slash, and names of modules; empty where there is none
        :raises ValueError: if it is not one word, or has characters that mean something to a shell
        :raises OperationNotPossibleError: if the place cannot be asked for programs, as a compute element
        :raises ServerError: if the place does not answer
        """
        if not _SOFTWARE.fullmatch(name):
            raise ValueError(
                f"the name of a program or module is one word of letters, digits and _./+:@-, not {name!r}"
            )
        return self.backend.find_software(name)

    def check(self, description: JobDescription) -> list[str]:
        """Compare the description with what the site offers, and return what stands in its way; nothing is sent.

        A job is compared with the queue that it names. No compute element tells which queue a job is in that names
        none: it is learned from earlier jobs. Until then, each queue counts that the job may be put into.

        :returns: one sentence for each problem, with the nearest name for a typo; empty where there is none
        """
        (problems,) = self.check_jobs([description])
        return problems

    def check_jobs(self, descriptions: Sequence[JobDescription]) -> list[list[str]]:
        """Do as :meth:`check` for many descriptions, and return what stands in the way of each.

        The site is asked once. Jobs of one call are meant to be submitted together: if a limit of the user's jobs
        is known, their number is compared with it.
        """
        from jasmin_arc.explain.limits import check_all

        site = self._known_site.ask_all()
        listed = site.runtime_environments is not None
        names = set() if listed else {name for job in descriptions for name in job.runtime_environments}
        return check_all(descriptions, site, not_found=[name for name in names if not self._is_module(name)])

    def _is_module(self, name: str) -> bool:
        """Say whether there is such a module, also where that is not known."""
        try:
            found = self.find_software(name)
        except (JasminArcError, ValueError):
            return True
        return any(not entry.startswith("/") for entry in found)
