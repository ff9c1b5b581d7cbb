"""Sends calls as jobs, and settles their futures as the jobs end. No future is left behind, whatever happens."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from jasmin_arc._support.parallel import run_all
from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    JasminArcError,
    JobFailedError,
    JobNotFoundError,
    NoTargetsAvailableError,
    ServerUnavailableError,
)
from jasmin_arc.explain import Explanation, job_failed
from jasmin_arc.functions.grouping import Grouping
from jasmin_arc.functions.results import RESULTS_NAME, RETURNED, Outcome, Report, read_report
from jasmin_arc.functions.task import FunctionJob, Task

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface

_POLL_INTERVAL = 0.5
"""Seconds between two looks whether the program has ended"""
_AT_ONCE = 100
"""Jobs whose results are fetched in one go"""
_WORKERS = 8
_MOST_BYTES = 32 << 20
"""Of the arguments of the calls of one job"""
_LOST = frozenset({"node-failure", "preempted", "batch-system", "signal"})
"""Causes that may not come again when a job is run again"""
_OUTAGE = (5.0, 60.0)
"""The least and the most seconds between two attempts to submit while the place does not answer"""
_PATIENCE = 900.0
"""Seconds after which a place that does not answer is given up"""


@dataclass(frozen=True)
class _Sent:
    """A job that was submitted."""

    job: FunctionJob
    tasks: Sequence[Task | None]
    """By the number of the call; ``None`` for one that nobody has asked for in this process"""
    keys: Sequence[str] = ()


@dataclass(frozen=True)
class _Seen:
    """What there is of a job that has ended."""

    sent: _Sent
    state: JobState | None
    report: Report = field(default_factory=Report)
    error: Exception | None = None
    """Why its results are not known"""
    explanation: Explanation | None = None


@dataclass
class _Group:
    """The calls of one job."""

    tasks: list[Task]
    size: int
    bytes: int = 0

    def take(self, task: Task) -> bool:
        """Take one more call, if there is room."""
        self.bytes += len(task.call.arguments.content)
        if len(self.tasks) >= self.size or self.bytes > _MOST_BYTES:
            return False
        self.tasks.append(task)
        return True


class Dispatcher:
    """Two threads: one submits, the other fetches results. They live as long as there is something to do.

    :param describe: makes the description of a job from its calls
    :param max_in_flight: how many jobs there are at the place at most
    :param window: the seconds for which calls are gathered before they are submitted together
    """

    def __init__(
        self,
        interface: ArcInterface,
        describe: Callable[[Sequence[Task]], JobDescription],
        grouping: Grouping,
        *,
        max_in_flight: int,
        retries: int,
        window: float,
        progress: bool,
        keep: Callable[[str, Outcome], bool] | None = None,
    ) -> None:
        self._interface = interface
        self._log = interface.logger
        self._describe = describe
        self._grouping = grouping
        self._max_in_flight = max_in_flight
        self._retries = retries
        self._window = window
        self._keep = keep
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._sending = 0
        self._in_flight: dict[str, _Sent] = {}
        self._ended: SimpleQueue[tuple[str, Future[JobState]]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._error: BaseException | None = None
        self._was_answered = False
        self._count = 0
        self._bar = ProgressBar(None, "task", show=progress, waits=True)
        self._forget_states: Callable[[], object] | None = None

    # --- What the executor calls ---

    def add(self, tasks: Iterable[Task]) -> None:
        """Have calls made soon.

        :raises RuntimeError: if the executor was shut down, or the interpreter is ending
        """
        new = list(tasks)
        with self._changed:
            self.refuse_if_over()
            for task in new:
                self._count += 1
                task.number = self._count
            if not self._waiting:
                # Otherwise there is a reason why they wait, and each look at them takes time.
                self._changed.notify_all()
            self._waiting.extend(new)
            self._start()
        self._bar.expect(self._count)
        self._show(new, JobState.ACCEPTED)

    def adopt(self, job_id: str, name: str, keys: Sequence[str], tasks: Sequence[Task | None]) -> None:
        """Take up a job that an earlier process has submitted."""
        sent = _Sent(FunctionJob(self._interface, job_id, name), tasks, keys)
        with self._changed:
            self.refuse_if_over()
            self._in_flight[job_id] = sent
            self._start()
        self._watch([sent])

    def show_progress(self) -> None:
        """Show a progress bar from now on."""
        with self._changed:
            if not self._bar.is_shown:
                self._bar = ProgressBar(self._count, "task", show=True, waits=True)

    def close(self, *, cancel: bool = False) -> None:
        """Take no more calls. What is there already is still done, but for calls not yet submitted with ``cancel``."""
        with self._changed:
            self._closing = True
            waiting = list(self._waiting) if cancel else []
            self._changed.notify_all()
        for task in waiting:
            task.future.cancel()

    def join(self) -> None:
        """Wait until all is done."""
        for thread in self._threads:
            thread.join()

    def abandon(self, error: BaseException) -> list[str]:
        """Fail all futures with this error, and return the jobs that go on."""
        with self._changed:
            self._closing = True
            self._error = self._error or error
            tasks = [task for sent in self._in_flight.values() for task in sent.tasks if task is not None]
            tasks += self._waiting
            going_on = list(self._in_flight)
            self._waiting.clear()
            self._in_flight.clear()
            self._changed.notify_all()
        for task in tasks:
            _fail(task, error)
        return going_on

    def refuse_if_over(self) -> None:
        """Raise a RuntimeError if no calls are taken any more."""
        if self._error is not None:
            raise BrokenExecutor(f"the executor cannot go on: {self._error}") from self._error
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not threading.main_thread().is_alive():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if os.getpid() != self._pid:
            raise RuntimeError("cannot schedule new futures in a fork of the process that made the executor")

    def _start(self) -> None:
        if self._threads:
            return
        # Not daemons: as with other executors, the interpreter ends once all is done.
        for target, name in ((self._send_all, "sends"), (self._collect_all, "collects")):
            thread = threading.Thread(target=self._guarded, args=[target], name=f"jasmin_arc executor {name}")
            thread.start()
            self._threads.append(thread)

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001 - whoever waits for a future must learn of it
            going_on = self.abandon(BrokenExecutor(f"the executor cannot go on: {error!r}"))
            self._log.error("a thread of the executor has ended with %r; %d jobs go on", error, len(going_on))
        finally:
            if all(thread is threading.current_thread() or not thread.is_alive() for thread in self._threads):
                self._bar.close()

    def _is_over(self) -> bool:
        """Whether there is nothing more to do, nor will be."""
        is_closing = self._closing or not threading.main_thread().is_alive()
        return is_closing and not (self._waiting or self._sending or self._in_flight)

    # --- Sending ---

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._take(look=True):
                    if self._is_over():
                        return
                    self._changed.wait(_POLL_INTERVAL)
            time.sleep(self._window)
            with self._changed:
                groups = self._take()
                self._sending = len(groups)
            try:
                self._send(groups)
            except BaseException as error:
                for group in groups:
                    self._fail(group, BrokenExecutor(f"the executor cannot go on: {error!r}"))
                raise
            finally:
                with self._changed:
                    self._sending = 0
                    self._changed.notify_all()

    def _take(self, *, look: bool = False) -> list[list[Task]]:
        """Take from the waiting calls as many as may be sent now, one list for each job.

        :param look: leave them where they are
        """
        groups: list[list[Task]] = []
        growing: dict[tuple[str, int | None], _Group] = {}
        left: deque[Task] = deque()
        allowed: dict[str, float] = {}
        room = self._max_in_flight - len(self._in_flight) - self._sending
        while self._waiting and not (look and groups):
            task = self._waiting.popleft()
            if task.future.cancelled():
                task.future.set_running_or_notify_cancel()
                continue
            group = growing.get((task.kind, task.size))
            if group is not None and group.take(task):
                continue
            if task.kind not in allowed:
                allowed[task.kind] = self._allowed(task)
            if len(groups) >= room or allowed[task.kind] <= 0:
                left.append(task)
                continue
            allowed[task.kind] -= 1
            group = growing[task.kind, task.size] = _Group([task], task.size or self._grouping.size(task.kind))
            groups.append(group.tasks)
        if look:
            left.extendleft(task for group in groups for task in group)
        left.extend(self._waiting)
        self._waiting = left
        return groups if look else [live for group in groups if (live := [task for task in group if _is_live(task)])]

    def _allowed(self, task: Task) -> float:
        limit = None if task.size else self._grouping.allowed(task.kind, time.monotonic())
        return float("inf") if limit is None else limit

    def _send(self, groups: Sequence[Sequence[Task]]) -> None:
        described: list[tuple[Sequence[Task], JobDescription]] = []
        for group in groups:
            try:
                described.append((group, self._describe(group)))
            except Exception as error:  # noqa: BLE001 - such as a disk that is full
                self._fail(group, error)
        answers = self._submit([description for _, description in described])
        sent = []
        for (group, description), answer in zip(described, answers):
            if isinstance(answer, JasminArcError):
                self._fail(group, answer)
                continue
            job = FunctionJob(self._interface, answer, description.name)
            for task in group:
                task.future.job = job
            sent.append(_Sent(job, group))
            self._grouping.sent(group[0].kind, 1, time.monotonic())
            self._show(group, JobState.QUEUING)
        with self._changed:
            reason = self._error
            if reason is None:
                self._in_flight.update((entry.job.id, entry) for entry in sent)
        if reason is not None:
            for entry in sent:
                self._fail([task for task in entry.tasks if task is not None], reason)
            return
        self._watch(sent)

    def _submit(self, descriptions: Sequence[JobDescription]) -> Sequence[str | JasminArcError]:
        """Submit jobs in one go. A place that does not answer for a while is waited out, if it has answered before."""
        delay, until = _OUTAGE[0], time.monotonic() + _PATIENCE
        while descriptions:
            try:
                answers = self._interface.backend.submit(descriptions)
            except (NoTargetsAvailableError, ServerUnavailableError) as error:
                if not self._was_answered or time.monotonic() + delay > until or self._error is not None:
                    return [error] * len(descriptions)
                self._log.warning("jobs cannot be submitted now, which is tried again in %g s: %s", delay, error)
                time.sleep(delay)
                delay = min(2 * delay, _OUTAGE[1])
            except JasminArcError as error:
                return [error] * len(descriptions)
            else:
                self._was_answered = True
                return answers
        return []

    def _watch(self, sent: Sequence[_Sent]) -> None:
        if not sent:
            return
        if self._bar.is_shown and self._forget_states is None:
            self._forget_states = self._interface._watcher.tell(self._see)
        watched = self._interface._watcher.watch(entry.job.id for entry in sent)
        for job_id, future in watched.items():
            future.add_done_callback(lambda done, job_id=job_id: self._ended.put((job_id, done)))  # type: ignore[misc]

    # --- Collecting ---

    def _collect_all(self) -> None:
        while True:
            ended = self._take_ended()
            if ended:
                self._collect(ended)
            elif self._is_over():
                return

    def _take_ended(self) -> dict[str, Future[JobState]]:
        """Wait a little for jobs to end."""
        ended: dict[str, Future[JobState]] = {}
        with suppress(Empty):
            ended.update([self._ended.get(timeout=_POLL_INTERVAL)])
            while len(ended) < _AT_ONCE:
                ended.update([self._ended.get_nowait()])
        return ended

    def _collect(self, ended: Mapping[str, Future[JobState]]) -> None:
        with self._changed:
            here = [(self._in_flight[job_id], future) for job_id, future in ended.items() if job_id in self._in_flight]
        seen = run_all(lambda entry: self._look(*entry), here, workers=_WORKERS)
        erasable = [one.sent.job.id for one in seen if isinstance(one, _Seen) and self._settle(one)]
        del seen
        self._interface._watcher.forget(ended)
        with self._changed:
            for entry, _ in here:
                self._in_flight.pop(entry.job.id, None)
            self._changed.notify_all()
        self._erase(erasable)

    def _look(self, sent: _Sent, future: Future[JobState]) -> _Seen:
        """Fetch what a job has written down, and learn why it died where it did."""
        try:
            state = future.result()
            report = self._fetch(sent.job.id)
        except Exception as error:  # noqa: BLE001 - of one job, which the others need not suffer from
            return _Seen(sent, None, error=error)
        count = len(sent.tasks)
        if all(number in report.outcomes or report.reason(number) is not None for number in range(count)):
            return _Seen(sent, state, report)
        try:
            return _Seen(sent, state, report, explanation=self._interface.explain(sent.job.id))
        except JasminArcError as error:
            text = f"the job did not succeed; why cannot be told now: {error.message}"
            unknown = Explanation(sent.job.id, "unknown-state", text, error.advice, name=sent.job.name)
            return _Seen(sent, state, report, explanation=unknown)

    def _fetch(self, job_id: str) -> Report:
        try:
            for _, stream in self._interface.backend.fetch(job_id, [RESULTS_NAME]):
                with stream:
                    return read_report(stream.read())
        except JobNotFoundError:
            # It died before it made a call.
            pass
        return Report()

    def _settle(self, seen: _Seen) -> bool:
        """Settle the futures of a job's calls, and say whether nobody needs the job any more."""
        sent, report = seen.sent, seen.report
        if seen.state is not None:
            sent.job._ended(seen.state, report.printed)
        is_kept = True
        died: list[Task] = []
        unmade: list[Task] = []
        for number, task in enumerate(sent.tasks):
            outcome = report.outcomes.get(number)
            key = task.key if task is not None else sent.keys[number]
            if outcome is not None:
                is_kept = (self._keep is None or self._keep(key, outcome)) and is_kept
            if task is None:
                continue
            if outcome is not None:
                self._grouping.took(task.kind, outcome.seconds)
                task.deliver(outcome)
                self._show([task], JobState.FINISHED if outcome.kind == RETURNED else JobState.FAILED)
            elif (reason := report.reason(number)) is not None:
                self._fail([task], JobFailedError(f"{sent.job.name}: {reason}", [sent.job.id], advice=_OTHER_PYTHON))
            else:
                (died if number in report.began else unmade).append(task)
        return self._settle_dead(seen, died, unmade) and is_kept

    def _settle_dead(self, seen: _Seen, died: list[Task], unmade: list[Task]) -> bool:
        """Settle the calls of a job that died; those that it had not begun are made by another job."""
        if seen.error is not None or seen.explanation is None:
            self._fail([*died, *unmade], seen.error or JasminArcError("the results of the job are not known"))
            return seen.error is None
        if seen.state is JobState.KILLED or not (seen.report.began or seen.report.refused):
            died, unmade = [*died, *unmade], []
        again = [task for task in died if task.lost < self._retries and seen.explanation.cause in _LOST]
        for task in again:
            task.lost += 1
        self._put_back([*again, *unmade])
        lost = [task for task in died if task not in again]
        self._fail(lost, job_failed(seen.explanation, [seen.sent.job.id]))
        # One that died is kept, for whoever wants to look at it.
        return not lost

    def _put_back(self, tasks: Sequence[Task]) -> None:
        with self._changed:
            if self._error is None:
                self._waiting.extendleft(reversed(tasks))
                self._changed.notify_all()
                return
        self._fail(tasks, self._error)

    def _fail(self, tasks: Sequence[Task], error: BaseException) -> None:
        for task in tasks:
            _fail(task, error)
        self._show(tasks, JobState.FAILED)

    def _erase(self, job_ids: Sequence[str]) -> None:
        if not job_ids:
            return
        try:
            failures: Mapping[str, JasminArcError] = self._interface._ledger.erase(job_ids, force=True)
        except JasminArcError as error:
            failures = dict.fromkeys(job_ids, error)
        for job_id, failure in failures.items():
            # Their results are here, so that nothing is lost.
            self._log.info("the job %s could not be erased: %s", job_id, failure)

    # --- Progress ---

    def _show(self, tasks: Sequence[Task], state: JobState) -> None:
        if self._bar.is_shown:
            self._bar.see({str(task.number): state for task in tasks})
            if state.final:
                self._bar.update(len(tasks))

    def _see(self, states: Mapping[str, JobState]) -> None:
        for job_id, state in states.items():
            if state is JobState.RUNNING and (sent := self._in_flight.get(job_id)) is not None:
                self._show([task for task in sent.tasks if task is not None], state)


_OTHER_PYTHON = "name another Python of the node with python=, or load a module with runtime_environments="


def _is_live(task: Task) -> bool:
    """Say whether the call is still wanted; from here on it cannot be cancelled."""
    return task.future.running() or task.future.set_running_or_notify_cancel()


def _fail(task: Task, error: BaseException) -> None:
    if not task.future.done() and _is_live(task):
        task.future.set_exception(error)
