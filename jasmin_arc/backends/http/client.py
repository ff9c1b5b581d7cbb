"""HTTP with a compute element: deadlines, bounded replies, retries of what only reads, and errors in our words."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from urllib3 import BaseHTTPResponse, HTTPSConnectionPool, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER

from jasmin_arc.backends.http.connection import CreatingConnection, make_context, make_pool
from jasmin_arc.backends.http.deadline import begin_request, limited, pause, remaining, request_was_sent
from jasmin_arc.backends.http.errors import RetryLaterError, error_for_status, error_for_transport
from jasmin_arc.exceptions import (
    ProxyGenerationError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)

MOST_BYTES = 16 << 20
"""The longest reply that is read into memory.

A job takes 120 bytes in a list of states, and 2 kB where all is told of it, which is asked for 1000 jobs at a time.
Parsed, XML that is made to do harm takes 40 times its length.
"""
_HEADERS = {"Accept": "text/xml", "User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}
"""What A-REX does not look at is left out."""
_CONNECT_SECONDS = 10.0
_CHECK_PROXY_SECONDS = 30.0
_ATTEMPTS = 4
_FIRST_PAUSE = 0.2
_PIECE = 1 << 20
_ERROR_BYTES = 1 << 16
"""The longest body of an error that is read, for the sake of the connection"""
_SLOWEST = 20_000
"""Bytes per second that an upload must reach on the whole"""

_Result = TypeVar("_Result")


class Reply(NamedTuple):
    """A whole reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Pools:
    """Connections that use one proxy."""

    usual: HTTPSConnectionPool
    creating: HTTPSConnectionPool
    """For requests that are never sent twice"""

    def close(self) -> None:
        self.usual.close()
        self.creating.close()


