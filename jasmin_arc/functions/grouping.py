"""How many short calls become one job, as it takes longer to start a job than to make a short call."""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable

_FIRST = 10
"""How many calls of a function are sent first, each as a job of its own, to learn how long they take"""
_LONG = 45.0
"""Seconds after which a call that still runs is not short, and the others are sent. An end may be noted late"""
_PATIENCE = 60.0
"""Seconds before the others are sent all the same, though none of the first has begun, as in a long queue"""
_MOST = 10_000
"""Calls of one job"""


class Grouping:
    """Says how many calls of each function a job gets. Threads may share it.

    :param size: the number, or ``None`` to learn it
    :param target: the seconds that a job of short calls should last, so that its start is worth it
    """

    def __init__(self, size: int | None, *, target: float) -> None:
        self._size = size
        self._target = target
        self._lock = threading.Lock()
        self._seconds: dict[Hashable, float] = {}
        self._sent: dict[Hashable, tuple[int, float]] = {}
        self._running: dict[Hashable, float] = {}

    def took(self, function: Hashable, seconds: float) -> None:
        """Learn how long a call took."""
        with self._lock:
            # Later calls count for more: they may have other arguments.
            before = self._seconds.get(function, seconds)
            self._seconds[function] = before + (seconds - before) / 4

    def size(self, function: Hashable) -> int:
        """Return how many calls a job gets now."""
        if self._size is not None:
            return self._size
        with self._lock:
            seconds = self._seconds.get(function)
        if seconds is None:
            return 1
        return max(1, min(_MOST, math.ceil(self._target / max(seconds, 1e-6))) if seconds < self._target else 1)

    def allowed(self, function: Hashable, now: float) -> int | None:
        """Return how many calls may be sent now; ``None`` for any number.

        Until it is known how long they take, some are sent and the others wait a little.
        """
        with self._lock:
            if self._size is not None or function in self._seconds:
                return None
            count, since = self._sent.get(function, (0, now))
            # A machine that is busy starts a short call in seconds, too.
            is_long = now - self._running.get(function, now) >= min(_LONG, 10 * self._target)
            return None if is_long or now - since >= _PATIENCE else max(_FIRST - count, 0)

    def sent(self, function: Hashable, count: int, now: float) -> None:
        """Note that calls were sent."""
        with self._lock:
            before, since = self._sent.get(function, (0, now))
            self._sent[function] = (before + count, since)

    def runs(self, function: Hashable, now: float) -> None:
        """Note that a call is being made."""
        with self._lock:
            self._running.setdefault(function, now)
