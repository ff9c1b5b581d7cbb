"""What the scenarios of the contract share."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jasmin_arc import ArcInterface, JobDescription, JobStatuses

LIMIT = 120
# Enough that the jobs of a scenario need not wait for each other, as on the grid.
LOCAL_SLOTS = 8

_Value = TypeVar("_Value")


def shell(script: str, **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": ["output"], **options})


def ended(arc: ArcInterface, *job_ids: str) -> list[JobStatuses]:
    return arc.wait(list(job_ids), timeout=LIMIT)


def saved(arc: ArcInterface, job_id: str, **options: Any) -> dict[str, bytes]:
    folder = arc.save_job_outputs(job_id, **options)
    assert folder is not None
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()
    }


def until(condition: Callable[[], _Value]) -> _Value:
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value


def running(arc: ArcInterface, job_id: str) -> None:
    until(lambda: arc.get_job_status(job_id) is JobStatuses.IN_PROGRESS)
