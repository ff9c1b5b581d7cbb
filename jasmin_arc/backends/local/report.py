"""From the record of a job to what users see of it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from jasmin_arc.backends.local.job_spec import QUEUE
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.constants import ARC_REST_STATES
from jasmin_arc.job_info import JobInfo

_LOG_BYTES = 1 << 20


def native_state(layout: Layout, row: sqlite3.Row) -> str:
    """The state in ARC's words; what its supervisor has written down goes before the record."""
    state = str(row["state"])
    if state != "RUNNING" or row["host"] != layout.host:
        return state
    if any(os.path.exists(layout.job(row["key"], name)) for name in ("exit", "done")):
        return "FINISHING"
    return "KILLING" if row["cancel"] else state


def job_info(layout: Layout, row: sqlite3.Row, job_id: str, position: int | None) -> JobInfo:
    """All that is known of a job, which may have a position in the queue."""
    native = native_state(layout, row)
    started, ended = _time(row["started"]), _time(row["ended"])
    return JobInfo(
        id=job_id,
        native_id=row["key"],
        state=ARC_REST_STATES[native],
        native_state=native,
        name=row["name"],
        exit_code=row["exit_code"],
        queue=QUEUE,
        nodes=(row["host"],) if started else (),
        slots=row["slots"],
        position=position,
        submitted=_time(row["submitted"]),
        started=started,
        ended=ended,
        wall_time=max((ended or datetime.now(timezone.utc)) - started, timedelta(0)) if started else None,
        cpu_time=None if row["cpu_time"] is None else timedelta(seconds=row["cpu_time"]),
        memory=row["memory"],
        errors=tuple(row["errors"].splitlines()),
    )


def evidence_of(layout: Layout, row: sqlite3.Row) -> dict[str, str]:
    """What there is to read about a job, by name."""
    texts = {
        "status": "\n".join(_life(layout, row)),
        "failed": row["errors"],
        "errors": _log_lines(layout, row["key"]),
    }
    return {name: text for name, text in texts.items() if text}


def _life(layout: Layout, row: sqlite3.Row) -> Iterator[str]:
    for moment in ("submitted", "started", "ended"):
        when = _time(row[moment])
        if when:
            yield f"{moment} {when.isoformat(timespec='milliseconds')}"
    yield f"{native_state(layout, row)} on {row['host']}"
    if row["host"] != layout.host and row["ended"] is None:
        yield f"only {row['host']} can say whether the job lives; ask there"


def _log_lines(layout: Layout, key: str) -> str:
    try:
        with open(layout.log, "rb") as file:
            file.seek(max(os.path.getsize(layout.log) - _LOG_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return "\n".join(line for line in lines if key in line)


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, timezone.utc)
