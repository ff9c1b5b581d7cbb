"""What the job list knows of a job, and which process is submitting it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

from jasmin_arc._support.machine import boot_id, host_name
from jasmin_arc.constants import JobState

UNCHECKABLE_FOR = timedelta(hours=1)
"""For how long a process that cannot be looked up from here, as on another host, counts as alive"""
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


def owner_mark() -> str:
    """Return the mark of this process: host, boot, PID namespace, PID and start time."""
    pid = os.getpid()
    return " ".join([host_name(), boot_id() or "-", _namespace(), str(pid), _start(pid) or "-"])


def owner_lives(mark: str, since: datetime) -> bool:
    """Whether the process that left this mark then may still be at work."""
    parts = mark.split(" ")
    if len(parts) != 5 or not parts[3].isdecimal():
        return False
    host, boot, namespace, pid, start = parts
    if host == host_name() and boot != (boot_id() or "-"):
        return False
    if (host, namespace) != (host_name(), _namespace()):
        return now() - since < UNCHECKABLE_FOR
    if start != "-":
        return _start(int(pid)) == start
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True


def _start(pid: int) -> str | None:
    """The start time in clock ticks since boot; ``None`` for no such process, a zombie, or a system without /proc."""
    try:
        # The program's name, in parentheses, may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZXx" else fields[19]


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "-"
