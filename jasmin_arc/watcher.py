"""Waiting for jobs: one question for all that are watched, at a pace that suits them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError

from jasmin_arc.constants import FINAL_STATES
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, ServerUnavailableError
from jasmin_arc.parallel import start_thread

FASTEST = 0.05
SLOWEST = 1.5
"""Seconds between two questions. An end must be seen within 2 s, so the slowest pace leaves room for the answer."""
OUTAGE_SLOWEST = 10.0
GROWTH = 1.25
MOST_FAILURES = 5
"""Failures in a row, though the server is there, before waiting is given up"""
_ENDING = frozenset({"Finishing"})


class Watcher:
    """Watches jobs in one thread, which lives as long as there are jobs to watch.

    :param states: asks for the general states of many jobs in one go; an id that is not known is absent
    :param log: receives a warning when the server is out of reach
    """

    def __init__(self, states: Callable[[Sequence[str]], Mapping[str, str]], log: logging.Logger) -> None:
        self._states = states
        self._log = log
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._watched: dict[str, Future[str]] = {}
        self._readers: dict[str, int] = {}
        self._forgotten: deque[list[str]] = deque()
        self._thread: threading.Thread | None = None
        self._pace = FASTEST
        self._failures = 0
        self._ending: set[str] = set()

    def watch(self, job_ids: Iterable[str]) -> dict[str, Future[str]]:
        """Return for each job a future of its final general state. Pair each call with :meth:`forget`.

        A future fails only where the job is not known, or where asking can never succeed.

        :raises JasminArcError: if no thread can be started
        """
        ids = list(dict.fromkeys(job_ids))
        with self._lock:
            self._drop_forgotten()
            if ids and self._thread is None:
                self._thread = start_thread(self._run, "jasmin_arc watcher")
            futures = {}
            for job_id in ids:
                futures[job_id] = self._watched.setdefault(job_id, Future())
                self._readers[job_id] = self._readers.get(job_id, 0) + 1
        self._wake.set()
        return futures

    def forget(self, job_ids: Iterable[str]) -> None:
        """Stop watching jobs that nobody else watches.

        No lock is taken: this also runs where an abandoned loop is collected as garbage, which can be in the middle of
        any other method.
        """
        self._forgotten.append(list(dict.fromkeys(job_ids)))

    def _drop_forgotten(self) -> None:
        while self._forgotten:
            for job_id in self._forgotten.popleft():
                self._readers[job_id] = self._readers.get(job_id, 1) - 1
                if self._readers[job_id] <= 0:
                    del self._readers[job_id]
                    self._watched.pop(job_id, None)

    def look(self, job_ids: Sequence[str]) -> None:
        """Ask now, in the caller's own thread, and settle the futures of jobs that have ended.

        :raises JasminArcError: if that failed
        """
        self._settle(job_ids, self._states(job_ids))

    def close(self) -> None:
        """Stop watching all jobs; whoever still waits for one is told so."""
        with self._lock:
            watched, self._watched = self._watched, {}
            self._readers.clear()
        for job_id, future in watched.items():
            _settle_future(future, JasminArcError(f"the interface was closed while it watched {job_id}"))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            with self._lock:
                self._drop_forgotten()
                pending = [job_id for job_id, future in self._watched.items() if not future.done()]
                if not pending:
                    self._thread = None
                    return
            try:
                delay = self._ask(pending)
            except Exception as error:  # noqa: BLE001 - a waiting caller must learn of it, whatever it is
                self._fail(pending, error)
                delay = 0.0
            # Jobs that come one by one, each with a call of its own, still share the questions.
            time.sleep(FASTEST / 2)
            if self._wake.wait(max(0.0, delay - FASTEST / 2)):
                self._pace = FASTEST

    def _ask(self, job_ids: Sequence[str]) -> float:
        """Ask once, settle what has ended, and return the seconds until the next question."""
        try:
            states = self._states(job_ids)
        except JasminArcError as error:
            return self._wait_out(job_ids, error)
        if self._failures:
            self._log.warning("the jobs can be asked about again")
            self._failures = 0
        return self._settle(job_ids, states)

    def _wait_out(self, job_ids: Sequence[str], error: JasminArcError) -> float:
        self._failures += 1
        if not isinstance(error, ServerUnavailableError) and self._failures >= MOST_FAILURES:
            self._fail(job_ids, error)
            return 0.0
        if self._failures == 1:
            self._log.warning("waiting goes on, though the jobs cannot be asked about now: %s", error)
        self._pace = min(max(self._pace, 0.5) * GROWTH, OUTAGE_SLOWEST)
        return self._pace

    def _settle(self, job_ids: Sequence[str], states: Mapping[str, str]) -> float:
        ended = 0
        for job_id in job_ids:
            state = states.get(job_id)
            if state is None:
                self._end(job_id, JobNotFoundError(f"the job is not known there: {job_id}"))
            elif state in FINAL_STATES:
                ended += 1
                self._end(job_id, state)
        # Where one job ends others are likely to follow, such as the rest of an array. One that stays just before its
        # end, as it sends an output to a slow server, is no reason to hurry for long.
        ending = {job_id for job_id, state in states.items() if state in _ENDING}
        hurry = ended or not ending <= self._ending
        self._ending = ending
        self._pace = FASTEST if hurry else min(self._pace * GROWTH, SLOWEST)
        return self._pace

    def _fail(self, job_ids: Iterable[str], error: Exception) -> None:
        for job_id in job_ids:
            self._end(job_id, error)

    def _end(self, job_id: str, outcome: str | Exception) -> None:
        with self._lock:
            future = self._watched.get(job_id)
        if future is not None:
            _settle_future(future, outcome)


def _settle_future(future: Future[str], outcome: str | Exception) -> None:
    # Whoever settles it first wins: an end seen, or the interface closed.
    with contextlib.suppress(InvalidStateError):
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
