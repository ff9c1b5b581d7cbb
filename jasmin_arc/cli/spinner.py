"""A line on standard error that says what takes so long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from jasmin_arc._support.parallel import start_thread

_SHOW_AFTER = 1.0
_INTERVAL = 0.5
_CLEAR = "\r\x1b[K"


class Spinner:
    """Shows what is going on and for how long, from the first second on, if there is a person who looks.

    :param what: what is going on; or a function that says it, which may take its time
    """

    def __init__(self, what: str | Callable[[], str], *, show: bool) -> None:
        self._what = what
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._shown = False
        if show:
            start_thread(self._run, "jasmin-arc spinner")

    def close(self) -> None:
        """Take the line away for good."""
        self._ended.set()
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._shown:
                self._write(_CLEAR)
            self._shown = False

    def _run(self) -> None:
        begin, delay = time.monotonic(), _SHOW_AFTER
        while not self._ended.wait(delay):
            delay = _INTERVAL
            what = self._what() if callable(self._what) else self._what
            minutes, seconds = divmod(int(time.monotonic() - begin), 60)
            with self._lock:
                if not self._ended.is_set() and not _is_asking():
                    self._write(f"{_CLEAR}{what} ... {minutes}:{seconds:02}")
                    self._shown = True

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._ended.set()


def _is_asking() -> bool:
    """Say whether somebody is typing a passphrase just now: the terminal does not echo."""
    import termios

    try:
        return not termios.tcgetattr(sys.stderr.fileno())[3] & termios.ECHO
    except (termios.error, OSError, ValueError):
        return False
