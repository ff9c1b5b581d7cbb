"""The file behind the job list: SQLite, its tables and transactions, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list.sqlite import Database, make_durable, make_file, open_database

_VERSION = 2
ARC_COLUMNS = (
    *("id", "idfromendpoint", "name", "statusinterface", "statusurl", "managementinterfacename", "managementurl"),
    *("serviceinformationinterfacename", "serviceinformationurl", "serviceinformationhost"),
    *("sessiondir", "stageindir", "stageoutdir", "descriptiondocument", "localsubmissiontime", "delegationid"),
)
"""The columns of ARC's table ``jobs``"""
# In ARC 6.17 and later; the spelling is ARC's.
_LATER_ARC_COLUMNS = (
    *("type", "localidfrommanager", "description", "state", "restartstate", "exitcode", "computingmanagerexitcode"),
    *("error", "waitingposition", "userdomain", "owner", "localowner", "requestedtotalwallltime"),
    *("requestedtotalcputime", "requestedslots", "requestedapplicationenvironment", "stdin", "stdout", "stderr"),
    *("logdir", "executionnode", "queue", "usedtotalwallltime", "usedtotalcputime", "usedmainmemory"),
    *("submissiontime", "computingmanagersubmissiontime", "starttime", "computingmanagerendtime", "endtime"),
    *("workingareaerasetime", "proxyexpirationtime", "submissionhost", "submissionclienttime"),
    *("othermessages", "activityoldid"),
)
_TABLES = {
    "jobs": f"jobs({', '.join(ARC_COLUMNS + _LATER_ARC_COLUMNS)}, UNIQUE(id))",
    "jasmin_arc_meta": "jasmin_arc_meta(key TEXT PRIMARY KEY, value)",
    "jasmin_arc_jobs": (
        "jasmin_arc_jobs(token TEXT PRIMARY KEY, endpoint TEXT NOT NULL, name TEXT NOT NULL, "
        "description TEXT NOT NULL, id TEXT UNIQUE, phase TEXT NOT NULL, submitted REAL NOT NULL, "
        "delegation_id TEXT NOT NULL, final_state TEXT NOT NULL, outputs_saved REAL, resubmission_of TEXT NOT NULL, "
        "owner TEXT NOT NULL, identity TEXT NOT NULL)"
    ),
    "jasmin_arc_inputs": "jasmin_arc_inputs(token TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (token, content))",
}
# Plain indexes only: ARC's tools on old systems cannot read a file that has an index with a condition or an expression.
_INDEXES = {
    "jasmin_arc_listed": "jasmin_arc_listed ON jasmin_arc_jobs(endpoint, submitted, name, final_state)",
    "jasmin_arc_contents": "jasmin_arc_contents ON jasmin_arc_inputs(content)",
    "jasmin_arc_times": "jasmin_arc_times ON jobs(localsubmissiontime, id)",
}

_SET_ANOTHER = "set JOBS_INFO_FILE to another path"
_IN_PLAIN_WORDS = (
    ("locked", "is locked by another process", "look for one that hangs"),
    (
        "not a database",
        "is not an SQLite file (perhaps one of an ARC before version 6) and is left as it is",
        f"move it away, or {_SET_ANOTHER}",
    ),
    ("full", "cannot be written: the disk is full or your quota is used up; nothing was changed", ""),
    ("disk I/O", "cannot be read or written: is the disk full, your quota used up, or the file system gone?", ""),
    ("readonly", "cannot be written: you may only read the file or its folder", ""),
    ("malformed", "is damaged", "move it away and run ARC's arcsync to list the jobs of the compute element again"),
    ("no such column", "has a table 'jobs' that is not ARC's", _SET_ANOTHER),
    ("no column named", "has a table 'jobs' that is not ARC's", _SET_ANOTHER),
)
"""What SQLite says, what that means, and what can be done"""


class JobListFile:
    """An SQLite file, opened anew for each transaction; every error is a JobListError.

    So threads and forks share nothing, and a file that another program replaces is seen at once.

    :param timeout: the seconds to wait for other processes that are writing
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float) -> None:
        self.path = Path(path)
        self._timeout = timeout

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file; where it does not exist, or has no tables yet, they are empty."""
        with self._opened(write=False) as database:
            database.execute("PRAGMA temp_store=MEMORY")
            database.execute("BEGIN")
            for table in _TABLES.keys() - self._check(database):
                database.execute(f"CREATE TEMPORARY TABLE {_TABLES[table]}")
            try:
                yield database
            finally:
                database.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable at the end of the block, or as if nothing had happened."""
        with self._opened(write=True) as database:
            make_durable(database)
            database.execute("BEGIN IMMEDIATE")
            try:
                there = self._check(database)
                for table in _TABLES.keys() - there:
                    database.execute(f"CREATE TABLE {_TABLES[table]}")
                for index in _INDEXES.keys() - there:
                    database.execute(f"CREATE INDEX {_INDEXES[index]}")
                if "jasmin_arc_meta" not in there:
                    database.execute("INSERT INTO jasmin_arc_meta VALUES ('version', ?)", (_VERSION,))
                yield database
                database.execute("COMMIT")
            finally:
                if database.in_transaction:
                    database.rollback()

    @contextmanager
    def _opened(self, *, write: bool) -> Iterator[Database]:
        try:
            with closing(self._open(write=write)) as database:
                database.text_factory = lambda text: text.decode("utf-8", "replace")
                yield database
        except (sqlite3.Error, OSError, UnicodeError) as error:
            unknown = ("", "cannot be read or written", "")
            _, problem, advice = next((entry for entry in _IN_PLAIN_WORDS if entry[0] in str(error)), unknown)
            if "locked" in str(error):
                problem += f", for {self._timeout:g} s now"
            raise JobListError(f"the job list {self.path} {problem} ({error})", advice=advice) from error

    def _open(self, *, write: bool) -> Database:
        path = os.path.realpath(self.path)
        if write:
            make_file(path)
        elif not os.path.lexists(path):
            return open_database(None, patience=0.0)
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - fails as SQLite's own open would
            raise JobListError(f"the job list {self.path} is not a regular file", advice=_SET_ANOTHER)
        return open_database(path, patience=self._timeout)

    def _check(self, database: Database) -> set[str]:
        """Return the names of the tables and indexes, unless they are not for us."""
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        if "jasmin_arc_meta" in names:
            versions = database.execute("SELECT value FROM jasmin_arc_meta WHERE key = 'version'").fetchall()
            if versions != [(_VERSION,)]:
                raise JobListError(
                    f"the job list {self.path} was written by another version of this library",
                    advice="update it: pip install --upgrade jasmin-arc-py",
                )
        return names
