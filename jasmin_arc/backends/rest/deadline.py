"""How long the thread at hand may still wait for the network, down to each read of a socket.

A timeout of a socket starts again with each byte, so a server that sends one byte now and then holds its client for
ever. What counts here is a point in time, which holds for all reads and writes of a request together.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SLICE = 0.5
"""Seconds after which a thread that waits looks up, to see whether it is told to stop"""


class _Limits(threading.local):
    expires: float = float("inf")
    stop: threading.Event | None = None
    sent: bool = False


_limits = _Limits()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let everything inside last so many seconds at most, or less where less is left already."""
    before = _limits.expires
    _limits.expires = min(before, time.monotonic() + seconds)
    try:
        yield
    finally:
        _limits.expires = before


@contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Let this thread give up waiting for the network soon after the event is set."""
    before = _limits.stop
    _limits.stop = event
    try:
        yield
    finally:
        _limits.stop = before


def remaining() -> float:
    """Return the seconds that are left to this thread."""
    return _limits.expires - time.monotonic()


def pause(seconds: float) -> None:
    """Sleep, though no longer than allowed, and not once told to stop."""
    if _limits.stop is not None:
        _limits.stop.wait(max(0.0, min(seconds, remaining())))
    else:
        time.sleep(max(0.0, min(seconds, remaining())))


def stopped() -> bool:
    """Say whether this thread is told to stop."""
    return _limits.stop is not None and _limits.stop.is_set()


def begin_request() -> None:
    """Forget what this thread has sent before."""
    _limits.sent = False


def note_sent() -> None:
    """Note that this thread may have sent a part of a request."""
    _limits.sent = True


def request_was_sent() -> bool:
    """Say whether this thread may have sent a part of a request since :func:`begin_request`."""
    return _limits.sent


class DeadlineSocket(ssl.SSLSocket):
    """A TLS socket that gives up at the deadline of the thread that uses it."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands within the deadline as a whole."""
        self.settimeout(max(0.001, min(remaining(), self.gettimeout() or float("inf"))))
        super().do_handshake(block)

    def recv_into(self, *args: Any, **options: Any) -> int:
        """Read, in slices of time."""
        while True:
            self._next_slice()
            try:
                return super().recv_into(*args, **options)
            except socket.timeout:
                self._check()

    def send(self, *args: Any, **options: Any) -> int:
        """Write, in slices of time."""
        while True:
            self._next_slice()
            try:
                return super().send(*args, **options)
            except socket.timeout:
                self._check()

    def _next_slice(self) -> None:
        self.settimeout(max(0.001, min(_SLICE, remaining())))

    def _check(self) -> None:
        if stopped():
            raise ConnectionAbortedError("stopped")
        if remaining() <= 0:
            raise socket.timeout("no answer in time")
