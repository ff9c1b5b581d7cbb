"""Many tasks at a time, so that Ctrl-C ends the waiting at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from jasmin_arc.exceptions import JasminArcError

Task = Callable[[], None]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_POLL_INTERVAL = 0.5


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that never keeps the interpreter from ending, or raise a JasminArcError."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise JasminArcError(
            f"no thread can be started: {error}; this machine's limit on your processes may be reached (ulimit -u), so "
            "end some, such as kernels of notebooks that you no longer use"
        ) from error
    return thread


class WorkerPool:
    """Threads that do tasks, ``workers`` at a time; with 0, :meth:`add` does each at once. A task may add further ones.

    Leaving the ``with`` block drops the tasks that have not begun and waits for none that has: a thread that is
    blocked in a read ends by itself later, and never keeps the interpreter from ending.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._threads = 0
        self._unfinished = 0
        self._tasks: deque[Task] = deque()
        self._lock = threading.Lock()
        self._task_there = threading.Condition(self._lock)
        self._finished = threading.Condition(self._lock)
        self._error: BaseException | None = None
        self._stopped = False

    def add(self, task: Task, *, first: bool = False) -> None:
        """Have the task done soon; ``first``: before all others that have not begun."""
        if not self._workers:
            task()
            return
        with self._lock:
            if first:
                self._tasks.appendleft(task)
            else:
                self._tasks.append(task)
            self._unfinished += 1
            if self._threads < min(self._workers, self._unfinished) and not self._stopped:
                try:
                    start_thread(self._work, "jasmin_arc worker")
                    self._threads += 1
                except JasminArcError:
                    # Fewer threads do as well, only more slowly.
                    if not self._threads:
                        raise
            self._task_there.notify()

    def wait(self, seconds: float = float("inf")) -> None:
        """Wait until all tasks are done, or time is up. An exception of one of them ends the wait, and is raised."""
        end = time.monotonic() + seconds
        with self._lock:
            while self._unfinished and not self._error and (left := end - time.monotonic()) > 0:
                # A Ctrl-C that comes just before the wait would not end it, so it is looked for from time to time.
                self._finished.wait(min(left, _POLL_INTERVAL))
        if self._error is not None:
            raise self._error

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._tasks.clear()
        self._task_there.notify_all()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._task_there.wait_for(lambda: self._tasks or self._stopped)
                if self._stopped:
                    return
                task = self._tasks.popleft()
            error: BaseException | None = None
            try:
                task()
            except BaseException as caught:  # noqa: BLE001 - raised again in the thread that waits
                error = caught
            with self._lock:
                self._unfinished -= 1
                if error is not None:
                    self._error = self._error or error
                    self._stop()
                if not self._unfinished or self._error:
                    self._finished.notify_all()


def run_all(
    action: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int
) -> list[_Result | JasminArcError]:
    """Return the result for each item, or this library's error. Any other error, as Ctrl-C, ends all and is raised."""
    tasks = list(items)
    results: dict[int, _Result | JasminArcError] = {}

    def task(index: int, item: _Item) -> None:
        try:
            results[index] = action(item)
        except JasminArcError as error:
            results[index] = error

    if len(tasks) == 1:
        # A pool takes longer to make than many a request that is asked for.
        task(0, tasks[0])
    elif tasks:
        with WorkerPool(workers) as pool:
            for index, item in enumerate(tasks):
                pool.add(partial(task, index, item))
            pool.wait()
    return [results[index] for index in range(len(tasks))]
