"""What users get when they ask why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """Why a job is where it is. ``str()`` gives all of it as a few lines of text."""

    job_id: str
    cause: str
    """A short name that stays the same from release to release, such as ``"wall-time"``"""
    summary: str
    """The cause in one sentence"""
    advice: str
    """What to do"""
    evidence: tuple[str, ...] = ()
    """What the conclusion rests on, one line each"""

    def __str__(self) -> str:
        evidence = [f"  - {line}" for line in self.evidence]
        return "\n".join([self.job_id, self.summary, *evidence, self.advice])
