"""All that is known of a job when it is to be explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import NamedTuple

from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.explain.limits import allowing_qos, allowing_queue, chosen_qos, default_queue, over_limits
from jasmin_arc.job_info import JobInfo
from jasmin_arc.site_info import QosInfo, QueueInfo, SiteInfo

_TELLING_LOGS = ("failed", "errors")
"""The logs that say what went wrong; others repeat what users wrote, who call files and jobs as they like"""
_MAX_LOG = 200_000
_MAX_LINE = 1000
_RULE = re.compile(r"^-{20,}\s*$", re.MULTILINE)
_NOISE = re.compile(r"SLURM jobname: |\[[^]]*\] \[(?:INFO|VERBOSE|DEBUG)\] ")


class Finding(NamedTuple):
    """What a rule finds: a cause, its sentence and the advice, an ``Advice`` where it names actions."""

    cause: str
    summary: str
    advice: str


@dataclass(frozen=True)
class Facts:
    """What the place says of a job, and what was asked for."""

    info: JobInfo
    logs: Mapping[str, str] = field(default_factory=dict)
    """What the place has logged about the job, by name"""
    stderr: str = ""
    """The end of the job's standard error"""
    description: JobDescription | None = None
    site: SiteInfo | None = None
    not_uploaded: tuple[str, ...] = ()
    """Inputs that the submitting machine was to upload and that are not there"""
    not_sent: tuple[str, ...] = ()
    """Relative paths that the commands name, and that are neither inputs nor outputs"""
    missing_outputs: tuple[str, ...] = ()
    """Outputs that the job was to make and that are not there"""
    unfinished: bool = False
    """Whether the job list knows that the submission of the job has not come to its end"""
    known_end: JobState | None = None
    """The state in which the job was once seen to have ended"""
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @cached_property
    def verdict(self) -> str:
        """Why the place says that the job failed."""
        return "\n".join([*self.info.errors, self.logs.get("failed", "")])

    @cached_property
    def text(self) -> str:
        """All that the place says may have gone wrong, without what it says of every job."""
        return "\n".join([*self.info.errors, *(_without_noise(self.logs.get(name, "")) for name in _TELLING_LOGS)])

    def says(self, pattern: str) -> re.Match[str] | None:
        """Look for the pattern in what the place says may have gone wrong, in capital letters or not."""
        return re.search(pattern, self.text, re.IGNORECASE | re.MULTILINE)

    @property
    def queue(self) -> QueueInfo | None:
        """The job's queue, if the site publishes it."""
        asked = self.description.queue if self.description else None
        name = self.info.queue or asked or default_queue(self.site)
        queues = self.site.queues if self.site else ()
        return next((queue for queue in queues if queue.name == name), None)

    @property
    def qos(self) -> QosInfo | None:
        """The job's quality of service, if the site publishes it."""
        offered = self.site.qos if self.site else ()
        told = next((qos for qos in offered if qos.name == self._status.get("qos")), None)
        return told or (chosen_qos(self.description, self.site) if self.description else None)

    @property
    def expected_start(self) -> datetime | None:
        """When the batch system expects a job to start that waits, if it told a time that is still to come."""
        seconds = self._status.get("started", "")
        # Beyond these digits lies no year of this calendar.
        if not re.fullmatch(r"\d{1,11}", seconds):
            return None
        start = datetime.fromtimestamp(int(seconds), timezone.utc)
        return start if start > self.now else None

    @property
    def _status(self) -> dict[str, str]:
        """What the place says of the job now."""
        pairs = (line.partition("=") for line in self.logs.get("status", "").splitlines())
        return {name: value for name, _, value in pairs}

    @property
    def copies(self) -> bool:
        """Whether the compute element copies files for the job, which needs credentials that last."""
        job = self.description
        return job is None or bool(job.url_inputs) or any((job.outputs or {}).values())

    @property
    def over_limits(self) -> list[str]:
        """The limits of its queue and its quality of service that the job is over, as far as they are known."""
        return over_limits(self.description, self.queue, self.qos) if self.description else []

    @property
    def other_queue(self) -> str:
        """What is said of a queue that would allow the job, an empty text where there is none."""
        job, site = self.description, self.site
        return allowing_queue(job, site, instead_of=self.info.queue) if job and site else ""

    @property
    def other_qos(self) -> str:
        """What is said of qualities of service that would allow the job, an empty text where there are none."""
        return allowing_qos(self.description, self.site) if self.description and self.site else ""


def _without_noise(log: str) -> str:
    """Remove what A-REX puts between lines of dashes, such as the job script with its messages for all cases."""
    parts = _RULE.split(log[-_MAX_LOG:])
    kept = [part for number, part in enumerate(parts) if number % 2 == 0 or number == len(parts) - 1]
    lines = (line for part in kept for line in part.splitlines())
    return "\n".join(line[:_MAX_LINE] for line in lines if not _NOISE.match(line))
