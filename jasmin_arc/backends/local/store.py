"""The record of the jobs of one ``LOCAL_DIR``: an SQLite database that every process opens for itself.

And the ends that nobody but the record can tell of."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jasmin_arc._support.machine import boot_id
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.posix.clean_session import clean_session, drop_output_list
from jasmin_arc.backends.posix.files import read_json
from jasmin_arc.job_list.sqlite import make_durable, make_file, open_database

CANCELLED = "User requested to cancel the job"
"""In A-REX's words"""
_VERSION = 1
_BUSY_SECONDS = 30.0
_CHUNK = 500
_SCHEMA = (
    """CREATE TABLE jobs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        host TEXT NOT NULL,
        boot TEXT NOT NULL,
        state TEXT NOT NULL,
        cancel INTEGER NOT NULL DEFAULT 0,
        fetch INTEGER NOT NULL DEFAULT 0,
        name TEXT NOT NULL,
        slots INTEGER NOT NULL,
        submitted REAL NOT NULL,
        started REAL,
        ended REAL,
        exit_code INTEGER,
        cpu_time REAL,
        memory INTEGER,
        errors TEXT NOT NULL DEFAULT '',
        plan TEXT NOT NULL
    )""",
    "CREATE INDEX open_jobs ON jobs (host, state, seq) WHERE ended IS NULL",
    "CREATE INDEX cancelled_jobs ON jobs (host) WHERE ended IS NULL AND cancel = 1",
    "CREATE TABLE hosts (host TEXT PRIMARY KEY, slots INTEGER NOT NULL) WITHOUT ROWID",
)
_SHOWN = (
    "key, host, boot, state, cancel, name, slots, submitted, started, ended, exit_code, cpu_time, memory, errors, seq"
)
"""All columns but the plan, which is the job's specification and can be long"""
_NOTHING_KNOWN = dict.fromkeys(("started", "exit_code", "cpu_time", "memory"))


