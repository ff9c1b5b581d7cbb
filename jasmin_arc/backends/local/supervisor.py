"""What watches one job: a fork of the runner that starts it, ends it where it must end, and writes down how it ended.

A supervisor needs no runner once it lives. On Linux it is a *subreaper*: whatever the job starts stays its
descendant, sessions and double forks notwithstanding, so that it can end the whole tree and knows when it is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from jasmin_arc.backends.local.layout import Layout
from jasmin_arc.backends.local.store import CANCELLED, end
from jasmin_arc.backends.posix.clean_session import clean_session, drop_output_list
from jasmin_arc.backends.posix.files import lock, remove, write_json
from jasmin_arc.constants import RUN_SCRIPT_NAME, STDERR_NAME, STDOUT_NAME

GRACE_SECONDS = 5.0
"""Between the request to end and the end by force"""
_FORCE_SECONDS = 30.0
"""How long to insist on the end of processes that do not even die when killed"""
_FULL_DISK_SECONDS = 600.0
_LINUX = sys.platform == "linux"


def supervise(layout: Layout, key: str, spec: dict[str, Any]) -> None:
    """Run a job, unless it was started before, and write down how it ended."""
    if not _claim(layout, key):
        return
    session = layout.session(key)
    try:
        watch = _Watch(session, spec)
    except OSError as error:
        record = end("FAILED", f"the job could not be started: {error}")
    else:
        record = watch.run()

    def clean() -> None:
        clean_session(session, spec["outputs"], spec["output_list"])

    _write_down(layout.job(key, "exit"), record, make_room=clean)
    clean()
    os.rename(layout.job(key, "exit"), layout.job(key, "done"))
    drop_output_list(session, spec["output_list"])


def _write_down(path: str, record: dict[str, Any], *, make_room: Callable[[], None]) -> None:
    """Write down how a job ended. A full disk, which the job may have filled itself, is waited out."""
    limit = time.monotonic() + _FULL_DISK_SECONDS
    while True:
        try:
            return write_json(path, record)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or time.monotonic() > limit:
                raise
        make_room()
        time.sleep(1.0)


def _claim(layout: Layout, key: str) -> bool:
    """Take the job, once and for all: the claim appears under its name already locked, or not at all."""
    path = layout.job(key, "claim")
    own = f"{path}.{os.getpid()}"
    # It stays open, and so locked, as long as this process lives.
    descriptor = lock(own)
    if descriptor is None:
        return False
    os.write(descriptor, b"%d\n" % os.getpid())
    try:
        os.link(own, path)
    except FileExistsError:
        return False
    finally:
        remove(own)
    return True


class _Watch:
    def __init__(self, session: str, spec: dict[str, Any]) -> None:
        self._session = session
        self._wall_time: float | None = spec["wall_time"]
        self._signals = _Signals()
        set_child_subreaper = 36
        if _LINUX and ctypes.CDLL(None, use_errno=True).prctl(set_child_subreaper, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
        self._status: int | None = None
        self._started = time.time()
        self._deadline = time.monotonic() + (self._wall_time or math.inf)
        self._pid = _start(session, spec["environment"])

    def run(self) -> dict[str, Any]:
        """Wait for the job's end, or bring it about, and return how it ended; nothing of the job lives on."""
        self._reap()
        while self._status is None and not self._signals.cancelled and time.monotonic() < self._deadline:
            self._signals.wait(self._deadline)
            self._reap()
        outcome = self._outcome()
        if self._status is None:
            self._stop()
        self._force()
        return self._record(*outcome)

    def _outcome(self) -> tuple[str, int | None, list[str]]:
        """State, exit code and errors."""
        if self._status is not None:
            code = os.WEXITSTATUS(self._status) if os.WIFEXITED(self._status) else 128 + os.WTERMSIG(self._status)
            return ("FAILED", code, [f"LRMS error: ({code}) Job failed"]) if code else ("FINISHED", 0, [])
        if self._signals.cancelled:
            return "KILLED", None, [CANCELLED]
        limit = f"the job was killed at its wall-time limit of {self._wall_time:g} s"
        return "FAILED", None, ["LRMS error: (271) Job timeout", limit]

    def _reap(self) -> bool:
        """Collect what has ended, and return whether something of the job still lives."""
        pid, status = -1, 0
        try:
            while pid:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == self._pid:
                    self._status = status
        except ChildProcessError:
            return False
        return True

    def _stop(self) -> None:
        self._signal_all(signal.SIGTERM)
        self._signal_all(signal.SIGCONT)
        limit = time.monotonic() + GRACE_SECONDS
        while self._reap() and time.monotonic() < limit:
            self._signals.wait(limit)

    def _force(self) -> None:
        limit = time.monotonic() + _FORCE_SECONDS
        if not _LINUX:
            self._signal_all(signal.SIGKILL)
        while self._reap() and time.monotonic() < limit:
            self._signal_all(signal.SIGKILL)
            self._signals.wait(time.monotonic() + 0.01)

    def _signal_all(self, number: int) -> None:
        for pid in descendants(os.getpid()) if _LINUX else [-self._pid]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _record(self, state: str, code: int | None, errors: list[str]) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "state": state,
            "started": self._started,
            "ended": time.time(),
            "exit_code": code,
            "cpu_time": used.ru_utime + used.ru_stime,
            "memory": used.ru_maxrss * (1024 if _LINUX else 1),
            "errors": errors,
        }


class _Signals:
    def __init__(self) -> None:
        self.cancelled = False
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._cancel)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        # The runner holds the signal back until there is someone to receive it.
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def _cancel(self, *_: object) -> None:
        self.cancelled = True

    def wait(self, until: float) -> None:
        """Return at the next signal, or at a time of ``time.monotonic()``."""
        if select.select([self._read], [], [], None if until == math.inf else max(until - time.monotonic(), 0.0))[0]:
            os.read(self._read, 4096)


def _start(session: str, environment: dict[str, str]) -> int:
    create = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    os.chdir(session)
    return os.posix_spawn(
        "/bin/sh",
        ["/bin/sh", RUN_SCRIPT_NAME],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, STDOUT_NAME, create, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, STDERR_NAME, create, 0o600),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=(signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP),
    )


def descendants(ancestor: int) -> list[int]:
    """The processes below one, from ``/proc``."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    found = list(children.get(ancestor, []))
    for pid in found:
        # The list grows meanwhile.
        found += children.get(pid, [])
    return found


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The program's name stands in parentheses and may hold any character, these included.
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0
