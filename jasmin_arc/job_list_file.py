"""The file behind the job list: SQLite, its tables and transactions, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from jasmin_arc.exceptions import JobListError

_VERSION = 1
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
        "owner TEXT NOT NULL)"
    ),
}


class JobListFile:
    """An SQLite file, opened anew for each transaction.

    So there is nothing to share between threads or to inherit by a fork, and a file that another program replaces is
    seen at once. Every error is a :class:`~jasmin_arc.exceptions.JobListError`.

    :param path: the file; nothing is opened or created until it is needed
    :param timeout: the seconds to wait for other processes that are writing
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float) -> None:
        self.path = Path(path)
        self._timeout = timeout

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file; where it does not exist, or has no tables yet, they are empty."""
        with self._translated(), closing(self._open(write=False)) as database:
            deadline = time.monotonic() + self._timeout
            _patiently(database, "PRAGMA temp_store=MEMORY", deadline)
            database.execute("BEGIN")
            for table in _TABLES.keys() - self._check(database, deadline):
                database.execute(f"CREATE TEMPORARY TABLE {_TABLES[table]}")
            try:
                yield database
            finally:
                database.rollback()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable at the end of the block, or as if nothing had happened."""
        with self._translated(), closing(self._open(write=True)) as database:
            deadline = time.monotonic() + self._timeout
            _patiently(database, "PRAGMA synchronous=FULL", deadline)
            # WAL does not work on network file systems, where home directories are.
            _patiently(database, "PRAGMA journal_mode=DELETE", deadline)
            _patiently(database, "BEGIN IMMEDIATE", deadline)
            try:
                self._create(database, _TABLES.keys() - self._check(database, deadline))
                yield database
                _patiently(database, "COMMIT", deadline)
            finally:
                if database.in_transaction:
                    database.rollback()

    def _open(self, *, write: bool) -> sqlite3.Connection:
        path = os.path.realpath(self.path)
        if write:
            make_file(path)
        elif not os.path.lexists(path):
            return sqlite3.connect(":memory:", isolation_level=None)
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - fails as SQLite's own open would
            raise JobListError(f"the job list {self.path} is not a regular file; set JOBS_INFO_FILE to another path")
        # A short wait inside SQLite, many times over, lets Ctrl-C through.
        database = sqlite3.connect(Path(path).as_uri() + "?mode=rw", uri=True, timeout=0.5, isolation_level=None)
        database.text_factory = lambda text: text.decode("utf-8", "replace")
        return database

    def _check(self, database: sqlite3.Connection, deadline: float) -> set[str]:
        """Return the names of the tables, unless they are not for us."""
        tables = {name for (name,) in _patiently(database, "SELECT name FROM sqlite_master", deadline)}
        if "jasmin_arc_meta" in tables:
            versions = database.execute("SELECT value FROM jasmin_arc_meta WHERE key = 'version'").fetchall()
            if versions != [(_VERSION,)]:
                raise JobListError(
                    f"the job list {self.path} was written by another version of this library; "
                    "update it: pip install --upgrade jasmin-arc-py"
                )
        return tables

    def _create(self, database: sqlite3.Connection, missing: Iterable[str]) -> None:
        for table in missing:
            database.execute(f"CREATE TABLE {_TABLES[table]}")
        if "jasmin_arc_meta" in missing:
            database.execute("INSERT INTO jasmin_arc_meta VALUES ('version', ?)", (_VERSION,))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, UnicodeError) as error:
            raise JobListError(f"the job list {self.path} {_in_plain_words(error, self._timeout)}") from error


def _patiently(database: sqlite3.Connection, statement: str, deadline: float) -> list[tuple[str, ...]]:
    while True:
        try:
            return database.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise


def make_file(path: str) -> None:
    """Make an empty file for a database, which its owner alone may read, unless it is there."""
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.path.lexists(path):
        return
    try:
        # Not open() and close(): a close would drop the locks that another thread's SQLite holds on the file.
        os.mknod(path, 0o600 | stat.S_IFREG)
    except FileExistsError:
        pass
    except OSError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _in_plain_words(error: Exception, timeout: float) -> str:
    text = str(error)
    advice = {
        "locked": f"is locked by another process, for {timeout:.0f} s now; look for one that hangs",
        "not a database": "is not an SQLite file (perhaps one of an ARC before version 6) and is left as it is; "
        "move it away, or set JOBS_INFO_FILE to another path",
        "full": "cannot be written: the disk is full or your quota is used up; nothing was changed",
        "disk I/O": "cannot be read or written: is the disk full, your quota used up, or the file system gone?",
        "readonly": "cannot be written: you may only read the file or its folder",
        "malformed": "is damaged; move it away and run ARC's arcsync to list the jobs of the compute element again",
        "no such column": "has a table 'jobs' that is not ARC's; set JOBS_INFO_FILE to another path",
        "no column named": "has a table 'jobs' that is not ARC's; set JOBS_INFO_FILE to another path",
    }
    for sign, plain in advice.items():
        if sign in text:
            return f"{plain} ({text})"
    return f"cannot be read or written: {text}"
