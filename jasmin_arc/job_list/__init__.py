"""The record of submitted jobs: ARC's own ``jobs.dat``, with a table of ours beside ARC's.

ARC's table ``jobs`` is what ``arcstat`` and ``arcget`` read; its columns are those of ARC's
``JobInformationStorageSQLite.cpp``. Ours, ``jasmin_arc_jobs``, holds what ARC has no place for: intentions,
descriptions, ends. Nothing is held open between calls, so threads, forks and other processes need no care.
"""

from __future__ import annotations

from jasmin_arc.job_list.job_list import JobList
from jasmin_arc.job_list.record import JobRecord, JobSummary, new_token

__all__ = ["JobList", "JobRecord", "JobSummary", "new_token"]
