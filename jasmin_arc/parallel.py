"""Many tasks at a time, so that Ctrl-C ends the waiting at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from jasmin_arc.exceptions import JasminArcError

Task = Callable[[], None]
_LOOK_UP = 0.5


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that never keeps the interpreter from ending.

    :raises JasminArcError: if this host allows no further one
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise JasminArcError(
            f"no thread can be started: {error}; this machine's limit on your processes may be reached (ulimit -u), so "
            "end some, such as kernels of notebooks that you no longer use"
        ) from error
    return thread


class Crew:
    """Threads that do tasks; a task may add further ones.

    Leaving the ``with`` block drops the tasks that have not begun and waits for none that has: a thread that is
    blocked in a read ends by itself later, and never keeps the interpreter from ending.

    :param workers: the most tasks that are done at a time; with 0, :meth:`add` does each at once
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
        """Have the task done soon.

        :param first: whether it goes before all that have not begun
        """
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
                self._hire()
            self._task_there.notify()

    def _hire(self) -> None:
        try:
            start_thread(self._work, "jasmin_arc-crew")
        except JasminArcError:
            # Fewer threads do as well, only more slowly.
            if not self._threads:
                raise
        else:
            self._threads += 1

    def wait(self) -> None:
        """Wait until all tasks are done. An exception of one of them ends the wait and is raised here."""
        with self._lock:
            # A Ctrl-C that comes just before the wait would not end it, so it is looked for from time to time.
            while not self._finished.wait_for(lambda: not self._unfinished or self._error, timeout=_LOOK_UP):
                pass
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
            self._do(task)

    def _do(self, task: Task) -> None:
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
