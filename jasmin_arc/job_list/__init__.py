"""The record of submitted jobs: ARC's own ``jobs.dat``, with a table of ours beside ARC's.

ARC's table ``jobs`` is what ``arcstat`` and ``arcget`` read; its columns are those of ARC's
``JobInformationStorageSQLite.cpp``. Ours, ``jasmin_arc_jobs``, holds what ARC has no place for: intentions,
descriptions, ends. Nothing is held open between calls, so threads, forks and other processes need no care.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list.file import ARC_COLUMNS, JobListFile
from jasmin_arc.job_list.process_mark import owner_lives, owner_mark
from jasmin_arc.job_list.spool import Spool

if TYPE_CHECKING:
    from jasmin_arc.description import JobDescription

_Source = TypeVar("_Source", "str | Path | bytes", "Path | bytes | None")
_CHUNK = 500
_ESCAPED = re.compile(r"[%'#\r\n\b\0]")
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
    final_state: JobState | None = None
    """The state that the job ended in, once it was seen"""
    outputs_saved: datetime | None = None
    resubmission_of: str = ""
    """The id of the job that this one repeats"""
    owner: str = ""
    """The mark of the process that is submitting it"""
    contents: Mapping[str, bytes | None] = field(default_factory=dict, repr=False, compare=False)
    """The contents of inputs that are kept in files, by the names of these files; ``None`` for a content that only the
    file has. This is for :meth:`JobList.intend` and not in the list"""

    @property
    def abandoned(self) -> bool:
        """Say whether no process is submitting it any more, though it may be unfinished."""
        return not owner_lives(self.owner, self.submitted)


class JobSummary(NamedTuple):
    """What a table shows of one job. It is read quickly, also for many jobs. The time is aware and in UTC."""

    id: str
    name: str
    submitted: datetime
    final_state: JobState | None
    """The state that the job ended in, once it was seen"""


_FIELDS = tuple(entry.name for entry in fields(JobRecord) if entry.name != "contents")
_OURS = ", ".join(_FIELDS)
_THEIRS = "id, name, managementurl, localsubmissiontime, delegationid"
_SUMMARY = ", ".join(JobSummary._fields)
# A job that ARC's tools have removed from their table is gone; other backends' jobs are in ours alone.
_OURS_LISTED = "phase = 'submitted' AND (id NOT LIKE 'https:%' OR id IN (SELECT id FROM jobs))"
_THEIRS_LISTED = "id NOT IN (SELECT id FROM jasmin_arc_jobs WHERE id IS NOT NULL)"
_OF_THEIR_ENDPOINT = "(managementurl = :endpoint OR substr(id, 1, length(:endpoint) + 1) = :endpoint || '/')"
_FOREIGN = "SELECT id FROM jobs EXCEPT SELECT id FROM jasmin_arc_jobs ORDER BY id"
_FOREIGN_RECENT = (
    "SELECT id FROM jobs WHERE localsubmissiontime >= :start "
    "AND NOT EXISTS (SELECT 1 FROM jasmin_arc_jobs WHERE jasmin_arc_jobs.id = jobs.id)"
)
# Of an intention, and of a job that is listed, the contents are needed.
_DROP_INPUTS_OF_NO_JOB = (
    "DELETE FROM jasmin_arc_inputs WHERE NOT EXISTS ("
    "SELECT 1 FROM jasmin_arc_jobs WHERE jasmin_arc_jobs.token = jasmin_arc_inputs.token "
    "AND (phase != 'submitted' OR id NOT LIKE 'https:%' "
    "OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = jasmin_arc_jobs.id)))"
)
_FEW = 1000
"""Up to how many rows of ARC's table are looked up one by one"""
# A set in a pattern, by the rules of fnmatch: a "]" that comes first is one of its characters.
_SET = r"\[(?=(!?\]?))\1[^\]]*\]"


def new_token() -> str:
    """Return a mark for one submission: unguessable and unique."""
    return secrets.token_hex(16)


