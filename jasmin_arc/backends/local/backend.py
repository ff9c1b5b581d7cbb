"""The backend for this machine."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import BinaryIO

from jasmin_arc._support.machine import boot_id, host_name
from jasmin_arc._support.text import told
from jasmin_arc.backends.base import INPUT_URLS, QUEUES, Backend, Services
from jasmin_arc.backends.local import launch
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import Store, end_former
from jasmin_arc.backends.local.submission import QUEUE, Submission, not_submitted
from jasmin_arc.backends.posix.clean_session import remove_tree
from jasmin_arc.backends.posix.session import list_folder, open_file
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import ARC_REST_STATES, JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, OperationNotPossibleError, ServerError
from jasmin_arc.job_info import JobInfo, RemoteFile
from jasmin_arc.job_list.journal import Journal
from jasmin_arc.site_info import QueueInfo, SiteInfo

_BATCH_SIZE = 200
"""How many jobs one transaction submits"""
_START_SECONDS = 1.0
"""How long a runner that was started may take to be heard of"""
_LOG_BYTES = 1 << 20
"""How much of the runner's log is read"""


class LocalBackend(Backend):
    """Jobs on this machine.

    What it does not do: jobs are not isolated from each other or from the user's files; of the limits, only the
    number of slots and the wall time are kept, not memory and CPU time.
    """

    name = "local"
    capabilities = frozenset({INPUT_URLS, QUEUES})
    worthwhile = 1.0
    python = sys.executable

    def __init__(self, config: ConnectionConfig, services: Services) -> None:
        self._job_list = services.job_list
        self._journal = Journal(services.job_list, services.log)
        self._log = services.log
        self._layout = Layout(os.path.realpath(config.LOCAL_DIR), host_name())
        self._slots = config.LOCAL_SLOTS or (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        self._lock = threading.Lock()
        self._started = float("-inf")

    @property
    def endpoint(self) -> str:
        """The first part of the ids of this host's jobs in LOCAL_DIR."""
        return self._layout.endpoint

    def owns(self, job_id: str) -> bool:
        return bool(self._layout.key(job_id))

    def submit(
        self, jobs: Sequence[JobDescription], *, progress: Callable[[int], object] | None = None
    ) -> list[str | JasminArcError]:
        results: list[str | JasminArcError] = []
        for start in range(0, len(jobs), _BATCH_SIZE):
            batch = jobs[start : start + _BATCH_SIZE]
            try:
                with self._store() as store:
                    submission = Submission(self._layout, self._journal, store, slots=self._slots)
                    results += submission.submit(batch, self._wake)
            except JasminArcError as error:
                if start == 0:
                    raise
                # It is raised only where no job of the batch is recorded.
                results += [not_submitted(job, error) for job in batch]
            if progress is not None:
                progress(len(batch))
        return results

    def recover(self) -> dict[str, JobInfo | None]:
        """Settle submissions whose process was killed: a job whose record was written runs, another never will."""
        left = {r.id: r for r in self._job_list.unfinished(self.endpoint) if r.abandoned and r.id}
        found = self.query(list(left))
        for job_id in left.keys() - found.keys():
            if key := self._layout.key(job_id):
                remove_tree(self._layout.job(key))
        self._job_list.commit(found)
        self._job_list.drop(record.token for job_id, record in left.items() if job_id not in found)
        return {job_id: found.get(job_id) for job_id in left}

    def query(self, job_ids: Sequence[str]) -> dict[str, JobInfo]:
        # Of a job of another host, this is the last that its runner has written down.
        with self._store() as store:
            rows = self._rows(store, job_ids)
            waiting = {row["host"] for row in rows.values() if row["state"] == "QUEUING"}
            positions = {key: position for host in waiting for key, position in store.positions(host).items()}
        return {wanted: _job_info(self._layout, row, wanted, positions.get(row["key"])) for wanted, row in rows.items()}

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState | JasminArcError]:
        with self._store() as store:
            rows = self._rows(store, job_ids)
        return {wanted: ARC_REST_STATES[_native_state(self._layout, row)] for wanted, row in rows.items()}

    def list_jobs(self) -> list[str]:
        """Return the ids of all jobs in LOCAL_DIR, also those of other hosts that share it."""
        with self._store() as store:
            return [self._layout.id(key, host) for host, key in store.ids()]

    def _rows(self, store: Store, job_ids: Sequence[str]) -> dict[str, sqlite3.Row]:
        """The records of the jobs that there are; those of this host that are not final have a runner."""
        rows = self._find(store, job_ids)
        mine = [row for row in rows.values() if row["ended"] is None and row["host"] == self._layout.host]
        if not mine:
            return rows
        if any(row["boot"] != boot_id() for row in mine):
            end_former(store, self._layout)
            rows = self._find(store, job_ids)
        self._wake()
        return rows

    def _find(self, store: Store, job_ids: Sequence[str]) -> dict[str, sqlite3.Row]:
        parts = {job_id: found for job_id in job_ids if (found := self._layout.split(job_id))}
        rows = store.get(list({key for _, key in parts.values()}))
        return {wanted: rows[key] for wanted, (host, key) in parts.items() if key in rows and rows[key]["host"] == host}

    def cancel(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        with self._store() as store:
            rows = self._rows(store, job_ids)
            keys = [row["key"] for row in rows.values() if row["ended"] is None]
            if keys:
                store.cancel(keys)
                self._wake()
        return {wanted: self._not_found(wanted) for wanted in job_ids if wanted not in rows}

    def clean(self, job_ids: Sequence[str]) -> dict[str, JasminArcError]:
        gone = []
        with self._store() as store:
            rows = self._rows(store, job_ids)
            missing = [wanted for wanted in job_ids if not (wanted in rows or self.owns(wanted))]
            failures: dict[str, JasminArcError] = {wanted: self._not_found(wanted) for wanted in missing}
            for wanted, row in rows.items():
                if row["ended"] is None:
                    unended = f"the job {wanted} has not ended"
                    failures[wanted] = OperationNotPossibleError(unended, advice="cancel it before it is erased")
                    continue
                try:
                    remove_tree(self._layout.job(row["key"]))
                    gone.append(row["key"])
                except OSError as error:
                    failures[wanted] = ServerError(f"the files of {wanted} cannot be erased: {told(error)}")
            if gone:
                store.delete(gone)
        return failures

    def list_files(self, job_id: str, path: str = "", *, recursive: bool = False) -> list[RemoteFile]:
        return list_folder(self._session(job_id), path, job_id, recursive=recursive)

    def open(self, job_id: str, path: str, offset: int = 0) -> BinaryIO:
        return open_file(self._session(job_id), path, offset, job_id)

    def fetch(self, job_id: str, names: Sequence[str]) -> Iterator[tuple[str, BinaryIO]]:
        session = self._session(job_id)
        for name in names:
            yield name, open_file(session, name, 0, job_id)

    def _session(self, job_id: str) -> Path:
        return Path(self._layout.session(self._row(job_id)["key"]))

    def evidence(self, job_id: str) -> dict[str, str]:
        """The life of the job, what it failed of, and what the runner said of it."""
        row = self._row(job_id)
        life, log = _life(self._layout, row), _log_lines(self._layout, row["key"])
        return {name: text for name, text in (("status", life), ("failed", row["errors"]), ("errors", log)) if text}

    def description(self, job_id: str) -> JobDescription:
        with self._store() as store:
            spec = store.spec(self._row(job_id)["key"])
        if spec is None:
            raise self._not_found(job_id)
        return JobDescription.from_json(json.loads(spec)["description"])

    def _row(self, job_id: str) -> sqlite3.Row:
        with self._store() as store:
            rows = self._find(store, [job_id])
        if job_id not in rows:
            raise self._not_found(job_id)
        return rows[job_id]

    def site(self) -> SiteInfo:
        with self._store() as store:
            running, taken, waiting = store.load(self._layout.host)
        free, total = max(self._slots - taken, 0), self._slots
        queue = QueueInfo(QUEUE, max_slots=total, total_slots=total, free_slots=free, running=running, waiting=waiting)
        return SiteInfo(endpoint=self.endpoint, name=self._layout.host, queues=(queue,), interfaces=("local",))

    def known_site(self) -> SiteInfo:
        # LOCAL_SLOTS may be another one each time, and a job that asks for more was refused.
        return SiteInfo(self.endpoint)

    def close(self) -> None:
        """Do nothing: no call leaves anything open."""

    def _not_found(self, job_id: str) -> JobNotFoundError:
        if not job_id.startswith("local://") or self._layout.split(job_id):
            return JobNotFoundError(f"there is no job {job_id} on this machine")
        return JobNotFoundError(
            f"the job {job_id} is not in LOCAL_DIR, {self._layout.root}",
            advice="the id says which host and folder it is in; set LOCAL_DIR to that folder",
        )

    @contextmanager
    def _store(self) -> Iterator[Store]:
        try:
            self._layout.make()
            with Store(self._layout.database) as store:
                yield store
        except (OSError, sqlite3.Error) as error:
            advice = "check that you can write there, or set LOCAL_DIR to another folder"
            raise ServerError(
                f"LOCAL_DIR, {self._layout.root}, cannot be used: {told(error)}",
                advice=advice if isinstance(error, OSError) else "",
            ) from error

    def _wake(self) -> None:
        """Call the runner, and start one if none answers."""
        if launch.wake(self._layout):
            return
        with self._lock:
            if time.monotonic() - self._started > _START_SECONDS:
                self._log.debug("starting a runner for %s", self._layout.root)
                launch.start(self._layout)
                self._started = time.monotonic()


def _native_state(layout: Layout, row: sqlite3.Row) -> str:
    """The state in ARC's words; what its supervisor has written down goes before the record."""
    state = str(row["state"])
    if state != "RUNNING" or row["host"] != layout.host:
        return state
    if any(os.path.exists(layout.job(row["key"], name)) for name in ("exit", "done")):
        return "FINISHING"
    return "KILLING" if row["cancel"] else state


def _job_info(layout: Layout, row: sqlite3.Row, job_id: str, position: int | None) -> JobInfo:
    native = _native_state(layout, row)
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


def _life(layout: Layout, row: sqlite3.Row) -> str:
    moments = [(moment, _time(row[moment])) for moment in ("submitted", "started", "ended")]
    lines = [f"{moment} {when.isoformat(timespec='milliseconds')}" for moment, when in moments if when]
    lines.append(f"{_native_state(layout, row)} on {row['host']}")
    if row["host"] != layout.host and row["ended"] is None:
        lines.append(f"only {row['host']} can say whether the job lives; ask there")
    return "\n".join(lines)


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
