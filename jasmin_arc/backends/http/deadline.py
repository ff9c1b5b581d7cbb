"""How long the current thread may still wait for the network, down to each read of a socket.

A socket's timeout starts again with each byte, so a server that sends a byte now and then holds its client for ever.
A deadline holds for all reads and writes of a request together.
"""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from typing import Any


class _ThisThread(threading.local):
    expires: float = float("inf")
    sent: bool = False
    """Whether it may have sent a part of a request; who asks sets it to false before"""


this_thread = _ThisThread()


class limited:
    """Let everything inside last so many seconds at most, or less where less is left already."""

    # A class, for a generator would take three times as long, twice for each request.

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._before = this_thread.expires
        this_thread.expires = min(self._before, time.monotonic() + self._seconds)

    def __exit__(self, *_: object) -> None:
        this_thread.expires = self._before


def remaining() -> float:
    """Return the seconds that are left to this thread."""
    return this_thread.expires - time.monotonic()


def pause(seconds: float) -> None:
    """Sleep, though no longer than allowed."""
    time.sleep(max(0.0, min(seconds, remaining())))


class DeadlineSocket(ssl.SSLSocket):
    """A TLS socket that gives up at the deadline of the thread that uses it."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            self._set_timeout()
            super().do_handshake(block)
        except BaseException:
            # Nobody has this socket yet, so nobody else could close it, as when Ctrl-C comes now.
            self.close()
            raise

    def recv(self, *args: Any, **options: Any) -> bytes:
        # Python tries this before the handshake with a server that has hung up already.
        try:
            return super().recv(*args, **options)
        except OSError as error:
            if error.errno not in (errno.ENOTCONN, errno.EINVAL):
                # Python raises this error to the caller, who never got the socket, and leaves the socket open.
                self.close()
            raise

    def recv_into(self, *args: Any, **options: Any) -> int:
        self._set_timeout()
        return super().recv_into(*args, **options)

    def send(self, *args: Any, **options: Any) -> int:
        self._set_timeout()
        return super().send(*args, **options)

    def _set_timeout(self) -> None:
        left = remaining()
        if left <= 0:
            raise socket.timeout("no answer in time")
        self.settimeout(left if left < float("inf") else None)
