"""What is known of a job and of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jasmin_arc._support.cards import Card, Shown, in_one_line, known_fields
from jasmin_arc._support.text import last_part
from jasmin_arc._support.values import status_words
from jasmin_arc.constants import JobState, JobStatuses


@dataclass(frozen=True, repr=False)
class JobInfo(Shown):
    """What the place where a job runs says of it. What it did not say is ``None`` or empty.

    All times are aware and in UTC. As a text, and in a notebook, times are those of the clock here.
    """

    id: str
    """The job id, as ``submit_job`` returned it"""
    state: JobState
    """ARC's general state, such as ``JobState.QUEUING``, which is also the text ``"Queuing"``"""
    native_id: str = ""
    """What the place itself calls the job, such as the last part of the id, or a number of the batch system"""
    native_state: str = ""
    """The state in the words of the place where the job runs, such as ``EXITINGLRMS``"""
    reason: str = ""
    """Why it is in this state, in the word of the place, such as Slurm's ``Priority`` of a job that waits"""
    name: str = ""
    """The job's name"""
    exit_code: int | None = None
    """What the job's program ended with"""
    queue: str = ""
    """The queue that the job was submitted to"""
    nodes: tuple[str, ...] = ()
    """The hosts that the job runs or ran on"""
    slots: int | None = None
    """The number of slots that the job asked for"""
    position: int | None = None
    """How many places from the head of the queue"""
    submitted: datetime | None = None
    """When the job was accepted"""
    started: datetime | None = None
    """When the job began to run"""
    ended: datetime | None = None
    """When the job ended"""
    wall_time: timedelta | None = None
    """How long the job ran, whatever its number of slots"""
    cpu_time: timedelta | None = None
    """The CPU time that the job used, of all slots together"""
    memory: int | None = None
    """The most memory that the job used, in bytes"""
    errors: tuple[str, ...] = field(default=())
    """What the compute element says went wrong"""
    proxy_expires: datetime | None = None
    """When the job's delegated credentials end"""
    session_expires: datetime | None = None
    """When the compute element erases the job's files"""
    missing_outputs: tuple[str, ...] = ()
    """Outputs that the job was to make and did not make, though it completed. They are known once somebody has looked:
    ``get_job_info`` of one job looks, and so do ``wait``, ``explain`` and what saves outputs"""

    @property
    def status(self) -> JobStatuses:
        """The state in our simplified model."""
        return self.state.status

    @property
    def final(self) -> bool:
        """Say whether the job has ended, whichever way."""
        return self.state.final

    def _line(self) -> str:
        return in_one_line(self)

    def _card(self) -> Card:
        word = status_words(self.status.value, self.state)
        return Card(self.name or last_part(self.id), status=word, properties=known_fields(self, without=["name"]))


@dataclass(frozen=True)
class RemoteFile:
    """A file or directory of a job's session directory."""

    name: str
    """The path inside the session directory, with ``/`` between its parts; checked to stay inside"""
    size: int | None = None
    """The size in bytes; ``None`` where it is not known, and for directories"""
    is_dir: bool = False
    """Whether it is a directory"""