class RetryBudget:
    """How many retries are left: each answer earns a tenth of one, so that an outage is not made worse."""

    def __init__(self, most: float = 10.0) -> None:
        self._most = self._left = most
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Note a request that was answered."""
        with self._lock:
            self._left = min(self._most, self._left + 0.1)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Client:
    """Sends requests to one compute element, and to no other host. Threads may share it.

    Every method raises :class:`~jasmin_arc.exceptions.ServerUnavailableError` where the server does not answer in
    time, and :class:`~jasmin_arc.exceptions.ServerError` where it refuses or answers nonsense.

    :param endpoint: ``https://HOST:PORT/PATH``
    :param certs_dir: the trusted CA certificates: a folder, or a file
    :param timeout: seconds within which the server must answer
    :param credentials: returns the path of a valid proxy; asked again now and then
    """

    def __init__(
        self,
        endpoint: str,
        *,
        certs_dir: str,
        timeout: float,
        credentials: Callable[[], Path],
        log: logging.Logger,
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._certs_dir = certs_dir
        self._credentials = credentials
        self._log = log
        self._lock = threading.Lock()
        self._connected: _Pools | None = None
        self._seen: tuple[Any, ...] = ()
        self._checked = 0.0
        self._answered = float("-inf")
        self._budget = RetryBudget()

    def read(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
        allow: Collection[int] = (),
    ) -> Reply:
        """Send a request that changes nothing. It is repeated when it fails for a reason that may pass.

        :param most: the longest reply in bytes
        :param allow: the HTTP statuses of errors that the caller deals with
        """
        return self._patiently(lambda: self.once(method, path, body=body, headers=headers, most=most, allow=allow))

    def once(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most: int = MOST_BYTES,
        allow: Collection[int] = (),
    ) -> Reply:
        """Send a request once, whatever comes of it. For the parameters see :meth:`read`."""
        pool = self._pool()
        with limited(self.timeout):
            response = self._send(pool, method, path, body, headers or {})
            return self._whole(response, f"{method} {path}", most, allow)

    @contextmanager
    def creating(self) -> Iterator[Callable[[str, bytes], Reply]]:
        """Give a function that POSTs what creates things: never twice, whatever happens.

        It has connections of its own, of which none has been idle for so long that the server may be closing it.
        Threads may share it. It raises :class:`~jasmin_arc.exceptions.SubmissionUnknownError` if the request may have
        been dealt with although no answer came back.
        """
        pool = self._connect().creating
        yield lambda path, body: self._create(pool, path, body)

    def _create(self, pool: HTTPSConnectionPool, path: str, body: bytes) -> Reply:
        begin_request()
        try:
            with limited(3 * self.timeout):
                response = self._send(pool, "POST", path, body, {"Content-Type": "application/xml"})
                return self._whole(response, f"POST {path}", MOST_BYTES, ())
        except ServerError as error:
            # An answer of another kind is the server's own word that nothing was created.
            if not request_was_sent() or (error.status is not None and not isinstance(error, RetryLaterError)):
                raise
            raise SubmissionUnknownError(
                f"the answer to a submission was lost: {error}. Its jobs may exist, but do not run; "
                "recover() finds and settles them"
            ) from error

    def upload(self, path: str, pieces: bytes | Iterable[bytes], size: int) -> None:
        """PUT a file, once.

        :param pieces: its content, together exactly ``size`` bytes
        """
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        pool = self._pool()
        with limited(self.timeout + size / _SLOWEST):
            response = self._send(pool, "PUT", path, pieces, headers)
            self._whole(response, f"PUT {path}", _PIECE, ())

    def download(self, path: str, *, offset: int = 0, allow: Collection[int] = ()) -> BaseHTTPResponse:
        """Begin to GET a file, from ``offset`` on, and return the reply with its body unread."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}

        def begin() -> BaseHTTPResponse:
            response = self._send(self._pool(), "GET", path, None, headers)
            if response.status not in (200, 206, *allow):
                self._whole(response, f"GET {path}", _PIECE, ())
            return response

        return self._patiently(begin)

    def seconds_since_answer(self) -> float:
        """Return how long ago the server last answered a request well."""
        return time.monotonic() - self._answered

    def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        with self._lock:
            connected, self._connected = self._connected, None
        if connected is not None:
            connected.close()

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        # The time that it takes to make a proxy, perhaps with a passphrase, is not the server's.
        self._connect()
        with limited(self.timeout):
            attempt = 0
            while True:
                attempt += 1
                try:
                    return action()
                except ServerUnavailableError as error:
                    delay = _delay(attempt, error)
                    if attempt == _ATTEMPTS or delay >= remaining() or not self._budget.spend():
                        raise
                    self._log.debug("again in %.1f s: %s", delay, error)
                    pause(delay)

    def _pool(self) -> HTTPSConnectionPool:
        return self._connect().usual

    def _connect(self) -> _Pools:
        """Return connections that use the present proxy."""
        with self._lock:
            if self._connected is not None and time.monotonic() - self._checked < _CHECK_PROXY_SECONDS:
                return self._connected
            proxy = self._credentials()
            seen = _version(proxy)
            if self._connected is None or seen != self._seen:
                # Connections that are in use with the old proxy end with their requests.
                context = make_context(self._certs_dir, proxy)
                creating = make_pool(self.endpoint, context, CreatingConnection)
                self._connected, self._seen = _Pools(make_pool(self.endpoint, context), creating), seen
            self._checked = time.monotonic()
            return self._connected

    def _send(
        self,
        pool: HTTPSConnectionPool,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None,
        headers: Mapping[str, str],
    ) -> BaseHTTPResponse:
        left = max(0.001, remaining())
        try:
            return pool.urlopen(
                method,
                path,
                body=body,
                headers={**_HEADERS, **headers},
                retries=False,
                redirect=False,
                timeout=Timeout(connect=min(_CONNECT_SECONDS, left), read=left),
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            raise error_for_transport(error, f"{method} {path}", self.endpoint) from error

    def _whole(self, response: BaseHTTPResponse, what: str, most: int, allow: Collection[int]) -> Reply:
        if not 200 <= response.status < 300 and response.status not in allow:
            _drop(response)
            later = response.headers.get("Retry-After")
            raise error_for_status(response.status, response.reason or "", later, what, self.endpoint)
        body = self._body(response, what, most)
        self._budget.earn()
        self._answered = time.monotonic()
        return Reply(response.status, response.headers, body)

    def _body(self, response: BaseHTTPResponse, what: str, most: int) -> bytes:
        """Read the body to its end, after which the connection is free again."""
        with closing(response):
            if not has_length(response):
                # As when the connection broke in the middle of the headers.
                raise ServerUnavailableError(f"the server {self.endpoint} sends a reply without its length ({what})")
            body = bytearray()
            length = response.length_remaining
            try:
                # Where the length is known, there is no need to look for more.
                while len(body) != length and (piece := response.read(min(_PIECE, most + 1 - len(body)))):
                    body += piece
                    if len(body) > most:
                        raise ServerError(f"the server {self.endpoint} sends more than {most} bytes ({what})")
            except (HTTPError, OSError) as error:
                raise error_for_transport(error, what, self.endpoint) from error
            response.release_conn()
            return bytes(body)


def _version(proxy: Path) -> tuple[Any, ...]:
    try:
        status = proxy.stat()
    except OSError as error:
        raise ProxyGenerationError(
            f"the proxy {proxy} is gone: {error.strerror}; try again to make a new one"
        ) from error
    return proxy, status.st_ino, status.st_mtime_ns


def _drop(response: BaseHTTPResponse) -> None:
    """Be done with an error, whatever its body is like: its status says all."""
    try:
        if has_length(response) and len(response.read(_ERROR_BYTES + 1)) <= _ERROR_BYTES:
            response.release_conn()
            return
    except (HTTPError, OSError):
        pass
    response.close()


def has_length(response: BaseHTTPResponse) -> bool:
    """Say whether a reply tells where it ends, so that one that is cut short can be told from a whole one."""
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked" or response.status == 204:
        return True
    return re.fullmatch(r"\d{1,18}", response.headers.get("Content-Length", "")) is not None


def _delay(attempt: int, error: ServerUnavailableError) -> float:
    """Full jitter: anything up to a bound that doubles; no less than the server asks for."""
    asked = error.seconds if isinstance(error, RetryLaterError) and error.seconds is not None else 0.0
    return asked + random.uniform(0, _FIRST_PAUSE * 2 ** (attempt - 1))  # noqa: S311 - no secret
