"""The SQL of the job list: rows of our table, and of ARC's, to records and back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from urllib.parse import unquote, urlsplit

from jasmin_arc.constants import JobState
from jasmin_arc.job_list.record import SUBMITTED, JobRecord, JobSummary
from jasmin_arc.job_list.tables import ARC_COLUMNS

_CHUNK = 500
_FEW = 1000
"""Up to how many rows of ARC's table are looked up one by one"""
_ESCAPED = re.compile(r"[%'#\r\n\b\0]")
# A set in a pattern, by the rules of fnmatch: a "]" that comes first is one of its characters.
_SET = r"\[(?=(!?\]?))\1[^\]]*\]"
_ENDS = {state.value: state for state in JobState}

_ARC_SCHEME = "https:"
"""How the ids of those jobs begin that ARC's tools know as well"""
_ARC_INTERFACES = ("statusinterface", "managementinterfacename", "serviceinformationinterfacename")
_FIELDS = tuple(entry.name for entry in fields(JobRecord) if entry.name != "contents")
_OURS = ", ".join(_FIELDS)
_THEIRS = "id, name, managementurl, localsubmissiontime, delegationid"
_SUMMARY = ", ".join(JobSummary._fields)
# A job that ARC's tools have removed from their table is gone; other backends' jobs are in ours alone.
_LISTED = (
    f"(phase = 'submitted' AND (id NOT LIKE '{_ARC_SCHEME}%' "
    "OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = jasmin_arc_jobs.id)))"
)
_OF_ENDPOINT = (
    "(:endpoint IS NULL OR managementurl = :endpoint OR substr(id, 1, length(:endpoint) + 1) = :endpoint || '/')"
)
_FOREIGN = "SELECT id FROM jobs EXCEPT SELECT id FROM jasmin_arc_jobs ORDER BY id"
_FOREIGN_RECENT = (
    "SELECT id FROM jobs WHERE localsubmissiontime >= :start "
    "AND NOT EXISTS (SELECT 1 FROM jasmin_arc_jobs WHERE jasmin_arc_jobs.id = jobs.id)"
)
# The contents are needed of a job that is listed, and of an intention.
DROP_INPUTS_OF_NO_JOB = (
    "DELETE FROM jasmin_arc_inputs WHERE NOT EXISTS (SELECT 1 FROM jasmin_arc_jobs "
    f"WHERE jasmin_arc_jobs.token = jasmin_arc_inputs.token AND (phase != 'submitted' OR {_LISTED}))"
)


def escape(text: str) -> str:
    """Write a text as ARC does, so that ARC reads it back."""
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02x}", text)


def _unescape(text: object) -> str:
    plain = str(text or "")
    # unquote() is slow, and few texts need it.
    return unquote(plain, errors="replace") if "%" in plain else plain


def _time(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(float(str(value)), timezone.utc)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, timezone.utc)


def insert(database: sqlite3.Connection, records: Iterable[JobRecord], **changes: object) -> None:
    marks = ", ".join("?" * len(_FIELDS))
    rows = [_row(record, changes) for record in records]
    database.executemany(f"INSERT INTO jasmin_arc_jobs({_OURS}) VALUES ({marks})", rows)


def _row(record: JobRecord, changes: dict[str, object]) -> tuple[object, ...]:
    values = {name: getattr(record, name) for name in _FIELDS}
    values["id"] = None if record.id is None else escape(record.id)
    values["submitted"] = record.submitted.timestamp()
    values["final_state"] = record.final_state or ""
    values["outputs_saved"] = None if record.outputs_saved is None else record.outputs_saved.timestamp()
    return tuple({**values, **changes}.values())


def _record(row: Sequence[object]) -> JobRecord:
    values = dict(zip(_FIELDS, row))
    values["id"] = None if values["id"] is None else _unescape(values["id"])
    values["submitted"] = _time(values["submitted"])
    values["final_state"] = _ENDS.get(str(values["final_state"]))
    values["outputs_saved"] = None if values["outputs_saved"] is None else _time(values["outputs_saved"])
    return JobRecord(**values)  # type: ignore[arg-type]


def _summary(row: Sequence[object]) -> JobSummary:
    job_id, name, submitted, final_state = row
    return JobSummary(_unescape(job_id), str(name), _time(submitted), _ENDS.get(str(final_state)))


def unfinished(database: sqlite3.Connection, endpoint: str) -> list[JobRecord]:
    query = f"SELECT {_OURS} FROM jasmin_arc_jobs WHERE phase != 'submitted' AND endpoint = ? ORDER BY submitted, rowid"
    return [_record(row) for row in database.execute(query, (endpoint,))]


def records_by_id(database: sqlite3.Connection, job_ids: Sequence[str]) -> Iterator[JobRecord]:
    return map(_record, _by_id(database, f"SELECT {_OURS} FROM jasmin_arc_jobs", job_ids))


def summaries_by_id(database: sqlite3.Connection, job_ids: Sequence[str]) -> Iterator[JobSummary]:
    return map(_summary, _by_id(database, f"SELECT {_SUMMARY} FROM jasmin_arc_jobs", job_ids))


