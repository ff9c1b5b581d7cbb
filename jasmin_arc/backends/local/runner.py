"""The runner: one process for each host and ``LOCAL_DIR`` that starts queued jobs, and ends when none are left.

It may be killed at any time: the record says what it was about to do. Each running job has a supervisor of its own,
which needs no runner and starts another one when it finds none. A job is started only by the process that makes its
claim file, of which there can be one.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sqlite3
import sys
import time
from typing import Any

from jasmin_arc.backends.local import launch
from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import CANCELLED, Store, clean_up, end, end_former, left_behind
from jasmin_arc.backends.local.supervisor import supervise
from jasmin_arc.backends.posix.files import is_locked, lock, read_json, remove

IDLE_SECONDS = 3.0
"""How long to stay when there is nothing left to do"""
_POLL_SECONDS = 1.0
"""Calls can get lost with the process that was to make them, so the runner looks by itself too"""
_FETCHES = 4
"""How many jobs may fetch inputs at the same time"""
_PATIENCE = 30
"""How many times in a row the record may be out of reach"""


def main(root: str, host: str) -> None:
    """Run the jobs of this host, unless another runner does."""
    layout = Layout(root, host)
    while lock(layout.lock) is None:
        if launch.wake(layout):
            return
        # The other is about to end, or has only begun.
        time.sleep(0.005)
    _Runner(layout).run()


class _Runner:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._store = Store(layout.database)
        self._bell = _Bell(layout.wake)
        self._running: dict[str, sqlite3.Row] = {}
        self._supervisors: dict[int, str] = {}
        self._fetchers: dict[str, int] = {}
        self._dead: set[int] = set()
        self._forked: set[str] = set()
        self._signalled: set[str] = set()

    def run(self) -> None:
        gc.freeze()
        failures, adopted = 0, False
        while failures < _PATIENCE and os.path.exists(self._layout.database):
            try:
                if not adopted:
                    self._adopt()
                    adopted = True
                busy = self._turn()
                failures = 0
            except (OSError, sqlite3.Error):
                # Nothing is known of what was half done but what the record says.
                adopted = False
                failures += 1
                _complain()
                time.sleep(1.0)
                continue
            if not self._bell.wait(_POLL_SECONDS if busy else IDLE_SECONDS) and not busy and self._leave():
                return

    def _leave(self) -> bool:
        """Close the door, then look once more: who comes later finds it closed and starts another runner."""
        self._bell.close()
        if not self._store.has_open(self._layout.host):
            return True
        self._bell = _Bell(self._layout.wake)
        return False

    def _adopt(self) -> None:
        """Take over what a former runner, or a turn that failed, has left."""
        host = self._layout.host
        end_former(self._store, self._layout)
        self._running = {row["key"]: row for row in self._store.in_state(host, "RUNNING")}
        with self._store.transaction():
            left = [row["key"] for row in self._store.in_state(host, "PREPARING")]
            self._store.move([key for key in left if key not in self._fetchers], "ACCEPTED")

    def _turn(self) -> bool:
        """Do what there is to do now, and return whether jobs are left."""
        self._reap()
        ended = self._ended()
        fetched = self._fetched()
        ended.update({key: end("FAILED", f"Failed in data staging: {why}") for key, why in fetched.items() if why})
        ended.update(self._cancel())
        with self._store.transaction():
            for key, record in ended.items():
                self._store.end(key, record)
            self._store.queue_accepted(self._layout.host)
            self._store.move([key for key in fetched if key not in ended], "QUEUING")
            fetches = self._next_fetches()
            starts = self._next_starts(ended)
            busy = self._store.has_open(self._layout.host)
        for key in ended:
            self._discard(key)
        for key in fetched:
            pid = self._fetchers.pop(key)
            self._dead.discard(pid)
            # One that was killed has left what it had.
            remove(self._layout.job(key, f"fetching.{pid}"))
        for row in fetches:
            remove(self._layout.job(row["key"], "fetched"))
            argv = launch.command(self._layout, "fetch", row["key"])
            self._fetchers[row["key"]] = os.posix_spawn(argv[0], argv, os.environ)
        for row in starts:
            self._running[row["key"]] = row
            self._start(row)
        return busy

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                if self._supervisors.pop(pid, None) is None:
                    self._dead.add(pid)

    def _ended(self) -> dict[str, dict[str, Any]]:
        own = set(self._supervisors.values())
        others = [(key, row) for key, row in self._running.items() if key not in own]
        return {key: record for key, row in others if (record := self._look(key, row))}

    def _look(self, key: str, row: sqlite3.Row) -> dict[str, Any] | None:
        """How a running job ended; ``None`` if it has not. A job that was about to be started is started."""
        record: dict[str, Any] | None = read_json(self._layout.job(key, "done"))
        if record:
            return record
        if os.path.exists(self._layout.job(key, "claim")):
            if is_locked(self._layout.job(key, "claim")):
                return None
            _kill_marked(json.loads(row["plan"])["environment"]["JASMIN_ARC_JOB_ID"])
            unknown = "the process that watched the job is gone, and how the job ended is not known"
            return left_behind(self._layout, row, unknown)
        if key in self._forked:
            return end("FAILED", f"the job could not be started; see {self._layout.log}")
        self._start(row)
        return None

    def _discard(self, key: str) -> None:
        self._running.pop(key, None)
        self._forked.discard(key)
        self._signalled.discard(key)
        remove(*(self._layout.job(key, name) for name in ("claim", "done", "exit", "fetched")))

    def _cancel(self) -> dict[str, dict[str, Any]]:
        """Tell the supervisors of cancelled jobs, and end those that do not run yet."""
        ended = {}
        for row in self._store.unended(self._layout.host, "cancel = 1"):
            key = row["key"]
            if key in self._running:
                self._tell(key)
                continue
            if key in self._fetchers:
                _kill(self._fetchers[key], signal.SIGKILL)
            clean_up(self._layout, key, row["plan"])
            ended[key] = end("KILLED", CANCELLED)
        return ended

    def _tell(self, key: str) -> None:
        if key in self._signalled:
            return
        pid = next((pid for pid, other in self._supervisors.items() if other == key), 0)
        claim = self._layout.job(key, "claim")
        if not pid and is_locked(claim):
            # A former runner started it.
            with open(claim, encoding="ascii") as file:
                pid = int(file.read() or 0)
        if pid:
            _kill(pid, signal.SIGTERM)
            self._signalled.add(key)

    def _next_fetches(self) -> list[sqlite3.Row]:
        room = max(_FETCHES - len(self._fetchers), 0)
        rows = self._store.in_state(self._layout.host, "ACCEPTED", limit=room, fetch=1)
        self._store.move([row["key"] for row in rows], "PREPARING")
        return rows

    def _fetched(self) -> dict[str, str]:
        """The jobs whose fetching has ended since the last turn, each with its error, if there was one."""
        errors = {}
        for key, pid in self._fetchers.items():
            if pid in self._dead:
                result = read_json(self._layout.job(key, "fetched"))
                errors[key] = result["error"] if result else f"no word of the inputs; see {self._layout.log}"
                spec = self._store.spec(key) if errors[key] else None
                if spec is not None:
                    clean_up(self._layout, key, spec)
        return errors

    def _next_starts(self, ended: dict[str, Any]) -> list[sqlite3.Row]:
        """First come, first served: nobody overtakes a job that waits for more slots."""
        slots = self._store.slots(self._layout.host)
        free = slots - sum(min(row["slots"], slots) for key, row in self._running.items() if key not in ended)
        starts = []
        for row in self._store.in_state(self._layout.host, "QUEUING", limit=max(free, 0)):
            free -= min(row["slots"], slots)
            if free < 0:
                break
            starts.append(row)
        self._store.move([row["key"] for row in starts], "RUNNING", started=time.time())
        return starts

    def _start(self, row: sqlite3.Row) -> None:
        key = row["key"]
        sys.stderr.flush()
        # Held back until the supervisor has a handler for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        runner = os.getpid()
        try:
            pid = os.fork()
            if pid == 0:
                self._be_supervisor(key, row["plan"], runner)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        self._supervisors[pid] = key
        self._forked.add(key)

    def _be_supervisor(self, key: str, spec: str, runner: int) -> None:
        code = 1
        try:
            self._bell.close()
            supervise(self._layout, key, json.loads(spec))
            if os.getppid() != runner and not launch.wake(self._layout):
                argv = launch.command(self._layout, "run")
                os.execv(argv[0], argv)  # noqa: S606 - our own program
            code = 0
        except BaseException:  # noqa: BLE001 - nothing may escape into the runner's code
            _complain()
        finally:
            sys.stderr.flush()
            os._exit(code)


class _Bell:
    """The named pipe on which the runner is called; children that end ring it too."""

    def __init__(self, path: str) -> None:
        # Open for writing as well, or it would be at its end whenever nobody calls.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._descriptor, warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Wait to be called, and return whether somebody called."""
        called = bool(select.select([self._descriptor], [], [], seconds)[0])
        if called:
            os.read(self._descriptor, 65536)
        return called

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._descriptor)


def _complain() -> None:
    import traceback

    traceback.print_exc()
    sys.stderr.flush()


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_marked(job_id: str) -> None:
    """Kill what is left of a job whose supervisor is gone: the processes that have its id in their environment."""
    mark = os.fsencode(f"JASMIN_ARC_JOB_ID={job_id}")
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        try:
            with open(f"/proc/{int(name)}/environ", "rb") as file:
                marked = mark in file.read().split(b"\0")
        except (OSError, ValueError):
            continue
        if marked:
            _kill(int(name), signal.SIGKILL)
