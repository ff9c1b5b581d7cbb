"""Waits for the locks of other processes: as long as was asked for, and Ctrl-C works while they wait."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from job_list_kit import add

from jasmin_arc.backends.local.store import Store
from jasmin_arc.exceptions import JobListError
from jasmin_arc.job_list import JobList, JobRecord, new_token
from jasmin_arc.job_list.sqlite import Database, make_durable, open_database
from jasmin_arc.job_list.tables import JobListFile

ENDPOINT = "https://ce.example.org:443/arex"
JOB = f"{ENDPOINT}/rest/1.0/jobs/a"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """As if another process was writing for ever."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def interrupted() -> Iterator[None]:
    """Press Ctrl-C soon, and expect that it is heard of soon."""
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        yield
    timer.join()
    assert time.monotonic() - start < 2


@pytest.fixture(autouse=True)
def durability() -> None:
    """Let SQLite wait for the disk, as it does for users."""


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    job_list = JobList(tmp_path / "jobs.dat")
    add(job_list, [JobRecord(token=new_token(), endpoint=ENDPOINT, name="a", id=JOB)])
    return job_list


@pytest.mark.parametrize(
    "call",
    [JobList.ids, lambda job_list: job_list.get([JOB]), lambda job_list: job_list.drop(["t"])],
    ids=["ids", "get", "drop"],
)
def test_ctrl_c_ends_the_wait_for_the_job_list(job_list: JobList, call: Callable[[JobList], object]) -> None:
    with locked(job_list.path), interrupted():
        call(job_list)


@pytest.mark.parametrize(
    "call",
    [Store.ids, lambda store: store.get(["k"]), lambda store: store.cancel(["k"]), lambda store: store.load("host")],
    ids=["ids", "get", "cancel", "load"],
)
def test_ctrl_c_ends_the_wait_for_the_local_jobs(tmp_path: Path, call: Callable[[Store], object]) -> None:
    path = tmp_path / "jobs.sqlite"
    with Store(str(path)) as store, locked(path), interrupted():
        call(store)


def test_ctrl_c_ends_the_wait_to_open_the_local_jobs(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    Store(str(path)).close()
    with locked(path), interrupted():
        Store(str(path))


@pytest.mark.parametrize(
    "call",
    [
        lambda job_list: job_list.set_final({JOB: "Finished"}),
        lambda job_list: job_list.mark_saved([JOB]),
        lambda job_list: job_list.link({JOB: "old"}),
        lambda job_list: job_list.reopen([JOB]),
        lambda job_list: job_list.remove([JOB]),
    ],
    ids=["set_final", "mark_saved", "link", "reopen", "remove"],
)
@pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
def test_what_has_happened_is_noted_without_a_long_wait(
    job_list: JobList, call: Callable[[JobList], object], lock: str
) -> None:
    with closing(sqlite3.connect(job_list.path, isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        start = time.monotonic()
        with pytest.raises(JobListError, match="locked by another process"):
            call(job_list.with_timeout(0.1))
        assert time.monotonic() - start < 2


def pragmas(database: sqlite3.Connection) -> dict[str, object]:
    names = ("synchronous", "journal_mode", "journal_size_limit")
    return {name: database.execute(f"PRAGMA {name}").fetchone()[0] for name in names}


DURABLE = {"synchronous": 2, "journal_mode": "persist", "journal_size_limit": 1 << 20}


def test_transactions_are_on_the_disk_once_they_are_committed(job_list: JobList) -> None:
    with JobListFile(job_list.path, timeout=1).writing() as database:
        assert pragmas(database) == DURABLE


def test_transactions_are_durable_whatever_sqlite_was_built_for(job_list: JobList) -> None:
    with closing(open_database(str(job_list.path), patience=1)) as database:
        database.execute("PRAGMA synchronous = OFF")
        make_durable(database)
        assert pragmas(database) == DURABLE


def test_the_record_of_local_jobs_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Database] = []
    monkeypatch.setattr(
        "jasmin_arc.backends.local.store.make_durable",
        lambda database: (make_durable(database), opened.append(database)),
    )
    with Store(str(tmp_path / "jobs.sqlite")):
        assert [pragmas(database) for database in opened] == [DURABLE]


@pytest.mark.parametrize("name", ["50% #1?.dat", "\udcff.dat"])
def test_any_name_of_a_file_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    job_list = JobList(path)
    add(job_list, [JobRecord(token=new_token(), endpoint=ENDPOINT, name="a", id=JOB)])
    assert JobList(path).ids() == [JOB]
    assert path.stat().st_size > 0
