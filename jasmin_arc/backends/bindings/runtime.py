"""The one ARC library of the process: every call into it goes through here."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jasmin_arc.backends.bindings.loader import load_arc
from jasmin_arc.backends.bindings.log_capture import LogCapture, LogLine, forward
from jasmin_arc.exceptions import ServerError

_lock = threading.Lock()
_runtime: Runtime | None = None


def get_runtime() -> Runtime:
    """Return the loaded library, which all backends of the process share."""
    global _runtime
    arc = load_arc()
    with _lock:
        if _runtime is None or _runtime.arc is not arc:
            _runtime = Runtime(arc)
        return _runtime


def _start_anew() -> None:
    # A forked child must not wait for its parent's lock, nor read its parent's log.
    global _lock, _runtime
    _lock, _runtime = threading.Lock(), None


os.register_at_fork(after_in_child=_start_anew)


class Runtime:
    """The loaded library, its lock and its log."""

    def __init__(self, arc: Any) -> None:
        self.arc = arc
        self._lock = threading.RLock()
        self._capture = LogCapture(arc)
        self.kept: list[Any] = []
        """User configurations, kept for good: the library's plugins use them at any time"""

    @contextmanager
    def call(self, log: logging.Logger) -> Iterator[list[LogLine]]:
        """Have the library for oneself, as it is not thread-safe. At the end, the list holds what it logged."""
        lines: list[LogLine] = []
        with self._lock:
            self._capture.set_level(log.getEffectiveLevel() if not log.disabled else logging.WARNING)
            forward(self._capture.read(), log)
            try:
                yield lines
            except (RuntimeError, SystemError) as error:
                # What its C++ threw, and what its wrapper finds impossible.
                raise ServerError(f"the ARC bindings failed: {error}") from error
            finally:
                lines += self._capture.read()
                forward(lines, log)