class Store:
    """One connection to the record; for one thread, and not for use after a fork."""

    def __init__(self, path: str) -> None:
        make_file(path)
        self._connection = open_database(path, patience=_BUSY_SECONDS)
        try:
            self._connection.row_factory = sqlite3.Row
            make_durable(self._connection)
            self._create()
        except BaseException:
            self._connection.close()
            raise

    def _create(self) -> None:
        if self._version() == _VERSION:
            return
        with self.transaction():
            found = self._version()
            if found not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"it was made by another version of jasmin_arc (format {found})")
            if not found:
                for statement in (*_SCHEMA, f"PRAGMA user_version = {_VERSION}"):
                    self._connection.execute(statement)

    def _version(self) -> int:
        return int(self._row("PRAGMA user_version")[0])

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is done inside is done at once, or not at all."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # An interruption is heard of after the statement during which it came, which may be the last.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _row(self, query: str, *values: object) -> Any:
        return self._connection.execute(query, values).fetchone()

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def add(self, rows: Iterable[dict[str, Any]], *, host: str, slots: int) -> None:
        """Record new jobs of this host, all or none, and how many slots the host now has."""
        with self.transaction():
            self._connection.executemany(
                "INSERT INTO jobs (key, host, boot, state, fetch, name, slots, submitted, plan) VALUES "
                "(:key, :host, :boot, 'ACCEPTED', :fetch, :name, :slots, :submitted, :plan)",
                rows,
            )
            self._connection.execute("INSERT OR REPLACE INTO hosts (host, slots) VALUES (?, ?)", (host, slots))

    def get(self, keys: Sequence[str]) -> dict[str, sqlite3.Row]:
        """The jobs with these keys, without their specifications."""
        found: list[sqlite3.Row] = []
        for start in range(0, len(keys), _CHUNK):
            chunk = keys[start : start + _CHUNK]
            found += self._rows(f"SELECT {_SHOWN} FROM jobs WHERE key IN ({', '.join('?' * len(chunk))})", *chunk)
        return {row["key"]: row for row in found}

    def ids(self) -> list[tuple[str, str]]:
        """Host and key of every job, the oldest first."""
        return [(row["host"], row["key"]) for row in self._rows("SELECT host, key FROM jobs ORDER BY seq")]

    def positions(self, host: str) -> dict[str, int]:
        """By key, the place of each waiting job of a host in its queue; the first has 1."""
        query = "SELECT key FROM jobs WHERE ended IS NULL AND host = ? AND state = 'QUEUING' ORDER BY seq"
        return {row["key"]: place for place, row in enumerate(self._rows(query, host), 1)}

    def cancel(self, keys: Iterable[str]) -> None:
        """Ask for the end of jobs; the runner of their host sees to it."""
        self._change("UPDATE jobs SET cancel = 1 WHERE key = ? AND ended IS NULL", keys)

    def delete(self, keys: Iterable[str]) -> None:
        self._change("DELETE FROM jobs WHERE key = ?", keys)

    def _change(self, statement: str, keys: Iterable[str]) -> None:
        with self.transaction():
            self._connection.executemany(statement, [(key,) for key in keys])

    def load(self, host: str) -> tuple[int, int, int]:
        """How many jobs of a host run, how many slots they take, and how many jobs wait."""
        return tuple(
            self._row(
                "SELECT COALESCE(SUM(state = 'RUNNING'), 0), COALESCE(SUM((state = 'RUNNING') * slots), 0), "
                "COALESCE(SUM(state <> 'RUNNING'), 0) FROM jobs WHERE ended IS NULL AND host = ?",
                host,
            )
        )

    def slots(self, host: str) -> int:
        row = self._row("SELECT slots FROM hosts WHERE host = ?", host)
        return int(row[0]) if row else 1

    def has_open(self, host: str) -> bool:
        return bool(self._row("SELECT EXISTS (SELECT 1 FROM jobs WHERE ended IS NULL AND host = ?)", host)[0])

    def in_state(self, host: str, state: str, *, limit: int = -1, fetch: int = 0) -> list[sqlite3.Row]:
        """The jobs of a host in one state, the oldest first.

        :param fetch: 1 for only those with inputs to fetch
        """
        return self.unended(host, "state = ? AND fetch >= ? ORDER BY seq LIMIT ?", state, fetch, limit)

    def unended(self, host: str, condition: str, *values: object) -> list[sqlite3.Row]:
        """The jobs of a host that have not ended, specifications and all, that meet an SQL condition."""
        return self._rows(f"SELECT * FROM jobs WHERE ended IS NULL AND host = ? AND {condition}", host, *values)

    def queue_accepted(self, host: str) -> None:
        """Let all accepted jobs queue that have nothing to fetch."""
        self._connection.execute(
            "UPDATE jobs SET state = 'QUEUING' WHERE ended IS NULL AND host = ? AND state = 'ACCEPTED' AND fetch = 0",
            (host,),
        )

    def move(self, keys: Iterable[str], state: str, *, started: float | None = None) -> None:
        self._connection.executemany(
            "UPDATE jobs SET state = ?, started = ? WHERE key = ? AND ended IS NULL",
            [(state, started, key) for key in keys],
        )

    def end(self, key: str, record: dict[str, Any]) -> None:
        """Record how a job ended; a job that has ended stays as it is."""
        self._connection.execute(
            "UPDATE jobs SET state = :state, ended = :ended, started = COALESCE(:started, started), "
            "exit_code = :exit_code, cpu_time = :cpu_time, memory = :memory, errors = :errors "
            "WHERE key = :key AND ended IS NULL",
            {**_NOTHING_KNOWN, **record, "errors": "\n".join(record["errors"]), "key": key},
        )

    def spec(self, key: str) -> str | None:
        """The specification of a job; ``None`` if the job was erased."""
        row = self._row("SELECT plan FROM jobs WHERE key = ?", key)
        return None if row is None else str(row[0])


def end(state: str, error: str) -> dict[str, Any]:
    """The end of a job that has no exit code."""
    return {"state": state, "ended": time.time(), "errors": [error]}


def left_behind(layout: Layout, row: sqlite3.Row, otherwise: str) -> dict[str, Any]:
    """Clean up after a job whose supervisor is gone, and return its end as that wrote it down, or else an error."""
    key = row["key"]
    record: dict[str, Any] | None = read_json(layout.job(key, "done"))
    if record is None:
        clean_up(layout, key, row["plan"])
        record = read_json(layout.job(key, "exit"))
    return record or end("FAILED", otherwise)


def clean_up(layout: Layout, key: str, plan: str) -> None:
    """Clean the session folder of a job that has ended, for good."""
    session, spec = layout.session(key), json.loads(plan)
    clean_session(session, spec["outputs"], spec["output_list"])
    drop_output_list(session, spec["output_list"])


def end_former(store: Store, layout: Layout) -> None:
    """End the jobs of this host that had not ended when it last went down."""
    ends = {}
    for row in store.unended(layout.host, "boot <> ?", boot_id()):
        moment = "while the job ran" if row["state"] == "RUNNING" else "before the job had started"
        ends[row["key"]] = left_behind(layout, row, f"the machine {row['host']} was restarted {moment}")
    with store.transaction():
        for key, record in ends.items():
            store.end(key, record)
