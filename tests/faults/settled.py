"""What must hold after faults: no job lost, none twice, none left behind."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection

from jasmin_arc.backends.rest.backend import RestBackend
from jasmin_arc.backends.rest.submission import is_complete
from jasmin_arc.job_list import JobList


def jobs_of_run(backend: RestBackend, run: str, but: Collection[str]) -> dict[str, str]:
    """Return the tokens of the jobs there whose names start with ``run``, by job id."""
    found = {}
    for job_id in set(backend.list_jobs()) - set(but):
        text = backend._api.diagnose(backend._api.native_id(job_id), "description") or ""
        token = re.search(r"jasmin_arc:(\w+)<", text)
        if token and f"Name>{run}" in text:
            found[job_id] = token[1]
    return found


def assert_settled(backend: RestBackend, job_list: JobList, run: str, before: Collection[str]) -> list[str]:
    """Check what the list and the compute element say of each other, and return the jobs."""
    deadline = time.monotonic() + 30
    while True:
        # What has been erased takes a moment to go.
        there = jobs_of_run(backend, run, before)
        listed = set(job_list.ids(backend.endpoint))
        if set(there) == listed or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert set(there) == listed, f"left behind: {set(there) - listed}; lost: {listed - set(there)}"
    assert max(Counter(there.values()).values(), default=1) == 1
    assert all(is_complete(backend._api, backend._api.native_id(job_id)) for job_id in listed)
    assert {record.token for record in job_list.get(job_list.ids(backend.endpoint)).values()} == set(there.values())
    return sorted(listed)
