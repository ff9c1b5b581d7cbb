"""Why a job failed or does not start: evidence in, cause and advice out, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jasmin_arc._support.cards import Card, Shown
from jasmin_arc._support.text import excerpt, last_part
from jasmin_arc.exceptions import Advice, JobFailedError

CAUSES_PAGE = "docs/troubleshooting.md"
"""The page of the documentation that has a section for each cause"""


@dataclass(frozen=True, repr=False)
class Explanation(Shown):
    """Why a job is where it is. ``str()`` gives all of it as a few lines of text."""

    job_id: str
    cause: str
    """A short name that stays the same from release to release, such as ``"wall-time"``"""
    summary: str
    """The cause in one sentence"""
    advice: str
    """What to do; an :class:`~jasmin_arc.exceptions.Advice` where it names actions"""
    evidence: tuple[str, ...] = ()
    """What the conclusion rests on, one line each"""
    name: str = ""
    """The job's name; empty where it is not known"""

    @property
    def link(self) -> str:
        """Where the documentation tells more about this cause."""
        return f"{CAUSES_PAGE}#{self.cause}"

    def _lines(self) -> str:
        evidence = [f"  - {line}" for line in self.evidence]
        head = f"{self.name}  ({self.job_id})" if self.name else self.job_id
        return "\n".join([head, self.summary, *evidence, self.advice])

    def _line(self) -> str:
        return f"<Explanation of {excerpt(self.name or self.job_id)}: {excerpt(self.summary)}>"

    def _card(self) -> Card:
        name = self.name or last_part(self.job_id)
        paragraphs = [self.summary, *filter(None, [self.advice])]
        return Card(name, about=self.cause, paragraphs=paragraphs, points=self.evidence, note=self.job_id)


def job_failed(first: Explanation, job_ids: Sequence[str]) -> JobFailedError:
    """Return the error for all these jobs, with the short form of why the first of them has no success."""
    others = len(job_ids) - 1
    more = f"; {others} more job{'s' if others > 1 else ''} did not succeed" if others > 0 else ""
    job = f"{first.name} ({first.job_id})" if first.name else first.job_id
    message = f"{job}: {first.summary.rstrip('.')}{more}"
    return JobFailedError(message, job_ids, advice=Advice("{explain} tells more"))
