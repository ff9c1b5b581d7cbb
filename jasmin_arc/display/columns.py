"""Which columns tables have, and the rows for jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from jasmin_arc._support.quantities import local_minute, local_zone, size
from jasmin_arc._support.values import for_people, status_words
from jasmin_arc.constants import JobState
from jasmin_arc.job_info import JobInfo

Row = Mapping[str, Any]
STATUS_STYLES = {"completed": "green", "failed": "red", "cancelled": "yellow", "in progress": "cyan", "unknown": "dim"}


@dataclass(frozen=True)
class Column:
    """A column of a table: where its values are in the rows, and how a terminal shows them."""

    key: str
    title: str
    show: Callable[[Any], str] = for_people
    style: Callable[[Row], str] = lambda _: ""
    whole: bool = False
    """Whether it keeps its width, whatever becomes of the others"""
    right: bool = False
    from_width: int = 0
    """How wide a terminal must be for this column"""
    words: Callable[[Row], str] | None = None
    """What a terminal shows where that depends on more of the row than the value"""
    zoned: bool = False
    """Whether the heading says the zone of its times"""

    @property
    def heading(self) -> str:
        """What stands above the column."""
        return f"{self.title} ({local_zone()})" if self.zoned else self.title


def if_known(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return how to show a value that may be ``None``."""
    return lambda value: "" if value is None else show(value)


def _status(row: Row) -> str:
    return status_words(row["status"], row.get("state"))


_JOB = Column("id", "JOB", whole=True)
_STATUS = Column("status", "STATUS", words=_status, style=lambda row: STATUS_STYLES.get(_status(row), ""), whole=True)
_NAME = Column("name", "NAME")
JOBS = (
    _JOB,
    _STATUS,
    Column("state", "STATE", whole=True, from_width=90),
    Column("exit_code", "EXIT", right=True, from_width=60),
    Column("submitted", "SUBMITTED", if_known(local_minute), whole=True, from_width=70, zoned=True),
    _NAME,
)
ENDS = (_JOB, _STATUS, _NAME)
OUTCOMES = (_JOB, Column("outcome", "OUTCOME"))
DONE = (Column("id", "", whole=True), Column("done", ""))
"""Which job, and what was done with it"""
FILES = (Column("size", "SIZE", if_known(size), right=True), _NAME)


def job_row(info: JobInfo, name: str = "") -> dict[str, Any]:
    """Return all that is known of a job, as it stands in JSON."""
    row = {"id": info.id, "name": info.name or name, "status": info.status.value}
    row.update({key: value for key, value in asdict(info).items() if key not in row})
    return row


def unknown_row(job_id: str, name: str) -> dict[str, Any]:
    """Return a row like that of :func:`job_row` for a job of which nothing is known."""
    return {**job_row(JobInfo(job_id, JobState.UNDEFINED, name=name)), "status": "unknown", "state": ""}
