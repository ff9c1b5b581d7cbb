"""The list of submitted jobs, as the rest of the library sees it."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list import rows
from jasmin_arc.job_list.process_mark import owner_mark
from jasmin_arc.job_list.record import INTENDED, JobRecord, JobSummary, new_token, now
from jasmin_arc.job_list.spool import Spool
from jasmin_arc.job_list.tables import JobListFile

if TYPE_CHECKING:
    from jasmin_arc.description import JobDescription

_Source = TypeVar("_Source", "str | Path | bytes", "Path | bytes | None")


class JobList:
    """The job list in one file. Each call is one transaction: all of it happens, or nothing.

    A call is durable once it returns. Threads and processes may share a list; every error is a
    :class:`~jasmin_arc.exceptions.JobListError`.

    Contents of inputs that were given as bytes are not in the file but in the folder ``PATH.inputs`` beside it. A
    content is erased with the last job that has it, or later, if that was not possible then.

    :param path: the file; nothing is opened or created until it is needed
    :param timeout: the seconds to wait for other processes that are writing
    :param log: told if contents of inputs cannot be kept
    """

    def __init__(
        self, path: str | os.PathLike[str], *, timeout: float = 60.0, log: logging.Logger | None = None
    ) -> None:
        log = log or logging.getLogger(__name__)
        self.path = Path(path)
        self._log = log
        self._file = JobListFile(path, timeout=timeout)
        self._spool = Spool(Path(f"{os.path.realpath(path)}.inputs"), log)

    def with_timeout(self, timeout: float) -> JobList:
        """Return the same list, for somebody who waits longer or less long for other processes."""
        return JobList(self.path, timeout=timeout, log=self._log)

    def record(
        self,
        description: JobDescription,
        *,
        endpoint: str,
        token: str,
        id: str | None = None,
        delegation_id: str = "",
        identity: str = "",
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
        text = description.to_json()
        return JobRecord(
            token,
            endpoint,
            description.name,
            text,
            id,
            delegation_id=delegation_id,
            identity=identity,
            contents=contents,
        )

    def _recorded(self, source: _Source, contents: dict[str, bytes | None]) -> _Source:
        """Return what to write down for a source, and add its content to those that the job needs."""
        content = source if isinstance(source, bytes) else None
        recorded = source if content is None else self._spool.keep(content)
        if name := self._spool.name_of(recorded):
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

        The records are marked as being worked on by this process until :meth:`commit`, :meth:`drop` or
        :meth:`release`.
        """
        new = list(records)
        with self._writing(new) as database:
            rows.insert(database, new, phase=INTENDED, owner=owner_mark())
            # From here on, the files of the contents that the jobs need stay.
            needed = [(record.token, name) for record in new for name in record.contents]
            database.executemany("INSERT OR IGNORE INTO jasmin_arc_inputs(token, content) VALUES (?, ?)", needed)
            # Between keep() and this transaction another process may have erased the last job with such a content.
            for record in new:
                self._spool.restore({name: content for name, content in record.contents.items() if content is not None})

    def created(self, ids: Mapping[str, str], *, missing_ok: bool = False) -> None:
        """Write down the ids of jobs that now exist, by the tokens of their intentions.

        :param missing_ok: whether another process may have settled some of the intentions meanwhile
        """
        with self._writing(ids) as database:
            changed = database.executemany(
                "UPDATE jasmin_arc_jobs SET id = ?, phase = 'created' WHERE token = ? AND phase != 'submitted'",
                [(rows.escape(job_id), token) for token, job_id in ids.items()],
            ).rowcount
            if not missing_ok:
                self._check_all_there(changed, len(ids))

    def commit(self, job_ids: Iterable[str]) -> None:
        """Write down that the jobs are submitted; from here on they are listed, by ARC's tools as well."""
        wanted = list(dict.fromkeys(job_ids))
        with self._writing(wanted) as database:
            found = list(rows.records_by_id(database, wanted))
            self._check_all_there(len(found), len(wanted))
            statement = "UPDATE jasmin_arc_jobs SET phase = 'submitted', owner = '' WHERE id = ?"
            _change(database, map(rows.escape, wanted), statement)
            rows.insert_arc(database, found)

    def drop(self, tokens: Iterable[str]) -> None:
        """Erase intentions, for jobs that do not exist or will never run. A submitted job is never erased so."""
        wanted = list(tokens)
        with self._erasing(wanted) as database:
            _change(database, wanted, "DELETE FROM jasmin_arc_jobs WHERE token = ? AND phase != 'submitted'")

    def release(self, tokens: Iterable[str]) -> None:
        """Write down that this process no longer works on these intentions, so that any may settle them."""
        wanted = list(tokens)
        with self._writing(wanted) as database:
            _change(database, wanted, "UPDATE jasmin_arc_jobs SET owner = '' WHERE token = ?")

    def unfinished(self, endpoint: str) -> list[JobRecord]:
        """Return the intentions that were neither committed nor dropped, oldest first.

        Some may be in the making right now: see :attr:`JobRecord.abandoned`.
        """
        with self._file.reading() as database:
            return rows.unfinished(database, endpoint)

    def get(self, job_ids: Iterable[str]) -> dict[str, JobRecord]:
        """Return what is known of these jobs, whatever their phase; ids that are not in the list are absent."""
        wanted = list(dict.fromkeys(job_ids))
        with self._file.reading() as database:
            known = [*rows.arc_records_by_id(database, wanted), *rows.records_by_id(database, wanted)]
        found = {record.id: record for record in known}
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    def ids(self, endpoint: str | None = None) -> list[str]:
        """Return the ids of all submitted jobs, or of those of one endpoint, oldest first."""
        return [job.id for job in self.select(endpoint)]

    def select(
        self,
        endpoint: str | None,
        *,
        name: str | None = None,
        since: datetime | None = None,
        ends: Collection[JobState | None] | None = None,
        last: int | None = None,
    ) -> list[JobSummary]:
        """Return the submitted jobs of one endpoint, or some of them, oldest first.

        Jobs that ARC's tools submitted are included, and those that they removed are not.

        :param endpoint: ``None`` for all endpoints
        :param name: only jobs whose name matches this pattern, as :func:`fnmatch.fnmatchcase` does it
        :param since: only jobs that were submitted at this time or later
        :param ends: only jobs whose final state is one of these; it is ``None`` where no end was seen
        :param last: at most so many, the newest
        """
        start = since.timestamp() if since is not None else float("-inf")
        with self._file.reading() as database:
            ours = list(islice(rows.select(database, endpoint, name, start, ends), last))[::-1]
            if ours and len(ours) == last:
                # Older jobs of ARC's tools are not needed: the newest `last` are found.
                start = ours[0].submitted.timestamp()
            # No end is known of jobs that are in ARC's table alone.
            theirs = rows.select_arc(database, endpoint, name, start) if ends is None or None in ends else []
        found = sorted([*ours, *theirs], key=lambda job: job.submitted)
        return found if last is None else found[max(len(found) - last, 0) :]

    def summaries(self, job_ids: Iterable[str]) -> dict[str, JobSummary]:
        """Return the summaries of these jobs, whatever their phase; ids that are not in the list are absent."""
        wanted = list(dict.fromkeys(job_ids))
        with self._file.reading() as database:
            found = {job.id: job for job in rows.summaries_by_id(database, wanted)}
            rest = [job_id for job_id in wanted if job_id not in found]
            found.update((job.id, job) for job in map(rows.summary_of, rows.arc_records_by_id(database, rest)))
        return {job_id: found[job_id] for job_id in wanted if job_id in found}

    def neighbours(self, job_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return by id the ids just before and just after it, when the ids of all submitted jobs are sorted.

        The id itself need not be in the list. The first id and the last one have one neighbour.
        """
        with self._file.reading() as database:
            beside = {job_id: [rows.next_id(database, job_id, side) for side in "<>"] for job_id in job_ids}
        return {job_id: tuple(filter(None, ids)) for job_id, ids in beside.items()}

    def set_final(self, states: Mapping[str, JobState]) -> None:
        """Write down the states in which jobs ended. The first one stays, whatever comes later.

        Only of a job that ended without success may it be learned later that it was killed. Jobs that are not in the
        list are left out.
        """
        first = "final_state = '' OR (final_state = 'Failed' AND ?1 = 'Killed')"
        self._update(states, "final_state = ?1", where=first)

    def reopen(self, job_ids: Iterable[str]) -> None:
        """Write down that jobs that had ended run again, at the user's wish: their ends are yet to come."""
        self._update(dict.fromkeys(job_ids, ""), "final_state = ?1, outputs_saved = NULL")

    def mark_saved(self, job_ids: Iterable[str]) -> None:
        """Write down that the jobs' outputs have now been saved. Jobs that are not in the list are left out."""
        self._update(dict.fromkeys(job_ids, now().timestamp()), "outputs_saved = ?1")

    def link(self, resubmissions: Mapping[str, str]) -> None:
        """Write down, by the ids of new jobs, the ids of the jobs that they repeat."""
        self._update(resubmissions, "resubmission_of = ?1")

    def remove(self, job_ids: Iterable[str]) -> None:
        """Erase the jobs from the list, from ARC's table as well."""
        known = [rows.escape(job_id) for job_id in self.summaries(job_ids)]
        with self._erasing(known) as database:
            for table in ("jasmin_arc_jobs", "jobs"):
                _change(database, known, f"DELETE FROM {table} WHERE id = ?")

    def _writing(self, what: Collection[object]) -> AbstractContextManager[sqlite3.Connection]:
        # Where there is nothing to write, no file is made and no one else is kept waiting.
        return self._file.writing() if what else self._file.reading()

    @contextmanager
    def _erasing(self, what: Collection[object]) -> Iterator[sqlite3.Connection]:
        """A transaction that may erase jobs. The contents that no job needs any more are erased after it."""
        with self._writing(what) as database:
            yield database
            if what:
                database.execute(rows.DROP_INPUTS_OF_NO_JOB)
        if not what or not self._spool.names():
            return
        # In a transaction of its own, now that the jobs are gone for certain: no other process can begin to need a
        # content meanwhile, as intend() writes it again afterwards. What stays now is erased next time.
        with suppress(JobListError), self._file.writing() as database:
            needed = {name for (name,) in database.execute("SELECT content FROM jasmin_arc_inputs")}
            self._spool.erase_all_but(needed)

    def _update(self, values: Mapping[str, object], change: str, *, where: str = "TRUE") -> None:
        """Change the records of those of the jobs that are in the list, by their ids: ``?1`` is the value."""
        known = list(self.summaries(values))
        with self._writing(known) as database:
            # ARC's table has no column for this, so a job that only ARC's table has gets a row in our table.
            ours = {job.id for job in rows.summaries_by_id(database, known)}
            foreign = rows.arc_records_by_id(database, [job_id for job_id in known if job_id not in ours])
            rows.insert(database, [replace(record, token=new_token()) for record in foreign])
            changes = [(values[job_id], rows.escape(job_id)) for job_id in known]
            database.executemany(f"UPDATE jasmin_arc_jobs SET {change} WHERE id = ?2 AND ({where})", changes)

    def _check_all_there(self, found: int, wanted: int) -> None:
        if found != wanted:
            gone = f"{wanted - found} of {wanted} submissions are no longer in the job list {self.path}"
            raise JobListError(f"{gone}: was the file removed or replaced meanwhile?")


def _change(database: sqlite3.Connection, keys: Iterable[str], statement: str) -> None:
    database.executemany(statement, [(key,) for key in keys])