class JobList:
    """The job list in one file. Each call is one transaction: all of it happens, or nothing.

    A call is durable once it returns. Threads and processes may share a list; every error is a
    :class:`~jasmin_arc.exceptions.JobListError`.

    Contents of inputs that were given as bytes are not in the file but in the folder ``PATH.inputs`` beside it. A
    content is erased with the last job that has it, or later, if that was not possible then.

    Methods that note what has happened already have a parameter ``patience``: the seconds to wait for other processes,
    instead of ``timeout``.

    :param path: the file; nothing is opened or created until it is needed
    :param timeout: the seconds to wait for other processes that are writing
    :param log: told if contents of inputs cannot be kept
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout: float = 60.0, log: logging.Logger | None = None
    ) -> None:
        self.path = Path(path)
        self._file = JobListFile(path, timeout=timeout)
        self._spool = Spool(Path(f"{os.path.realpath(path)}.inputs"), log or logging.getLogger(__name__))

    def record(
        self, description: JobDescription, *, endpoint: str, token: str, id: str | None = None, delegation_id: str = ""
    ) -> JobRecord:
        """Return what to write down of a job that is about to be submitted.

        In the description that is written down, contents given as bytes are replaced by the paths of the files that
        they are kept in. If they cannot be kept, a warning is logged; the job can be submitted all the same.
        """
        contents: dict[str, bytes | None] = {}
        inputs = {name: self._recorded(source, contents) for name, source in description.inputs.items()}
        stdin = self._recorded(description.stdin, contents)
        if inputs != description.inputs or stdin is not description.stdin:
            description = description.replace(inputs=inputs, stdin=stdin)
        return JobRecord(
            token=token,
            endpoint=endpoint,
            name=description.name,
            description=description.to_json(),
            id=id,
            delegation_id=delegation_id,
            contents=contents,
        )

    def _recorded(self, source: _Source, contents: dict[str, bytes | None]) -> _Source:
        """Return what to write down for a source, and add its content to those that the job needs."""
        content = source if isinstance(source, bytes) else None
        recorded = source if content is None else self._spool.keep(content)
        name = self._spool.name_of(recorded)
        if name is not None:
            contents.setdefault(name, content)
        return recorded

    def verify_inputs(self, description: JobDescription) -> None:
        """Check, before a job is submitted again, that the contents of its inputs that were kept are as they were.

        :raises InputFileError: if one was not kept, is not there any more, or is damaged
        """
        for source in (*description.inputs.values(), description.stdin):
            self._spool.verify(source)

    def intend(self, records: Iterable[JobRecord]) -> None:
        """Write down, before a request that creates jobs, what it is about to create.

        The records are marked as being worked on by this process until :meth:`commit`, :meth:`forget` or
        :meth:`release`.
        """
        mark = owner_mark()
        new = list(records)
        with self._writing(new) as database:
            _insert_ours(database, [_row(record, phase=INTENDED, owner=mark) for record in new])
            self._keep_inputs(database, new)

    def created(self, ids: Mapping[str, str], *, delegation_id: str = "", missing_ok: bool = False) -> None:
        """Write down the ids of jobs that now exist, by the tokens of their intentions.

        :param missing_ok: whether another process may have settled some of the intentions meanwhile
        """
        rows = [(_escape(job_id), delegation_id, delegation_id, token) for token, job_id in ids.items()]
        with self._writing(rows) as database:
            changed = database.executemany(
                "UPDATE jasmin_arc_jobs SET id = ?, phase = 'created', "
                "delegation_id = CASE ? WHEN '' THEN delegation_id ELSE ? END WHERE token = ? AND phase != 'submitted'",
                rows,
            ).rowcount
            if not missing_ok:
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
        with self._erasing(done) as database:
            _delete_ours(database, [record.id or "" for record in done])
            _insert_ours(database, [_row(record, phase=SUBMITTED, owner="") for record in done])
            _insert_arc(database, done)
            self._keep_inputs(database, done)

    def forget(self, tokens: Iterable[str]) -> None:
        """Erase intentions, for jobs that do not exist or will never run. A submitted job is never erased so."""
        rows = [(token,) for token in tokens]
        with self._erasing(rows) as database:
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

    def records(self, endpoint: str | None = None) -> list[JobRecord]:
        """Return all submitted jobs, or those of one endpoint, oldest first."""
        with self._file.reading() as database:
            ours, theirs = _select_listed(database, _OURS, _THEIRS, endpoint)
            found = [*map(_record, ours), *map(_foreign_record, theirs)]
        return sorted(found, key=lambda record: record.submitted)

    def select(
        self,
        endpoint: str,
        *,
        name: str | None = None,
        since: datetime | None = None,
        ends: Collection[JobState | None] | None = None,
        last: int | None = None,
    ) -> list[JobSummary]:
        """Return the submitted jobs of one endpoint, or some of them, oldest first.

        As with :meth:`records`, jobs that ARC's tools submitted are included, and those that they removed are not.

        :param name: only jobs whose name matches this pattern, as :func:`fnmatch.fnmatchcase` does it
        :param since: only jobs that were submitted at this time or later
        :param ends: only jobs whose final state is one of these; it is ``None`` where no end was seen
        :param last: at most so many, the newest
        """
        start = since.timestamp() if since is not None else float("-inf")
        with self._file.reading() as database:
            ours = list(islice(_select_ours(database, endpoint, name, start, ends), last))[::-1]
            if ours and len(ours) == last:
                # Older jobs of ARC's tools are not needed: the newest `last` are found.
                start = ours[0].submitted.timestamp()
            # No end is known of jobs that are in ARC's table alone.
            theirs = _select_theirs(database, endpoint, name, start) if ends is None or None in ends else []
        found = sorted([*ours, *theirs], key=lambda job: job.submitted)
        return found if last is None else found[max(len(found) - last, 0) :]

    def summaries(self, job_ids: Iterable[str], *, patience: float | None = None) -> dict[str, JobSummary]:
        """Return the summaries of these jobs, whatever their phase; ids that are not in the list are absent.

        :param patience: the seconds to wait for other processes, instead of the list's timeout
        """
        wanted = list(dict.fromkeys(job_ids))
        with self._file.reading(patience=patience) as database:
            ours = _select_by_id(database, f"SELECT {_SUMMARY} FROM jasmin_arc_jobs", wanted)  # noqa: S608
            found = {job.id: job for job in map(_summary, ours)}
            rest = [job_id for job_id in wanted if job_id not in found]
            found.update((record.id or "", _summary_of(record)) for record in _theirs_by_id(database, rest))
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    def ends(self, job_ids: Iterable[str], *, patience: float | None = None) -> dict[str, JobState | None]:
        """Return by id the final states of these jobs, ``None`` where no end was seen; otherwise as :meth:`get`.

        :param patience: the seconds to wait for other processes, instead of the list's timeout
        """
        wanted = list(dict.fromkeys(job_ids))
        with self._file.reading(patience=patience) as database:
            ours = _select_by_id(database, "SELECT id, final_state FROM jasmin_arc_jobs", wanted)
            found = {_unescape(job_id): _end(state) for job_id, state in ours}
            rest = [job_id for job_id in wanted if job_id not in found]
            theirs = _select_by_id(database, "SELECT id FROM jobs", rest)
            found.update((_unescape(job_id), None) for (job_id,) in theirs)
        return found

    def neighbours(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return by id the ids just before and just after it, when the ids of all submitted jobs are sorted.

        The id itself need not be in the list. The first id and the last one have one neighbour.
        """
        with self._file.reading() as database:
            found = {job_id: (_next(database, job_id, "<"), _next(database, job_id, ">")) for job_id in job_ids}
        return {job_id: tuple(filter(None, beside)) for job_id, beside in found.items()}

    def set_final(self, states: Mapping[str, JobState], *, patience: float | None = None) -> None:
        """Write down the states in which jobs ended. The first one stays, whatever comes later.

        Only of a job that ended without success may it be learned later that it was killed. Jobs that are not in the
        list are left out.
        """
        known = self.ends(states, patience=patience)
        new = {job_id: states[job_id] for job_id, end in known.items() if end in (None, JobState.FAILED)}
        # Another process may have written an end meanwhile.
        first = "final_state = '' OR (final_state = 'Failed' AND ?1 = 'Killed')"
        self._update(new, "final_state = ?1", where=first, patience=patience)

    def reopen(self, job_ids: Iterable[str], *, patience: float | None = None) -> None:
        """Write down that jobs that had ended run again, at the user's wish: their ends are yet to come."""
        known = self.summaries(job_ids, patience=patience)
        self._update(dict.fromkeys(known, ""), "final_state = ?1, outputs_saved = NULL", patience=patience)

    def mark_saved(self, job_ids: Iterable[str], *, patience: float | None = None) -> None:
        """Write down that the jobs' outputs have now been saved. Jobs that are not in the list are left out."""
        known = self.summaries(job_ids, patience=patience)
        self._update(dict.fromkeys(known, _now().timestamp()), "outputs_saved = ?1", patience=patience)

    def link(self, resubmissions: Mapping[str, str], *, patience: float | None = None) -> None:
        """Write down, by the ids of new jobs, the ids of the jobs that they repeat."""
        known = self.summaries(resubmissions, patience=patience)
        self._update({new: resubmissions[new] for new in known}, "resubmission_of = ?1", patience=patience)

    def remove(self, job_ids: Iterable[str], *, patience: float | None = None) -> None:
        """Erase the jobs from the list, from ARC's table as well."""
        known = self.summaries(job_ids, patience=patience)
        with self._erasing(known, patience) as database:
            _delete_ours(database, known)
            database.executemany("DELETE FROM jobs WHERE id = ?", [(_escape(job_id),) for job_id in known])

    def close(self) -> None:
        """Do nothing: no call leaves anything open."""

    def _writing(
        self, what: Collection[object], patience: float | None = None
    ) -> AbstractContextManager[sqlite3.Connection]:
        # Where there is nothing to write, no file is made and no one else is kept waiting.
        return self._file.writing(patience=patience) if what else self._file.reading(patience=patience)

    @contextmanager
    def _erasing(self, what: Collection[object], patience: float | None = None) -> Iterator[sqlite3.Connection]:
        """A transaction that may erase jobs. The contents that only they had are erased after it."""
        with self._writing(what, patience) as database:
            yield database
            if what:
                database.execute(_DROP_INPUTS_OF_NO_JOB)
        if what and not self._spool.is_empty():
            self._erase_inputs(patience)

    def _update(
        self, values: Mapping[str, object], change: str, *, patience: float | None, where: str = "TRUE"
    ) -> None:
        """Change the records of jobs that are in the list, by their ids: ``?1`` is the value."""
        with self._writing(values, patience) as database:
            # ARC's table has no column for this, so a job that only ARC's table has gets a row in our table.
            ours = {
                _unescape(row[0]) for row in _select_by_id(database, "SELECT id FROM jasmin_arc_jobs", list(values))
            }
            foreign = _theirs_by_id(database, [job_id for job_id in values if job_id not in ours])
            _insert_ours(database, [_row(record, token=new_token()) for record in foreign])
            database.executemany(
                f"UPDATE jasmin_arc_jobs SET {change} WHERE id = ?2 AND ({where})",  # noqa: S608
                [(value, _escape(job_id)) for job_id, value in values.items()],
            )

    def _keep_inputs(self, database: sqlite3.Connection, records: Sequence[JobRecord]) -> None:
        """Write down which contents jobs need. From here on, their files stay."""
        database.executemany(
            "INSERT OR IGNORE INTO jasmin_arc_inputs(token, content) VALUES (?, ?)",
            [(record.token, name) for record in records for name in record.contents],
        )
        # Between keep() and this transaction another process may have erased the last job with such a content.
        contents = [entry for record in records for entry in record.contents.items()]
        self._spool.restore({name: content for name, content in contents if content is not None})

    def _erase_inputs(self, patience: float | None) -> None:
        """Erase the contents that no job needs, whatever left them.

        The jobs are gone for certain now: their own transaction has not failed at its end. This is another one, so
        that no other process can begin to need a content meanwhile: :meth:`intend` writes it again afterwards.
        """
        # The jobs are erased whether this succeeds or not. What stays now is erased next time.
        with suppress(JobListError), self._file.writing(patience=patience) as database:
            needed = {name for (name,) in database.execute("SELECT content FROM jasmin_arc_inputs")}
            self._spool.erase_all_but(needed)

    def _check_all_there(self, found: int, wanted: int) -> None:
        if found != wanted:
            raise JobListError(
                f"{wanted - found} of {wanted} submissions are no longer in the job list {self.path}: "
                "was the file removed or replaced meanwhile?"
            )


