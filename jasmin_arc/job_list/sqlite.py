"""SQLite files: private, durable on network file systems too, and Ctrl-C works while they wait."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from typing import Any

_STEP_SECONDS = 0.5
"""How long one wait inside SQLite takes at most. Ctrl-C is heard only between two of them"""
_JOURNAL_BYTES = 1 << 20
"""The most that the journal file may keep of the disk between two transactions"""


class Database(sqlite3.Connection):
    """A connection whose :meth:`execute` waits while another process has locked the file.

    Use ``executemany`` only inside a transaction: there the lock is held already.
    """

    patience: float
    """The seconds to wait for a lock"""

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return super().execute(statement, values)
            except sqlite3.OperationalError as error:
                if "database is locked" not in str(error) or time.monotonic() >= deadline:
                    raise


def open_database(path: str | None, *, patience: float) -> Database:
    """Open an SQLite file that exists, or without a path an empty database. Transactions are begun by statements."""
    name = ":memory:"
    if path is not None:
        name = "file://" + path.replace("%", "%25").replace("?", "%3f").replace("#", "%23") + "?mode=rw"
    step = min(_STEP_SECONDS, patience)
    database = sqlite3.connect(name, uri=True, timeout=step, isolation_level=None, factory=Database)
    database.patience = patience
    return database


def make_durable(database: Database) -> None:
    """Let each transaction be on the disk once it is committed."""
    database.execute("PRAGMA synchronous = FULL")
    # Home directories are often on network file systems, where a write-ahead log does not work.
    # To keep the journal file saves two changes of its folder at each commit.
    database.execute("PRAGMA journal_mode = PERSIST")
    database.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")


def make_file(path: str) -> None:
    """Make an empty file for a database, which its owner alone may read, unless it is there."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120 - see pyproject.toml
    if os.path.lexists(path):
        return
    try:
        # Not open() and close(): a close would drop the locks that another thread's SQLite holds on the file.
        os.mknod(path, 0o600 | stat.S_IFREG)
    except FileExistsError:
        pass
    except OSError:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