def _by_id(database: sqlite3.Connection, start: str, job_ids: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for first in range(0, len(job_ids), _CHUNK):
        chunk = [escape(job_id) for job_id in job_ids[first : first + _CHUNK]]
        yield from database.execute(f"{start} WHERE id IN ({', '.join('?' * len(chunk))})", chunk)


def select(
    database: sqlite3.Connection,
    endpoint: str | None,
    name: str | None,
    start: float,
    ends: Collection[JobState | None] | None,
) -> Iterator[JobSummary]:
    """The listed jobs of our table, the newest first; the caller reads only as many as it needs."""
    # A pattern of SQLite for all that the pattern of fnmatch matches, and perhaps for more.
    glob = re.sub(rf"{_SET}|\[", lambda found: "[[]" if found[0] == "[" else "?", "*" if name is None else name)
    values = {"endpoint": endpoint, "start": start, "glob": glob}
    # An index answers these conditions, so descriptions are not read.
    values.update((f"end{number}", end or "") for number, end in enumerate(ends or ()))
    there = "TRUE" if endpoint is None else "endpoint = :endpoint"
    ended = "TRUE" if ends is None else f"final_state IN ({', '.join(f':end{n}' for n in range(len(ends)))})"
    rows = database.execute(
        f"SELECT {_SUMMARY} FROM jasmin_arc_jobs WHERE {there} AND submitted >= :start "
        f"AND name GLOB :glob AND {ended} AND {_LISTED} ORDER BY submitted DESC, rowid DESC",
        values,
    )
    return (job for job in map(_summary, rows) if name is None or fnmatchcase(job.name, name))


def insert_arc(database: sqlite3.Connection, records: Iterable[JobRecord]) -> None:
    """Insert those records into ARC's table that are of ARC's jobs."""
    rows = [_arc_row(record) for record in records if (record.id or "").startswith(_ARC_SCHEME)]
    columns, marks = ", ".join(ARC_COLUMNS), ", ".join("?" * len(ARC_COLUMNS))
    database.executemany(f"INSERT OR REPLACE INTO jobs({columns}) VALUES ({marks})", rows)


def _arc_row(record: JobRecord) -> tuple[str, ...]:
    job_id, url = record.id or "", record.endpoint
    values = {
        **dict.fromkeys(ARC_COLUMNS, ""),
        "id": job_id,
        "idfromendpoint": job_id.rpartition("/")[2],
        "name": record.name,
        **dict.fromkeys(("statusurl", "managementurl", "serviceinformationurl"), url),
        **dict.fromkeys(_ARC_INTERFACES, "org.nordugrid.arcrest"),
        "serviceinformationhost": urlsplit(url).hostname or "",
        "localsubmissiontime": str(int(record.submitted.timestamp())),
        "delegationid": record.delegation_id,
    }
    return tuple(map(escape, values.values()))


def arc_records_by_id(database: sqlite3.Connection, job_ids: Sequence[str]) -> Iterator[JobRecord]:
    return map(_arc_record, _by_id(database, f"SELECT {_THEIRS} FROM jobs", job_ids))


def _arc_record(row: Sequence[object]) -> JobRecord:
    job_id, name, endpoint, submitted, delegation_id = map(_unescape, row)
    return JobRecord("", endpoint.rstrip("/"), name, "", job_id, SUBMITTED, _time(submitted), delegation_id)


def summary_of(record: JobRecord) -> JobSummary:
    return JobSummary(record.id or "", record.name, record.submitted, record.final_state)


def select_arc(database: sqlite3.Connection, endpoint: str | None, name: str | None, start: float) -> list[JobSummary]:
    """The jobs that ARC's table alone has, oldest first."""
    # ARC writes the seconds as text: of the times with ten digits, the order is that of the numbers.
    values = {"endpoint": endpoint, "start": str(int(start)) if start >= 1e9 else ""}
    recent = database.execute(
        "SELECT 1 FROM jobs WHERE localsubmissiontime >= :start LIMIT :few + 1", {**values, "few": _FEW}
    )
    # For many rows, one pass through the indexes of both tables is faster than a look-up of each id.
    foreign = _FOREIGN_RECENT if len(recent.fetchall()) <= _FEW else _FOREIGN
    query = f"SELECT {_THEIRS} FROM jobs WHERE id IN ({foreign}) AND {_OF_ENDPOINT} ORDER BY rowid"
    jobs = [summary_of(_arc_record(row)) for row in database.execute(query, values)]
    return [job for job in jobs if job.submitted.timestamp() >= start and (name is None or fnmatchcase(job.name, name))]


def next_id(database: sqlite3.Connection, job_id: str, side: str) -> str | None:
    """The nearest listed id before (``<``) or after (``>``) an id."""
    order, nearest = ("DESC", max) if side == "<" else ("ASC", min)
    found = []
    for table, listed in (("jasmin_arc_jobs", _LISTED), ("jobs", "id != ''")):
        query = f"SELECT id FROM {table} WHERE id {side} ? AND {listed} ORDER BY id {order} LIMIT 1"
        found += database.execute(query, (escape(job_id),)).fetchall()
    return _unescape(nearest(found)[0]) if found else None
