"""Why a job failed or does not start: evidence in, cause and advice out, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jasmin_arc.exceptions import Advice, JobFailedError


@dataclass(frozen=True)
class Explanation:
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

    def __str__(self) -> str:
        evidence = [f"  - {line}" for line in self.evidence]
        return "\n".join([self.job_id, self.summary, *evidence, self.advice])


def job_failed(first: Explanation, job_ids: Sequence[str]) -> JobFailedError:
    """Return the error for all these jobs, with the short form of why the first of them failed."""
    others = len(job_ids) - 1
    more = f"; {others} more job{'s' if others > 1 else ''} failed" if others > 0 else ""
    message = f"{first.job_id}: {first.summary.rstrip('.')}{more}"
    return JobFailedError(message, job_ids, advice=Advice("{explain} tells more"))