def _escape(text: str) -> str:
    """Write a text as ARC does, so that ARC reads it back."""
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02x}", text)


def _unescape(text: str | None) -> str:
    plain = str(text or "")
    # unquote() is slow, and few texts need it.
    return unquote(plain, errors="replace") if "%" in plain else plain


def _seconds(value: object) -> float:
    if isinstance(value, float):
        return value
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _time(value: object) -> datetime:
    try:
        return datetime.fromtimestamp(_seconds(value), timezone.utc)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, timezone.utc)


def _end(word: object) -> JobState | None:
    return JobState(str(word)) if word else None


def _row(record: JobRecord, **changes: object) -> tuple[object, ...]:
    values = {**{name: getattr(record, name) for name in _FIELDS}, **changes}
    values["id"] = None if record.id is None else _escape(record.id)
    values["submitted"] = record.submitted.timestamp()
    values["final_state"] = record.final_state or ""
    values["outputs_saved"] = None if record.outputs_saved is None else record.outputs_saved.timestamp()
    return tuple(values.values())


def _record(row: Sequence[object]) -> JobRecord:
    values = dict(zip(_FIELDS, row))
    values["id"] = None if values["id"] is None else _unescape(str(values["id"]))
    values["submitted"] = _time(values["submitted"])
    values["final_state"] = _end(values["final_state"])
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


