"""The marks that run scripts leave when they begin.

A-REX writes about once a minute which jobs run. What is in a session directory it tells at once.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone

from jasmin_arc.backends.http.deadline import limited
from jasmin_arc.backends.rest.api import Api
from jasmin_arc.constants import RUN_SCRIPT_NAME, START_MARK_NAME
from jasmin_arc.description import JobDescription
from jasmin_arc.description.run_script import run_script
from jasmin_arc.exceptions import JasminArcError, ServerUnavailableError

# No special builtin, which would end the script where the file cannot be written.
_LEAVE_MARK = f"{{ true > {START_MARK_NAME}; }} 2> /dev/null"
_AT_ONCE = 10
"""How many jobs one question looks at, in turn"""
_INTERVAL = 1.0
"""Seconds between two looks at the same job"""
_AFTER_ERROR = 60.0
_LOOK_SECONDS = 2.0
_ENOUGH_SECONDS = 0.05
"""After so long no other job is looked at: whoever waits for ends asks the less often the longer a question takes"""
_COUNTS_FOR = timedelta(minutes=10)
"""Somebody who says long after a job has begun that it waits knows better: the batch system has put it back"""
_MAX_KNOWN = 100_000


def marked_script(description: JobDescription, executables: Iterable[str] = ()) -> bytes:
    """Return the run script, which leaves the mark first of all."""
    first, newline, rest = run_script(description, executables).partition(b"\n")
    return first + newline + _LEAVE_MARK.encode() + newline + rest


class Marks:
    """Looks for the marks of jobs that seem to wait, given by their native ids. Threads may share it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._begun: dict[str, datetime] = {}
        self._has_run_script: set[str] = set()
        self._next: dict[str, float] = {}
        """When to look at a job again, by the monotonic clock"""
        self._rest_until = 0.0

    def begun(self, waiting: Sequence[str]) -> dict[str, datetime]:
        """Return when jobs began, for those that are known to have begun. Only a few are looked at each time.

        :param waiting: the jobs in the batch system of which nobody has written that they run
        """
        enough = time.monotonic() + _ENOUGH_SECONDS
        # A file system that stands still must not hold up who asks for states.
        with limited(_LOOK_SECONDS):
            for job in self._due(waiting):
                self._next[job] = time.monotonic() + _INTERVAL
                try:
                    self._look(job)
                except ServerUnavailableError:
                    self._rest_until = time.monotonic() + _AFTER_ERROR
                    break
                except JasminArcError:
                    self._next[job] = time.monotonic() + _AFTER_ERROR
                if time.monotonic() > enough:
                    break
        since = datetime.now(timezone.utc) - _COUNTS_FOR
        found = {job: self._begun[job] for job in waiting if job in self._begun}
        return {job: began for job, began in found.items() if began > since}

    def began(self, job: str) -> datetime | None:
        """Return when a job began, if its mark has been seen."""
        return self._begun.get(job)

    def forget(self, native_ids: Iterable[str]) -> None:
        """Look anew for the marks of jobs that run again or are erased."""
        with self._lock:
            for job in native_ids:
                self._begun.pop(job, None)
                self._next.pop(job, None)
                self._has_run_script.discard(job)

    def _due(self, waiting: Sequence[str]) -> list[str]:
        now = time.monotonic()
        if now < self._rest_until:
            return []
        with self._lock:
            if len(self._next) > _MAX_KNOWN:
                self._begun.clear()
                self._next.clear()
                self._has_run_script.clear()
            due = [job for job in waiting if self._next.get(job, 0.0) <= now and job not in self._begun]
            # Those first that have waited longest for their turn.
            return heapq.nsmallest(_AT_ONCE, due, key=lambda job: self._next.get(job, 0.0))

    def _look(self, job: str) -> None:
        # HEAD costs less than the question for the time, and mostly there is no mark yet.
        is_there = self._api.has_file(job, START_MARK_NAME)
        began = self._api.file_time(job, START_MARK_NAME) if is_there else None
        if began is not None:
            self._begun[job] = began
        elif job not in self._has_run_script:
            # A job of another tool has no mark, and is never looked at again.
            if self._api.has_file(job, RUN_SCRIPT_NAME):
                self._has_run_script.add(job)
            else:
                self._next[job] = float("inf")
