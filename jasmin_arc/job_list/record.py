"""What the job list knows of a job."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import NamedTuple

from jasmin_arc.constants import JobState
from jasmin_arc.job_list.process_mark import owner_lives

INTENDED = "intended"
SUBMITTED = "submitted"


def new_token() -> str:
    """Return a mark for one submission: unguessable and unique."""
    return secrets.token_hex(16)


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class JobRecord:
    """What the job list knows of one job. All times are aware and in UTC."""

    token: str
    """Marks the submission, before there is an id; empty for a job that ARC's own tools submitted"""
    endpoint: str
    name: str
    description: str = ""
    """The job description as JSON, if it is known"""
    id: str | None = None
    phase: str = INTENDED
    """``intended`` (may or may not exist there), ``created`` (does not run yet) or ``submitted``"""
    submitted: datetime = field(default_factory=now)
    delegation_id: str = ""
    final_state: JobState | None = None
    """The state that the job ended in, once it was seen"""
    outputs_saved: datetime | None = None
    resubmission_of: str = ""
    """The id of the job that this one repeats"""
    owner: str = ""
    """The mark of the process that is submitting it"""
    identity: str = ""
    """Whose job it is, in the words of the place; empty where that is not known, or a place has no such names"""
    contents: Mapping[str, bytes | None] = field(default_factory=dict, repr=False, compare=False)
    """The contents of inputs that are kept in files, by the names of these files; ``None`` for a content that only the
    file has. This is for :meth:`JobList.intend` and not in the list"""

    @property
    def abandoned(self) -> bool:
        """Whether no process is submitting it any more, though it may be unfinished."""
        return not owner_lives(self.owner, self.submitted)


class JobSummary(NamedTuple):
    """What a table shows of one job. It is read quickly, also for many jobs. The time is aware and in UTC."""

    id: str
    name: str
    submitted: datetime
    final_state: JobState | None
    """The state that the job ended in, once it was seen"""
