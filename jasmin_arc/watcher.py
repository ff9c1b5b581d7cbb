"""Waiting for jobs: one question for all that are watched, at a pace that suits them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from queue import Empty, SimpleQueue

from jasmin_arc._support.bulk import summarize_ids
from jasmin_arc._support.parallel import start_thread
from jasmin_arc.backends.base import Pace
from jasmin_arc.constants import JobState
from jasmin_arc.exceptions import JasminArcError, JobNotFoundError, ServerUnavailableError, WaitTimeoutError

Seen = Callable[[Mapping[str, JobState]], object]
"""Is told the states of jobs as answers come"""
OUTAGE = (0.6, 10.0)
"""The least and the most seconds between two questions that fail"""
GROWTH = 1.25
MAX_FAILURES = 5
"""Refusals in a row before waiting is given up, where the jobs could never be asked about"""
PATIENCE = 60.0
"""Seconds of refusals before waiting is given up, where the jobs could be asked about before"""
_SAMPLES = 3
"""A single question may take longer for reasons of its own, such as a new connection, so the quickest of some counts"""
_POLL_INTERVAL = 0.5
_WAKE_INTERVAL = 1.0


class Watcher:
    """Watches jobs in one thread, which lives as long as there are jobs to watch.

    :param states: asks for the states of many jobs in one go, as :meth:`~jasmin_arc.backends.base.Backend.states` does
    """

    def __init__(
        self,
        states: Callable[[Sequence[str]], Mapping[str, JobState | JasminArcError]],
        log: logging.Logger,
        *,
        pace: Pace = Pace(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self._states = states
        self._log = log
        self._limits = pace
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._watched: dict[str, Future[JobState]] = {}
        self._readers: dict[str, int] = {}
        self._forgotten: deque[list[str]] = deque()
        self._thread: threading.Thread | None = None
        self._pace = pace.fastest
        self._took: deque[float] = deque(maxlen=_SAMPLES)
        self._answered = False
        self._failures = 0
        self._refusals = 0
        self._refused_since = 0.0
        self._ending: set[str] = set()
        self._unanswered: set[str] = set()
        self._job_refused: dict[str, float] = {}
        self._seeing: dict[object, Seen] = {}

    def watch(self, job_ids: Iterable[str]) -> dict[str, Future[JobState]]:
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
                future = self._watched.get(job_id)
                if future is None or future.done():
                    # A job that has ended may have been restarted since, though another reader still holds that end.
                    future = self._watched[job_id] = Future()
                futures[job_id] = future
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

    def _poll_now(self, job_ids: Sequence[str]) -> Mapping[str, JobState | JasminArcError]:
        """Ask now, in the caller's own thread, and settle the futures of jobs that have ended."""
        with self._lock:
            futures = {job_id: self._watched[job_id] for job_id in job_ids if job_id in self._watched}
        answers = self._states(list(futures))
        self._settle_ended(futures, answers)
        return answers

    def completed(
        self,
        job_ids: Sequence[str],
        *,
        timeout: float | None = None,
        seen: Seen | None = None,
    ) -> Iterator[tuple[str, Future[JobState]]]:
        """Yield each job with its future as soon as that is done.

        :param timeout: the most seconds to wait for all, where 0 just looks
        :param seen: is told each state that an answer has of these jobs, before it is yielded; in any thread
        :raises WaitTimeoutError: if time is up
        :raises JasminArcError: with ``timeout=0``, if the question failed
        """
        until = time.monotonic() + (float("inf") if timeout is None else timeout)
        with self._telling(job_ids, seen), self._watching(job_ids) as futures:
            if timeout == 0:
                for answer in self._poll_now(list(futures)).values():
                    if isinstance(answer, JasminArcError):
                        raise answer
            left = {future: job_id for job_id, future in futures.items()}
            done: SimpleQueue[Future[JobState]] = SimpleQueue()
            for future in left:
                future.add_done_callback(done.put)
            is_last_poll_due = bool(timeout)
            while left:
                seconds = until - time.monotonic()
                if seconds <= 0 and is_last_poll_due:
                    # After a question that took long, the next one may be far away.
                    is_last_poll_due = False
                    with contextlib.suppress(JasminArcError):
                        self._poll_now([job_id for future, job_id in left.items() if not future.done()])
                try:
                    # A Ctrl-C that comes just before the wait does not end it, so the wait is cut into pieces.
                    future = done.get(timeout=max(0.0, min(seconds, _POLL_INTERVAL)))
                except Empty:
                    if seconds <= 0:
                        unfinished = list(left.values())
                        problem = f"{len(left)} of {len(futures)} jobs have not ended after {timeout:g} s"
                        raise WaitTimeoutError(f"{problem}: {summarize_ids(unfinished)}", unfinished) from None
                else:
                    yield left.pop(future), future

    async def when_ended(self, job_id: str) -> JobState:
        """Wait for one job without blocking the event loop, and return its final state."""
        import asyncio

        with self._watching([job_id]) as futures:
            future = asyncio.wrap_future(futures[job_id])
            # An error that comes after the caller gave up is nobody's, and asyncio would complain of it.
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            # A caller that gives up must not end the wait of others, and asyncio.wait cancels nothing. In pieces: the
            # stop button of a notebook has no effect before the loop wakes up.
            while not future.done():
                await asyncio.wait([future], timeout=_WAKE_INTERVAL)
            return future.result()

    def tell(self, seen: Seen) -> Callable[[], object]:
        """Tell somebody the states in all answers, whoever asked; return what ends this."""
        key = object()
        self._seeing[key] = seen
        return lambda: self._seeing.pop(key, None)

    @contextlib.contextmanager
    def _telling(self, job_ids: Sequence[str], seen: Seen | None) -> Iterator[None]:
        wanted, key = set(job_ids), object()
        if seen is not None:
            self._seeing[key] = lambda states: seen({job: states[job] for job in wanted & states.keys()})
        try:
            yield
        finally:
            # No lock is taken, as in forget.
            self._seeing.pop(key, None)

    @contextlib.contextmanager
    def _watching(self, job_ids: Sequence[str]) -> Iterator[dict[str, Future[JobState]]]:
        futures = self.watch(job_ids)
        try:
            yield futures
        finally:
            self.forget(futures)

    def close(self) -> None:
        """Stop watching all jobs; whoever still waits for one is told so."""
        with self._lock:
            watched, self._watched = self._watched, {}
            self._readers.clear()
        for job_id, future in watched.items():
            _settle(JasminArcError(f"the interface was closed while it watched {job_id}"), future)
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            with self._lock:
                self._drop_forgotten()
                # An answer counts only for those that waited when the question was asked.
                pending = {job_id: future for job_id, future in self._watched.items() if not future.done()}
                if not pending:
                    self._thread = None
                    # Later jobs may be fewer, and so their questions shorter.
                    self._took.clear()
                    return
            try:
                delay = self._ask(pending)
            except Exception as error:  # noqa: BLE001 - a waiting caller must learn of it, whatever it is
                _settle(error, *pending.values())
                delay = 0.0
            self._rest(delay, pending.values())

    def _rest(self, delay: float, asked: Iterable[Future[JobState]]) -> None:
        """Sleep until the next question; a new job shortens the sleep, but not below the server's share of rest."""
        # Jobs that come one by one, each with a call of its own, still share the questions.
        least = self._limits.fastest / 2
        if len(self._took) == _SAMPLES:
            least = max(least, min(self._took) * (1 / self._limits.share - 1))
        until = time.monotonic() + least
        while (left := until - time.monotonic()) > 0 and self._watched and not all(map(Future.done, asked)):
            time.sleep(min(left, _POLL_INTERVAL))
        if self._wake.wait(max(0.0, delay - least)):
            self._pace = self._limits.fastest

    def _ask(self, futures: Mapping[str, Future[JobState]]) -> float:
        """Ask once, settle what has ended, and return the seconds until the next question."""
        began = time.monotonic()
        try:
            states = self._states(list(futures))
        except JasminArcError as error:
            return self._wait_out(futures, error)
        self._took.append(time.monotonic() - began)
        unanswered = {job_id: answer for job_id, answer in states.items() if isinstance(answer, JasminArcError)}
        if unanswered and len(unanswered) == len(states):
            return self._wait_out(futures, next(iter(unanswered.values())))
        self._answered = True
        if self._failures:
            self._log.warning("the jobs can be asked about again")
            self._failures = self._refusals = 0
        delay = self._settle_ended(futures, states)
        self._settle_refused(futures, unanswered)
        return max(delay, OUTAGE[0]) if unanswered else delay

    def _settle_refused(
        self, futures: Mapping[str, Future[JobState]], unanswered: Mapping[str, JasminArcError]
    ) -> None:
        """Give up jobs that the place has long refused to tell of, though it tells of others."""
        now = time.monotonic()
        refused = {job: error for job, error in unanswered.items() if not isinstance(error, ServerUnavailableError)}
        if unanswered and not self._unanswered:
            error = next(iter(unanswered.values()))
            self._log.warning("waiting goes on, though %d jobs cannot be asked about now: %s", len(unanswered), error)
        self._unanswered = set(unanswered)
        self._job_refused = {job_id: self._job_refused.get(job_id, now) for job_id in refused}
        for job_id, since in self._job_refused.items():
            if now - since >= PATIENCE:
                _settle(refused[job_id], futures[job_id])

    def _wait_out(self, futures: Mapping[str, Future[JobState]], error: JasminArcError) -> float:
        self._failures += 1
        if self._is_hopeless(error):
            _settle(error, *futures.values())
            self._failures = self._refusals = 0
            return 0.0
        if self._failures == 1:
            self._log.warning("waiting goes on, though the jobs cannot be asked about now: %s", error)
        least, most = OUTAGE
        self._pace = min(max(self._pace * GROWTH, least), most)
        return self._pace

    def _is_hopeless(self, error: JasminArcError) -> bool:
        """Say whether the place has refused to answer for so long that it will go on to."""
        if isinstance(error, ServerUnavailableError):
            self._refusals = 0
            return False
        if not self._refusals:
            self._refused_since = time.monotonic()
        self._refusals += 1
        if self._refusals < MAX_FAILURES:
            return False
        # A proxy in front of a server that is restarted refuses for a while, too.
        return not self._answered or time.monotonic() - self._refused_since >= PATIENCE

    def _settle_ended(
        self, futures: Mapping[str, Future[JobState]], states: Mapping[str, JobState | JasminArcError]
    ) -> float:
        ended = 0
        known = {job_id: state for job_id, state in states.items() if isinstance(state, JobState)}
        for tell in list(self._seeing.values()):
            tell(known)
        for job_id, future in futures.items():
            state = states.get(job_id)
            if state is None:
                _settle(JobNotFoundError(f"the job is not known there: {job_id}"), future)
            elif isinstance(state, JobState) and state.final:
                ended += 1
                _settle(state, future)
        # Where one job ends others are likely to follow, such as the rest of an array. One that stays just before its
        # end, as it sends an output to a slow server, is no reason to hurry for long.
        ending = {job_id for job_id, state in states.items() if state == JobState.FINISHING}
        hurry = ended or not ending <= self._ending
        self._ending = ending
        self._pace = self._limits.fastest if hurry else min(self._pace * GROWTH, self._limits.slowest)
        return self._pace


def _settle(outcome: JobState | Exception, *futures: Future[JobState]) -> None:
    for future in futures:
        # Whoever settles it first wins: an end seen, or the interface closed.
        with contextlib.suppress(InvalidStateError):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
