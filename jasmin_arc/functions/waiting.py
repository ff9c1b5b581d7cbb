"""The calls that wait to be submitted, and which of them go together."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from jasmin_arc.functions.grouping import Grouping
from jasmin_arc.functions.task import Task

_MOST_BYTES = 32 << 20
"""Of the arguments of the calls of one job"""
_MOST_BYTES_AT_ONCE = 256 << 20
"""Of the jobs of one submission, which are all in memory for a while; each has a copy of its function"""


@dataclass
class _Group:
    """The calls of one job."""

    size: int
    tasks: list[Task] = field(default_factory=list)
    bytes: int = 0

    def has_room(self, task: Task) -> bool:
        """Whether one more call may be put in."""
        return len(self.tasks) < self.size and self.bytes + len(task.call.arguments.content) <= _MOST_BYTES

    def add(self, task: Task) -> None:
        """Put a call in."""
        self.bytes += len(task.call.arguments.content)
        self.tasks.append(task)


class Waiting:
    """A queue. Its user has a lock."""

    def __init__(self, grouping: Grouping) -> None:
        self._grouping = grouping
        self.tasks: deque[Task] = deque()

    def __len__(self) -> int:
        return len(self.tasks)

    def add(self, tasks: Iterable[Task]) -> None:
        """Put calls at the end."""
        self.tasks.extend(tasks)

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Put calls before all others."""
        self.tasks.extendleft(reversed(tasks))

    def take_all(self) -> list[Task]:
        """Take out all calls."""
        tasks = list(self.tasks)
        self.tasks.clear()
        return tasks

    def may_go(self, room: int) -> bool:
        """Say whether a call may be submitted now. Those that were cancelled are dropped.

        :param room: how many jobs may be submitted
        """
        held: deque[Task] = deque()
        found = False
        while room > 0 and self.tasks and not found:
            if self.tasks[0].future.cancelled():
                self.tasks.popleft().future.set_running_or_notify_cancel()
            elif self._allowed(self.tasks[0]) > 0:
                found = True
            else:
                held.append(self.tasks.popleft())
        self.tasks.extendleft(reversed(held))
        return found

    def take(self, room: int) -> list[list[Task]]:
        """Take out the calls that may be submitted now, one list for each job. They cannot be cancelled any more."""
        groups: list[_Group] = []
        growing: dict[tuple[str, int | None], _Group] = {}
        left: deque[Task] = deque()
        allowed: dict[tuple[str, int | None], float] = {}
        total = 0
        for task in self.take_all():
            kind = (task.kind, task.size)
            group = growing.get(kind)
            if kind not in allowed:
                allowed[kind] = self._allowed(task)
            is_new = group is None or not group.has_room(task)
            if is_new and (len(groups) >= room or allowed[kind] <= 0 or total >= _MOST_BYTES_AT_ONCE):
                left.append(task)
            elif task.start():
                if is_new:
                    allowed[kind] -= 1
                    total += len(task.call.function.content)
                    growing[kind] = _Group(task.size or self._grouping.size(task.kind))
                    groups.append(growing[kind])
                growing[kind].add(task)
                total += len(task.call.arguments.content)
        self.tasks = left
        return [group.tasks for group in groups]

    def _allowed(self, task: Task) -> float:
        limit = None if task.size else self._grouping.allowed(task.kind, time.monotonic())
        return float("inf") if limit is None else limit
