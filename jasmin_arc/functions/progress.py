"""The progress bar of an executor: how many of its calls are in which state."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from jasmin_arc._support.progress import ProgressBar
from jasmin_arc.constants import JobState
from jasmin_arc.functions.task import Task


class Progress:
    """Counts calls, and shows them if somebody wants that. Threads may share it."""

    def __init__(self, *, show: bool) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._bar = self._new_bar(show=show)

    def _new_bar(self, *, show: bool) -> ProgressBar:
        return ProgressBar(self._count or None, "task", show=show, waits=True)

    def show(self) -> None:
        """Show a bar from now on."""
        with self._lock:
            if not self._bar.is_shown:
                self._bar = self._new_bar(show=True)

    def add(self, tasks: Sequence[Task], state: JobState) -> None:
        """Expect more calls."""
        with self._lock:
            for task in tasks:
                self._count += 1
                task.number = self._count
            self._bar.expect(self._count)
        self.see(tasks, state)

    def see(self, tasks: Sequence[Task], state: JobState) -> None:
        """Note in which state calls are now."""
        if self._bar.is_shown:
            self._bar.see({str(task.number): state for task in tasks})
            if state.final:
                self._bar.update(len(tasks))

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
