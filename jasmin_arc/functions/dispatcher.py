"""Sends calls as jobs, and settles their futures as the jobs end. No future is left behind, whatever happens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from jasmin_arc._support.parallel import run_all
from jasmin_arc.constants import JobState
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    JasminArcError,
    NoTargetsAvailableError,
    ServerUnavailableError,
)
from jasmin_arc.functions.ended import Seen, Sent, erase, look, may_try, why
from jasmin_arc.functions.found import Found
from jasmin_arc.functions.grouping import Grouping
from jasmin_arc.functions.progress import Progress
from jasmin_arc.functions.results import RETURNED, Outcome
from jasmin_arc.functions.task import FunctionJob, Task
from jasmin_arc.functions.waiting import Waiting

if TYPE_CHECKING:
    from jasmin_arc.arc_interface import ArcInterface

_POLL_INTERVAL = 0.5
"""Seconds between two looks whether the program has ended"""
_AT_ONCE = 100
"""Jobs whose results are fetched in one go"""
_WORKERS = 8
_OUTAGE = (5.0, 60.0)
"""The least and the most seconds between two attempts to submit while the place does not answer"""
_LEAVING = 5.0
"""Seconds that a request under way may take before an executor is left without its answer"""
_PATIENCE = 900.0
"""Seconds after which a place that does not answer is given up"""


class Dispatcher:
    """Two threads: one submits, the other fetches results. They live as long as there is something to do.

    :param describe: makes the description of a job from its calls
    :param max_in_flight: how many jobs there are at the place at most
    :param window: the seconds for which calls are gathered before they are submitted together
    :param keep: keeps how a call went, by its key and its digest, and says whether it could
    :param at_end: called once nothing is left to do, nor will be
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
        keep: Callable[[str, str, Outcome], bool],
        at_end: Callable[[], object],
    ) -> None:
        self._interface = interface
        self._log = interface.logger
        self._describe = describe
        self._grouping = grouping
        self._max_in_flight = max_in_flight
        self._retries = retries
        self._window = window
        self._keep = keep
        self._at_end = at_end
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._waiting = Waiting(grouping)
        self._sending = 0
        self._in_flight: dict[str, Sent] = {}
        self._settling: set[str] = set()
        self._found = Found()
        self._late: list[str] = []
        self._postponed: dict[str, tuple[float, Future[JobState]]] = {}
        self._ended: SimpleQueue[dict[str, Future[JobState]]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._closing = False
        self._error: BaseException | None = None
        self._was_answered = False
        self.progress = Progress(show=progress)
        self._forget_states: Callable[[], object] | None = None

    # --- What the executor calls ---

    def add(self, tasks: Iterable[Task]) -> None:
        """Have calls made soon.

        :raises RuntimeError: if the executor was shut down, or the interpreter is ending
        """
        new = list(tasks)
        self.refuse_if_over()
        self.progress.add(new, JobState.ACCEPTED)
        with self._changed:
            self.refuse_if_over()
            if not self._waiting:
                # Otherwise there is a reason why they wait, and each look at them takes time.
                self._changed.notify_all()
            self._waiting.add(new)
            self._start()

    def adopt(self, job_id: str, name: str, keys: Sequence[str]) -> None:
        """Take up a job that an earlier process has submitted, for whoever asks for its calls."""
        sent = Sent(FunctionJob(self._interface, job_id, name), [None] * len(keys), keys)
        with self._changed:
            self._found.add(sent)

    def claim(self, task: Task) -> bool:
        """Let a call be that of a job that was found, and say whether there is one."""
        with self._changed:
            self.refuse_if_over()
            # A callback in the thread that settles may ask for a call that will be settled next.
            waits = threading.current_thread() not in self._threads[1:]
            while (found := self._found.job(task.key)) is not None and waits and found[0].job.id in self._settling:
                self._changed.wait(_POLL_INTERVAL)
            if found is None:
                error = self._found.error(task.key)
            else:
                sent, number = found
                sent.tasks[number] = task
                task.future.job = sent.job
                task.future.set_running_or_notify_cancel()
                is_new = sent.job.id not in self._in_flight
                self._in_flight[sent.job.id] = sent
                self._start()
        if found is None:
            if error is not None and not task.is_again:
                task.fail(error)
                return True
            return False
        self.progress.add([task], JobState.QUEUING)
        if is_new:
            try:
                self._watch([sent])
            except BaseException as problem:
                # Nobody would learn of the end of the job.
                self.abandon(_broken(problem))
                raise
        return True

    @property
    def is_of_the_parent(self) -> bool:
        """Whether this process was forked later: the jobs are the parent's, and its threads may hold the lock."""
        return os.getpid() != self._pid

    def load(self) -> tuple[int, int]:
        """Return how many calls wait to be submitted, and how many jobs are submitted."""
        return len(self._waiting), len(self._in_flight)

    def close(self, *, cancel: bool = False) -> None:
        """Take no more calls. What is there already is still done, but for calls not yet submitted with ``cancel``."""
        if self.is_of_the_parent:
            return
        with self._changed:
            is_idle = not (self._closing or self._threads)
            self._closing = True
            waiting = list(self._waiting.tasks) if cancel else []
            self._changed.notify_all()
        for task in waiting:
            task.future.cancel()
        if is_idle:
            self._at_end()

    def join(self, seconds: float | None = None) -> None:
        """Wait until all is done, or time is up."""
        # What a future's callback does happens in one of them, and the other ends only after that.
        if threading.current_thread() not in self._threads:
            for thread in filter(threading.Thread.is_alive, self._threads):
                thread.join(seconds)

    def leave(self, why: str, *, seconds: float | None = _LEAVING) -> list[str]:
        """Fail all futures, leave the jobs alone, and return their ids.

        :param seconds: how long to wait for a request that is under way; the jobs of a later one are not returned
        """
        going_on = self.abandon(BrokenExecutor(f"this executor was left: {why}"))
        self.join(seconds)
        if not any(map(threading.Thread.is_alive, self._threads)):
            # Otherwise the last thread does it: until then jobs may come that nobody else knows of.
            self._at_end()
        return [*going_on, *self._late]

    def abandon(self, error: BaseException) -> list[str]:
        """Fail all futures with this error, and return the jobs that go on."""
        with self._changed:
            self._closing = True
            self._error = self._error or error
            tasks = [*(task for sent in self._in_flight.values() for task in sent.wanted), *self._waiting.take_all()]
            going_on = list(self._in_flight)
            self._in_flight.clear()
            self._postponed.clear()
            self._settling.clear()
            self._found.clear()
            self._changed.notify_all()
        for task in tasks:
            task.fail(error)
        return going_on

    def refuse_if_over(self) -> None:
        """Raise a RuntimeError if no calls are taken any more."""
        if self._error is not None:
            raise BrokenExecutor(str(self._error)) from self._error
        if self._closing:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if not threading.main_thread().is_alive():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        if self.is_of_the_parent:
            raise RuntimeError("cannot schedule new futures in a fork of the process that made the executor")

    def _start(self) -> None:
        if self._threads:
            return
        # Not daemons: as with other executors, the interpreter ends once all is done.
        for target, name in ((self._send_all, "sends"), (self._collect_all, "collects")):
            thread = threading.Thread(target=self._guarded, args=[target], name=f"jasmin_arc executor {name}")
            self._running += 1
            self._threads.append(thread)
        try:
            self._forget_states = self._interface._watcher.tell(self._see)
            for thread in self._threads:
                thread.start()
        except BaseException as error:
            # As where there are too many, or at Ctrl-C. One thread alone settles nothing.
            self.abandon(_broken(error))
            raise

    def _guarded(self, target: Callable[[], None]) -> None:
        try:
            target()
        except BaseException as error:  # noqa: BLE001 - whoever waits for a future must learn of it
            going_on = self.abandon(_broken(error))
            self._log.error("a thread of the executor has ended with %r; %d jobs go on", error, len(going_on))
        finally:
            with self._changed:
                self._running -= 1
                is_last = not self._running
            if is_last:
                if self._forget_states is not None:
                    self._forget_states()
                self.progress.close()
                self._at_end()

    def _is_over(self) -> bool:
        """Whether there is nothing more to do, nor will be."""
        is_closing = self._closing or not threading.main_thread().is_alive()
        return is_closing and not (self._waiting or self._sending or self._in_flight)

    # --- Sending ---

    def _send_all(self) -> None:
        while True:
            with self._changed:
                while not self._waiting.may_go(self._room()):
                    if self._is_over():
                        # The other thread looks, too.
                        self._ended.put({})
                        return
                    self._changed.wait(_POLL_INTERVAL)
            time.sleep(self._window)
            with self._changed:
                groups = self._waiting.take(self._room())
                self._sending = len(groups)
            try:
                self._send(groups)
            except BaseException as error:
                for group in groups:
                    self._fail(group, _broken(error))
                raise
            finally:
                with self._changed:
                    self._sending = 0
                    self._changed.notify_all()
            # Their futures hold results, which must go once nobody else wants them.
            del groups

    def _room(self) -> int:
        """How many more jobs may be submitted."""
        return self._max_in_flight - len(self._in_flight) - self._sending

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
            sent.append(Sent(job, list(group)))
            self._grouping.sent(group[0].kind, 1, time.monotonic())
            self.progress.see(group, JobState.QUEUING)
        with self._changed:
            reason = self._error
            if reason is None:
                self._in_flight.update((entry.job.id, entry) for entry in sent)
            else:
                self._late += [entry.job.id for entry in sent]
        if reason is not None:
            for entry in sent:
                self._fail(entry.wanted, reason)
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
                with self._changed:
                    self._changed.wait_for(lambda: self._error is not None, delay)
                delay = min(2 * delay, _OUTAGE[1])
            except JasminArcError as error:
                return [error] * len(descriptions)
            else:
                self._was_answered = True
                return answers
        return []

    def _watch(self, sent: Sequence[Sent]) -> None:
        if not sent:
            return
        watched = self._interface._watcher.watch(entry.job.id for entry in sent)
        for job_id, future in watched.items():
            future.add_done_callback(lambda done, job_id=job_id: self._ended.put({job_id: done}))  # type: ignore[misc]

    # --- Collecting ---

    def _collect_all(self) -> None:
        again = time.monotonic()
        while True:
            ended = self._take_ended()
            if self._postponed and time.monotonic() >= again:
                ended.update((job_id, future) for job_id, (_, future) in self._postponed.items())
                again = time.monotonic() + _OUTAGE[0]
            if ended:
                self._collect(ended)
            if self._is_over():
                return

    def _take_ended(self) -> dict[str, Future[JobState]]:
        """Wait a little for jobs to end."""
        ended: dict[str, Future[JobState]] = {}
        with suppress(Empty):
            ended.update(self._ended.get(timeout=_POLL_INTERVAL))
            while len(ended) < _AT_ONCE:
                ended.update(self._ended.get_nowait())
        return ended

    def _collect(self, ended: Mapping[str, Future[JobState]]) -> None:
        with self._changed:
            here = [(self._in_flight[job_id], future) for job_id, future in ended.items() if job_id in self._in_flight]
            self._settling.update(sent.job.id for sent, _ in here)
        looked = run_all(lambda entry: look(self._interface, *entry), here, workers=_WORKERS)
        seen = [one for one in looked if isinstance(one, Seen) and not self._postpone(one, ended[one.sent.job.id])]
        erasable = [one.sent.job.id for one in seen if self._settle(one)]
        settled = [one.sent for one in seen]
        del looked, seen
        self._interface._watcher.forget(sent.job.id for sent in settled)
        with self._changed:
            self._settling.difference_update(sent.job.id for sent, _ in here)
            for sent in settled:
                self._postponed.pop(sent.job.id, None)
                self._in_flight.pop(sent.job.id, None)
            self._changed.notify_all()
        erase(self._interface, erasable)

    def _postpone(self, seen: Seen, future: Future[JobState]) -> bool:
        """Say whether the results are fetched later, as the place does not answer now."""
        job_id = seen.sent.job.id
        if not isinstance(seen.error, ServerUnavailableError) or not future.done() or future.exception() is not None:
            return False
        since, _ = self._postponed.setdefault(job_id, (time.monotonic(), future))
        return time.monotonic() - since < _PATIENCE

    def _settle(self, seen: Seen) -> bool:
        """Settle the futures of a job's calls, and say whether nobody needs the job any more."""
        sent, report = seen.sent, seen.report
        if seen.state is not None:
            sent.job._ended(seen.state, report.printed)
        # A job whose calls died is kept, for whoever wants to look at it.
        is_kept = True
        died: list[Task] = []
        unmade: list[Task] = []
        for number, task in enumerate(sent.tasks):
            outcome = report.outcomes.get(number)
            if outcome is not None:
                known = (task.key, task.digest) if task is not None else (sent.keys[number], "")
                is_kept = self._keep(*known, outcome) and is_kept
            died_unseen = task is None and outcome is None and seen.has_lost(number)
            self._found.ended(seen, number, died=died_unseen)
            if task is None:
                is_kept = is_kept and not died_unseen
                continue
            if outcome is not None:
                self._grouping.took(task.kind, outcome.seconds)
                self.progress.see([task], JobState.FINISHED if outcome.kind == RETURNED else JobState.FAILED)
                # Whoever gets the result may drop it at once; it is held by nobody else.
                sent.tasks[number] = None
                task.deliver(outcome)
            elif report.reason(number) is not None:
                self._fail([task], why(seen, number))
            else:
                (died if seen.has_lost(number) else unmade).append(task)
        return self._settle_dead(seen, died, unmade) and is_kept

    def _settle_dead(self, seen: Seen, died: list[Task], unmade: list[Task]) -> bool:
        """Settle the calls of a job that died; those that it had not begun are made by another job."""
        if seen.error is not None:
            self._fail(died, seen.error)
            return False
        again = [task for task in died if may_try(task, seen, self._retries)]
        self._put_back([*again, *unmade])
        lost = [task for task in died if task not in again]
        if lost:
            self._fail(lost, why(seen, None))
        return not lost

    def _put_back(self, tasks: Sequence[Task]) -> None:
        with self._changed:
            if self._error is None:
                self._waiting.put_back(tasks)
                self._changed.notify_all()
                return
        self._fail(tasks, self._error)

    def _fail(self, tasks: Sequence[Task], error: BaseException) -> None:
        for task in tasks:
            task.fail(error)
        self.progress.see(tasks, JobState.FAILED)

    def _see(self, states: Mapping[str, JobState]) -> None:
        for job_id, state in states.items():
            if state is JobState.RUNNING and (sent := self._in_flight.get(job_id)) is not None:
                self._grouping.runs(sent.kind, time.monotonic())
                self.progress.see(sent.wanted, state)


def _broken(error: BaseException) -> BrokenExecutor:
    return BrokenExecutor(f"the executor cannot go on: {error!r}")
