"""What several tests do with a job list."""

from __future__ import annotations

from collections.abc import Iterable

from jasmin_arc.job_list import JobList, JobRecord


def add(job_list: JobList, records: Iterable[JobRecord]) -> None:
    """Write down jobs whose ids are known as submitted."""
    done = list(records)
    job_list.intend(done)
    job_list.commit(record.id or "" for record in done)


def records(job_list: JobList) -> list[JobRecord]:
    """All that is known of the submitted jobs, oldest first."""
    return list(job_list.get(job_list.ids()).values())