def _summary(row: Sequence[object]) -> JobSummary:
    job_id, name, submitted, final_state = row
    return JobSummary(_unescape(str(job_id)), str(name), _time(submitted), _end(final_state))


def _summary_of(record: JobRecord) -> JobSummary:
    return JobSummary(record.id or "", record.name, record.submitted, record.final_state)


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


def _insert_ours(database: sqlite3.Connection, rows: Iterable[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * len(_FIELDS))
    database.executemany(f"INSERT INTO jasmin_arc_jobs({_OURS}) VALUES ({marks})", rows)  # noqa: S608


def _insert_arc(database: sqlite3.Connection, records: Iterable[JobRecord]) -> None:
    rows = [_arc_row(record) for record in records if (record.id or "").startswith("https:")]
    columns, marks = ", ".join(ARC_COLUMNS), ", ".join("?" * len(ARC_COLUMNS))
    database.executemany(f"INSERT OR REPLACE INTO jobs({columns}) VALUES ({marks})", rows)  # noqa: S608


def _delete_ours(database: sqlite3.Connection, job_ids: Iterable[str]) -> None:
    database.executemany("DELETE FROM jasmin_arc_jobs WHERE id = ?", [(_escape(job_id),) for job_id in job_ids])


def _select_by_id(database: sqlite3.Connection, start: str, job_ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for first in range(0, len(job_ids), _CHUNK):
        chunk = [_escape(job_id) for job_id in job_ids[first : first + _CHUNK]]
        yield from database.execute(f"{start} WHERE id IN ({', '.join('?' * len(chunk))})", chunk)


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
        at_theirs = f" AND {_OF_THEIR_ENDPOINT}"
        values = {"endpoint": endpoint}
    select_ours = f"SELECT {ours} FROM jasmin_arc_jobs WHERE {_OURS_LISTED}{at_ours} ORDER BY rowid"  # noqa: S608
    select_theirs = f"SELECT {theirs} FROM jobs WHERE {_THEIRS_LISTED}{at_theirs} ORDER BY rowid"  # noqa: S608
    return database.execute(select_ours, values).fetchall(), database.execute(select_theirs, values).fetchall()


def _select_ours(
    database: sqlite3.Connection,
    endpoint: str,
    name: str | None,
    start: float,
    ends: Collection[JobState | None] | None,
) -> Iterator[JobSummary]:
    """The jobs of our table, the newest first; the caller reads only as many as it needs.

    An index answers the conditions on endpoint, time, name and end, so descriptions are not read.
    """
    ended = "TRUE" if ends is None else f"final_state IN ({', '.join('?' * len(ends))})"
    rows = database.execute(
        f"SELECT {_SUMMARY} FROM jasmin_arc_jobs WHERE endpoint = ? AND phase = 'submitted' AND submitted >= ? "  # noqa: S608
        f"AND name GLOB ? AND {ended} "
        "AND (id NOT LIKE 'https:%' OR EXISTS (SELECT 1 FROM jobs WHERE jobs.id = jasmin_arc_jobs.id)) "
        "ORDER BY submitted DESC, rowid DESC",
        (endpoint, start, "*" if name is None else _glob(name), *(end or "" for end in ends or ())),
    )
    return (job for job in map(_summary, rows) if name is None or fnmatchcase(job.name, name))


def _select_theirs(database: sqlite3.Connection, endpoint: str, name: str | None, start: float) -> list[JobSummary]:
    """The jobs that ARC's table alone has."""
    # ARC writes the seconds as text: of the times with ten digits, the order is that of the numbers.
    values = {"endpoint": endpoint, "start": str(int(start)) if start >= 1e9 else ""}
    recent = database.execute(
        "SELECT 1 FROM jobs WHERE localsubmissiontime >= :start LIMIT :few + 1", {**values, "few": _FEW}
    )
    # For many rows, one pass through the indexes of both tables is faster than a look-up of each id.
    foreign = _FOREIGN_RECENT if len(recent.fetchall()) <= _FEW else _FOREIGN
    rows = database.execute(
        f"SELECT {_THEIRS} FROM jobs WHERE id IN ({foreign}) AND {_OF_THEIR_ENDPOINT} ORDER BY rowid",  # noqa: S608
        values,
    )
    jobs = [_summary_of(_foreign_record(row)) for row in rows]
    return [job for job in jobs if job.submitted.timestamp() >= start and (name is None or fnmatchcase(job.name, name))]


def _glob(pattern: str) -> str:
    """Return a pattern of SQLite for all that a pattern of fnmatch matches, and perhaps for more."""
    return re.sub(rf"{_SET}|\[", lambda found: "[[]" if found[0] == "[" else "?", pattern)


def _next(database: sqlite3.Connection, job_id: str, side: str) -> str | None:
    """The nearest id before (``<``) or after (``>``) an id."""
    order, nearest = ("DESC", max) if side == "<" else ("ASC", min)
    found = []
    for table, listed in (("jasmin_arc_jobs", _OURS_LISTED), ("jobs", "id != ''")):
        found += database.execute(
            f"SELECT id FROM {table} WHERE id {side} ? AND {listed} ORDER BY id {order} LIMIT 1",  # noqa: S608
            (_escape(job_id),),
        ).fetchall()
    return _unescape(nearest(found)[0]) if found else None
