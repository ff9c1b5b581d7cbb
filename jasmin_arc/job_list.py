"""The record of submitted jobs: ARC's own ``jobs.dat``, with a table of ours beside ARC's.

ARC's table ``jobs`` is what ``arcstat`` and ``arcget`` read; its columns are those of ARC's
``JobInformationStorageSQLite.cpp``. Ours, ``jasmin_arc_jobs``, holds what ARC has no place for: intentions,
descriptions, ends. Nothing is held open between calls, so threads, forks and other processes need no care.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, field, fields
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import unquote, urlsplit

from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list_file import ARC_COLUMNS, JobListFile
from jasmin_arc.owner import owner_lives, owner_mark

_CHUNK = 500
_ARC_INTERFACE = "org.nordugrid.arcrest"
INTENDED = "intended"
CREATED = "created"
SUBMITTED = "submitted"


def _now() -> datetime:
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
    submitted: datetime = field(default_factory=_now)
    delegation_id: str = ""
    final_state: str = ""
    """The general state that the job ended in, once it was seen"""
    outputs_saved: datetime | None = None
    resubmission_of: str = ""
    """The id of the job that this one repeats"""
    owner: str = ""
    """The mark of the process that is submitting it"""

    @property
    def abandoned(self) -> bool:
        """Say whether no process is submitting it any more, though it may be unfinished."""
        return not owner_lives(self.owner, self.submitted)


_FIELDS = tuple(entry.name for entry in fields(JobRecord))
_OURS = ", ".join(_FIELDS)
_THEIRS = "id, name, managementurl, localsubmissiontime, delegationid"
# A job that ARC's tools have removed from their table is gone; other backends' jobs are in ours alone.
_OURS_LISTED = "phase = 'submitted' AND (id NOT LIKE 'https:%' OR id IN (SELECT id FROM jobs))"
_THEIRS_LISTED = "id NOT IN (SELECT id FROM jasmin_arc_jobs WHERE id IS NOT NULL)"


def new_token() -> str:
    """Return a mark for one submission: unguessable and unique."""
    return secrets.token_hex(16)


class JobList:
    """The job list in one file. Each call is one transaction: all of it happens, or nothing.

    A call is durable once it returns. Threads and processes may share a list; every error is a
    :class:`~jasmin_arc.exceptions.JobListError`.

    :param path: the file; nothing is opened or created until it is needed
    :param timeout: the seconds to wait for other processes that are writing
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 60.0) -> None:
        self.path = Path(path)
        self._file = JobListFile(path, timeout=timeout)

    def intend(self, records: Iterable[JobRecord]) -> None:
        """Write down, before a request that creates jobs, what it is about to create.

        The records are marked as being worked on by this process until :meth:`commit`, :meth:`forget` or
        :meth:`release`.
        """
        mark = owner_mark()
        rows = [_row(record, phase=INTENDED, owner=mark) for record in records]
        with self._writing(rows) as database:
            _insert_ours(database, rows)

    def created(self, ids: Mapping[str, str], *, delegation_id: str = "", gone_is_fine: bool = False) -> None:
        """Write down the ids of jobs that now exist, by the tokens of their intentions.

        :param gone_is_fine: whether another process may have settled some of the intentions meanwhile
        """
        rows = [(_escape(job_id), delegation_id, delegation_id, token) for token, job_id in ids.items()]
        with self._writing(rows) as database:
            changed = database.executemany(
                "UPDATE jasmin_arc_jobs SET id = ?, phase = 'created', "
                "delegation_id = CASE ? WHEN '' THEN delegation_id ELSE ? END WHERE token = ? AND phase != 'submitted'",
                rows,
            ).rowcount
            if not gone_is_fine:
                self._check_all_there(changed, len(rows))

    def commit(self, job_ids: Iterable[str]) -> None:
        """Write down that the jobs are submitted; from here on they are listed, by ARC's tools as well."""
        wanted = list(dict.fromkeys(job_ids))
        with self._writing(wanted) as database:
            found = list(_ours_by_id(database, wanted))
            self._check_all_there(len(found), len(wanted))
            database.executemany(
                "UPDATE jasmin_arc_jobs SET phase = 'submitted', owner = '' WHERE id = ?",
                [(_escape(job_id),) for job_id in wanted],
            )
            _insert_arc(database, found)

    def add(self, records: Iterable[JobRecord]) -> None:
        """Write down jobs that are submitted already: their ids are known."""
        done = list(records)
        with self._writing(done) as database:
            _delete_by_id(database, "jasmin_arc_jobs", [record.id or "" for record in done])
            _insert_ours(database, [_row(record, phase=SUBMITTED, owner="") for record in done])
            _insert_arc(database, done)

    def forget(self, tokens: Iterable[str]) -> None:
        """Erase intentions, for jobs that do not exist or will never run. A submitted job is never erased so."""
        rows = [(token,) for token in tokens]
        with self._writing(rows) as database:
            database.executemany("DELETE FROM jasmin_arc_jobs WHERE token = ? AND phase != 'submitted'", rows)

    def release(self, tokens: Iterable[str]) -> None:
        """Write down that this process no longer works on these intentions, so that any may settle them."""
        rows = [(token,) for token in tokens]
        with self._writing(rows) as database:
            database.executemany("UPDATE jasmin_arc_jobs SET owner = '' WHERE token = ?", rows)

    def unfinished(self, endpoint: str) -> list[JobRecord]:
        """Return the intentions that were neither committed nor forgotten, oldest first.

        Some may be in the making right now: see :attr:`JobRecord.abandoned`.
        """
        with self._file.reading() as database:
            rows = database.execute(
                f"SELECT {_OURS} FROM jasmin_arc_jobs WHERE phase != 'submitted' AND endpoint = ? "  # noqa: S608
                "ORDER BY submitted, rowid",
                (endpoint,),
            )
            return [_record(row) for row in rows]

    def get(self, job_ids: Iterable[str]) -> dict[str, JobRecord]:
        """Return what is known of these jobs, whatever their phase; ids that are not in the list are absent."""
        wanted = list(dict.fromkeys(job_ids))
        with self._file.reading() as database:
            found = {record.id or "": record for record in _theirs_by_id(database, wanted)}
            found.update((record.id or "", record) for record in _ours_by_id(database, wanted))
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    def ids(self, endpoint: str | None = None) -> list[str]:
        """Return the ids of all submitted jobs, or of those of one endpoint, oldest first."""
        with self._file.reading() as database:
            ours, theirs = _select_listed(database, "submitted, id", "localsubmissiontime, id", endpoint)
        rows = sorted([*ours, *theirs], key=lambda row: _seconds(row[0]))
        return [_unescape(job_id) for _, job_id in rows]

    def neighbours(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return, for each id, the ids just before and after it in sorted order among all listed jobs."""
        with self._file.reading() as database:
            return {job_id: tuple(_neighbours(database, _escape(job_id))) for job_id in job_ids}

    def records(self, endpoint: str | None = None) -> list[JobRecord]:
        """Return all submitted jobs, or those of one endpoint, oldest first."""
        with self._file.reading() as database:
            ours, theirs = _select_listed(database, _OURS, _THEIRS, endpoint)
            found = [*map(_record, ours), *map(_foreign_record, theirs)]
        return sorted(found, key=lambda record: record.submitted)

    def set_final(self, states: Mapping[str, str]) -> None:
        """Write down the states in which jobs ended. The first one stays, whatever comes later.

        Jobs that are not in the list are left out.
        """
        known = self.get(states)
        new = {job_id: state for job_id, state in states.items() if job_id in known and not known[job_id].final_state}
        self._update(new, "final_state = ?", unless_set="final_state")

    def reopen(self, job_ids: Iterable[str]) -> None:
        """Write down that jobs that had ended run again, at the user's wish: their ends are yet to come."""
        self._update(dict.fromkeys(job_ids, ""), "final_state = ?, outputs_saved = NULL")

    def mark_saved(self, job_ids: Iterable[str]) -> None:
        """Write down that the jobs' outputs have now been saved. Jobs that are not in the list are left out."""
        self._update(dict.fromkeys(job_ids, _now().timestamp()), "outputs_saved = ?")

    def link(self, resubmissions: Mapping[str, str]) -> None:
        """Write down, by the ids of new jobs, the ids of the jobs that they repeat."""
        self._update(resubmissions, "resubmission_of = ?")

    def remove(self, job_ids: Iterable[str]) -> None:
        """Erase the jobs from the list, from ARC's table as well."""
        known = self.get(job_ids)
        with self._writing(known) as database:
            _delete_by_id(database, "jasmin_arc_jobs", known)
            _delete_by_id(database, "jobs", known)

    def close(self) -> None:
        """Do nothing: no call leaves anything open."""

    def _writing(self, what: Collection[object]) -> AbstractContextManager[sqlite3.Connection]:
        # Where there is nothing to write, no file is made and no one else is kept waiting.
        return self._file.writing() if what else self._file.reading()

    def _update(self, values: Mapping[str, object], change: str, *, unless_set: str | None = None) -> None:
        """Change the records of the jobs by their ids; jobs that are not in the list are left out."""
        known = self.get(values)
        foreign = [_row(record, token=new_token()) for record in known.values() if not record.token]
        where = f"id = ? AND {unless_set} = ''" if unless_set else "id = ?"
        with self._writing(known) as database:
            # ARC's table has no column for this, so a job of ARC's tools gets a row in ours; perhaps it just got one.
            _insert_ours(database, foreign, verb="INSERT OR IGNORE")
            database.executemany(
                f"UPDATE jasmin_arc_jobs SET {change} WHERE {where}",  # noqa: S608
                [(values[job_id], _escape(job_id)) for job_id in known],
            )

    def _check_all_there(self, found: int, wanted: int) -> None:
        if found != wanted:
            raise JobListError(
                f"{wanted - found} of {wanted} submissions are no longer in the job list {self.path}: "
                "was the file removed or replaced meanwhile?"
            )


def _escape(text: str) -> str:
    """Write a text as ARC does, so that ARC reads it back."""
    return re.sub(r"[%'#\r\n\b\0]", lambda found: f"%{ord(found[0]):02x}", text)


def _unescape(text: str | None) -> str:
    return unquote(str(text or ""), errors="replace")


def _seconds(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _time(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(_seconds(value), timezone.utc)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, timezone.utc)


def _row(record: JobRecord, **changes: object) -> tuple[object, ...]:
    values = {**dict(zip(_FIELDS, astuple(record))), **changes}
    values["id"] = None if record.id is None else _escape(record.id)
    values["submitted"] = record.submitted.timestamp()
    values["outputs_saved"] = None if record.outputs_saved is None else record.outputs_saved.timestamp()
    return tuple(values.values())


def _record(row: Sequence[object]) -> JobRecord:
    values = dict(zip(_FIELDS, row))
    values["id"] = None if values["id"] is None else _unescape(str(values["id"]))
    values["submitted"] = _time(values["submitted"])
    values["outputs_saved"] = None if values["outputs_saved"] is None else _time(values["outputs_saved"])
    return JobRecord(**values)  # type: ignore[arg-type]


def _foreign_record(row: Sequence[str]) -> JobRecord:
    """Read a row that only ARC's tools have written."""
    job_id, name, endpoint, _, delegation_id = (_unescape(value) for value in row)
    return JobRecord(
        token="",
        endpoint=endpoint.rstrip("/"),
        name=name,
        id=job_id,
        phase=SUBMITTED,
        submitted=_time(row[3]),
        delegation_id=delegation_id,
    )


def _arc_row(record: JobRecord) -> tuple[str, ...]:
    job_id, url = record.id or "", record.endpoint
    values = dict.fromkeys(ARC_COLUMNS, "")
    values.update(id=job_id, idfromendpoint=job_id.rpartition("/")[2], name=record.name)
    for service in ("status", "management", "serviceinformation"):
        values[f"{service}url"] = url
        values["statusinterface" if service == "status" else f"{service}interfacename"] = _ARC_INTERFACE
    values.update(serviceinformationhost=urlsplit(url).hostname or "", delegationid=record.delegation_id)
    values.update(localsubmissiontime=str(int(record.submitted.timestamp())))
    return tuple(map(_escape, values.values()))


def _insert_ours(database: sqlite3.Connection, rows: Iterable[tuple[object, ...]], *, verb: str = "INSERT") -> None:
    marks = ", ".join("?" * len(_FIELDS))
    database.executemany(f"{verb} INTO jasmin_arc_jobs({_OURS}) VALUES ({marks})", rows)


def _insert_arc(database: sqlite3.Connection, records: Iterable[JobRecord]) -> None:
    rows = [_arc_row(record) for record in records if (record.id or "").startswith("https:")]
    columns, marks = ", ".join(ARC_COLUMNS), ", ".join("?" * len(ARC_COLUMNS))
    database.executemany(f"INSERT OR REPLACE INTO jobs({columns}) VALUES ({marks})", rows)  # noqa: S608


def _delete_by_id(database: sqlite3.Connection, table: str, job_ids: Iterable[str]) -> None:
    database.executemany(f"DELETE FROM {table} WHERE id = ?", [(_escape(job_id),) for job_id in job_ids])  # noqa: S608


def _select_by_id(database: sqlite3.Connection, start: str, job_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(job_ids), _CHUNK):
        chunk = [_escape(job_id) for job_id in job_ids[first : first + _CHUNK]]
        yield from database.execute(f"{start} WHERE id IN ({', '.join('?' * len(chunk))})", chunk)


def _neighbours(database: sqlite3.Connection, job_id: str) -> Iterator[str]:
    for first, sign in (("max", "<"), ("min", ">")):
        tables = " UNION ALL ".join(
            f"SELECT {first}(id) AS id FROM {table} WHERE id {sign} :id"  # noqa: S608
            for table in ("jobs", "jasmin_arc_jobs")
        )
        ((found,),) = database.execute(f"SELECT {first}(id) FROM ({tables})", {"id": job_id})  # noqa: S608
        if found is not None:
            yield _unescape(found)


def _ours_by_id(database: sqlite3.Connection, job_ids: Sequence[str]) -> Iterator[JobRecord]:
    return map(_record, _select_by_id(database, f"SELECT {_OURS} FROM jasmin_arc_jobs", job_ids))  # noqa: S608


def _theirs_by_id(database: sqlite3.Connection, job_ids: Sequence[str]) -> Iterator[JobRecord]:
    return map(_foreign_record, _select_by_id(database, f"SELECT {_THEIRS} FROM jobs", job_ids))  # noqa: S608


def _select_listed(
    database: sqlite3.Connection, ours: str, theirs: str, endpoint: str | None
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    at_ours, at_theirs, values = "", "", {}
    if endpoint is not None:
        at_ours = " AND endpoint = :endpoint"
        at_theirs = " AND (managementurl = :endpoint OR substr(id, 1, length(:endpoint) + 1) = :endpoint || '/')"
        values = {"endpoint": endpoint}
    select_ours = f"SELECT {ours} FROM jasmin_arc_jobs WHERE {_OURS_LISTED}{at_ours} ORDER BY rowid"  # noqa: S608
    select_theirs = f"SELECT {theirs} FROM jobs WHERE {_THEIRS_LISTED}{at_theirs} ORDER BY rowid"  # noqa: S608
    return database.execute(select_ours, values).fetchall(), database.execute(select_theirs, values).fetchall()
