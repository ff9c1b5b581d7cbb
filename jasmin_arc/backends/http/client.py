"""HTTP with deadlines, bounded replies, retries of what only reads, and errors in our words."""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from urllib3 import BaseHTTPResponse, HTTPSConnectionPool, Timeout
from urllib3.exceptions import HTTPError
from urllib3.util import SKIP_HEADER

from jasmin_arc._support.text import excerpt
from jasmin_arc.backends.http.connection import CONNECT_SECONDS, make_context, make_pool
from jasmin_arc.backends.http.deadline import limited, pause, remaining, this_thread
from jasmin_arc.backends.http.errors import (
    AnswerLostError,
    RefusedError,
    RetryLaterError,
    ServerKind,
    error_for_status,
    error_for_transport,
    is_refusal,
    status_text,
)
from jasmin_arc.exceptions import ProxyGenerationError, ServerError, ServerUnavailableError

if TYPE_CHECKING:
    from jasmin_arc.credentials import Credentials

MAX_BYTES = 16 << 20
"""The longest reply that is read into memory. Parsed, XML that is made to do harm takes 40 times its length."""
_MAX_IDLE_BEFORE_CREATING = 3.0
"""For requests that are never sent twice: one that meets a closed connection may have been dealt with"""
_CHECK_CREDENTIALS_SECONDS = 30.0
_ATTEMPTS = 4
_FIRST_PAUSE = 0.2
_PIECE = 1 << 20
_MAX_ERROR_BYTES = 1 << 16
"""The longest body of an error that is read, for the sake of the connection"""
_MIN_SPEED = 20_000
"""Bytes per second that an upload must reach on the whole"""

_Result = TypeVar("_Result")


class Request(NamedTuple):
    """A request. Its reply is read into memory."""

    method: str
    path: str
    body: bytes | Iterable[bytes] | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    max_bytes: int = MAX_BYTES
    """The longest reply"""
    allow: Collection[int] = ()
    """The HTTP statuses of errors that the caller deals with"""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def __repr__(self) -> str:
        return str(self)  # A token that is delegated is among the headers.


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Pools:
    """Connections that use the same credentials."""

    credentials: tuple[Any, ...] = field(repr=False)
    """What changes when the credentials do; a token is in it"""
    usual: HTTPSConnectionPool
    creating: HTTPSConnectionPool
    """For requests that are never sent twice"""


class RetryBudget:
    """How many retries are left: each answer earns a tenth of one, so that an outage is not made worse."""

    def __init__(self, limit: float = 10.0) -> None:
        self._limit = self._left = limit
        self._lock = threading.Lock()

    def earn(self) -> None:
        with self._lock:
            self._left = min(self._limit, self._left + 0.1)

    def spend(self) -> bool:
        """Take one retry, if there is one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Client:
    """Sends requests to one server, and to no other host. Threads may share it.

    Every method raises :class:`~jasmin_arc.exceptions.ServerUnavailableError` where the server does not answer in
    time, and :class:`~jasmin_arc.exceptions.ServerError` where it refuses or answers nonsense.

    :param endpoint: ``https://HOST:PORT/PATH``
    :param certs_dir: the trusted CA certificates: a folder, or a file
    :param timeout: seconds within which the server must answer
    :param credentials: what the server is shown; looked at again now and then
    """

    def __init__(
        self,
        endpoint: str,
        *,
        certs_dir: str,
        timeout: float,
        credentials: Credentials,
        log: logging.Logger,
        kind: ServerKind = ServerKind(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self._certs_dir = certs_dir
        self._credentials = credentials
        self._log = log
        self._kind = kind
        # No server that is known looks at the two that are left out.
        self._headers = {"Accept": kind.accept, "User-Agent": SKIP_HEADER, "Accept-Encoding": SKIP_HEADER}
        self._lock = threading.Lock()
        self._connected: _Pools | None = None
        self._check_at = 0.0
        self.answered = float("-inf")
        """When the server last answered a request well, by the monotonic clock"""
        self._budget = RetryBudget()

    def read(self, request: Request) -> Reply:
        """Send a request that changes nothing. It is repeated when it fails for a reason that may pass."""
        return self._patiently(lambda: self.once(request))

    def once(self, request: Request, *, extra_seconds: float = 0.0) -> Reply:
        """Send a request once, whatever comes of it."""
        pool = self._connect().usual
        with limited(self.timeout + extra_seconds):
            return self._whole(self._send(pool, request), request)

    def creator(self) -> Callable[[Request], Reply]:
        """Return a function that sends what creates things: never twice, whatever happens.

        It has connections of its own, of which none has been idle for so long that the server may be closing it.
        Threads may share it. It raises :class:`~jasmin_arc.backends.http.errors.AnswerLostError` if the request may
        have been dealt with although no answer came back.
        """
        return partial(self._create, self._connect().creating)

    def _create(self, pool: HTTPSConnectionPool, request: Request) -> Reply:
        this_thread.sent = False
        try:
            with limited(3 * self.timeout):
                return self._whole(self._send(pool, request), request)
        except ServerError as error:
            # An answer of another kind is the server's own word that nothing was created.
            if not this_thread.sent or (error.status is not None and not isinstance(error, RetryLaterError)):
                raise
            raise AnswerLostError(str(error)) from error

    def upload(self, path: str, pieces: bytes | Iterable[bytes], size: int) -> None:
        """PUT a file of ``size`` bytes, once."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        self.once(Request("PUT", path, pieces, headers), extra_seconds=size / _MIN_SPEED)

    def download(self, path: str, *, offset: int = 0, allow: Collection[int] = ()) -> BaseHTTPResponse:
        """Begin to GET a file, from ``offset`` on, and return the reply with its body unread."""
        request = Request("GET", path, headers={"Range": f"bytes={offset}-"} if offset else {})

        def begin() -> BaseHTTPResponse:
            response = self._send(self._connect().usual, request)
            if response.status not in (200, 206, *allow):
                self._whole(response, request)
            return response

        return self._patiently(begin)

    def look_again(self) -> None:
        """Have the credentials looked at again by the next request."""
        with self._lock:
            self._check_at = 0.0

    def close(self) -> None:
        """Close all connections. A later request opens new ones."""
        with self._lock:
            connected, self._connected = self._connected, None
        if connected is not None:
            connected.usual.close()
            connected.creating.close()

    def _patiently(self, action: Callable[[], _Result]) -> _Result:
        # The time that it takes to make credentials, perhaps with a passphrase, is not the server's.
        self._connect()
        with limited(self.timeout):
            attempt = 0
            while True:
                attempt += 1
                try:
                    return action()
                except ServerUnavailableError as error:
                    # Full jitter: anything up to a bound that doubles; no less than the server asks for.
                    delay = random.uniform(0, _FIRST_PAUSE * 2 ** (attempt - 1))  # noqa: S311 - no secret
                    if isinstance(error, RetryLaterError):
                        delay += error.seconds or 0.0
                    if attempt == _ATTEMPTS or delay >= remaining() or not self._budget.spend():
                        raise
                    self._log.debug("again in %.1f s: %s", delay, error)
                    pause(delay)

    def _connect(self) -> _Pools:
        """Return connections that use the present credentials."""
        with self._lock:
            connected = self._connected
            if connected is None or time.monotonic() >= self._check_at:
                certificate = self._credentials.client_certificate()
                headers = {**self._headers, **self._credentials.headers()}
                version = (_version(certificate), headers)
                if connected is None or connected.credentials != version:
                    # Connections that are in use with the old credentials end with their requests.
                    context = make_context(self._certs_dir, certificate, self._kind)
                    usual = make_pool(self.endpoint, context)
                    creating = make_pool(self.endpoint, context, max_idle=_MAX_IDLE_BEFORE_CREATING)
                    usual.headers = creating.headers = headers
                    connected = self._connected = _Pools(version, usual, creating)
                self._check_at = time.monotonic() + min(_CHECK_CREDENTIALS_SECONDS, self._seconds_left())
            return connected

    def _seconds_left(self) -> float:
        end = self._credentials.expires()
        return max(0.0, (end - datetime.now(timezone.utc)).total_seconds()) if end is not None else math.inf

    def _send(self, pool: HTTPSConnectionPool, request: Request) -> BaseHTTPResponse:
        left = max(0.001, remaining())
        try:
            return pool.urlopen(
                request.method,
                request.path,
                body=request.body,
                headers={**pool.headers, **request.headers},
                retries=False,
                redirect=False,
                timeout=Timeout(connect=min(CONNECT_SECONDS, left), read=left),
                preload_content=False,
                decode_content=False,
            )
        except (HTTPError, OSError) as error:
            raise self.error_for(error, request) from error

    def error_for(self, error: Exception, request: object) -> ServerError:
        """Translate an error of urllib3, or of the layers below it."""
        return error_for_transport(error, str(request), self.endpoint, self._kind)

    def _whole(self, response: BaseHTTPResponse, request: Request) -> Reply:
        if not 200 <= response.status < 300 and response.status not in request.allow:
            told = _told_in(response)
            if is_refusal(response.status, response.reason or "", self._kind):
                raise self._refusal(response, told, request)
            later = response.headers.get("Retry-After", "")
            raise error_for_status(
                response.status, response.reason or "", later, str(request), self.endpoint, self._kind
            )
        body = self._body(response, request)
        self._budget.earn()
        self.answered = time.monotonic()
        return Reply(response.status, response.headers, body)

    def _refusal(self, response: BaseHTTPResponse, told: str, request: Request) -> RefusedError:
        # Who a connection belongs to is settled when it is opened, so another attempt needs new ones.
        with self._lock:
            self._connected = None
        why = ": ".join(filter(None, [status_text(response.status, response.reason or ""), told]))
        who = self._credentials.described()
        message = f"the server {self.endpoint} refuses {who}: {why} ({request})"
        return RefusedError(message, status=response.status, advice=self._credentials.when_refused(why))

    def _body(self, response: BaseHTTPResponse, request: Request) -> bytes:
        """Read the body to its end, after which the connection is free again."""
        max_bytes = request.max_bytes
        with closing(response):
            if not has_length(response):
                # As when the connection broke in the middle of the headers.
                raise ServerUnavailableError(f"the server {self.endpoint} sends a reply without its length ({request})")
            body = bytearray()
            length = response.length_remaining
            try:
                # Where the length is known, there is no need to look for more.
                while len(body) != length and (piece := response.read(min(_PIECE, max_bytes + 1 - len(body)))):
                    body += piece
                    if len(body) > max_bytes:
                        raise ServerError(f"the server {self.endpoint} sends more than {max_bytes} bytes ({request})")
            except (HTTPError, OSError) as error:
                raise self.error_for(error, request) from error
            response.release_conn()
            return bytes(body)


def _version(certificate: Path | None) -> tuple[Any, ...]:
    if certificate is None:
        return ()
    try:
        status = certificate.stat()
    except OSError as error:
        raise ProxyGenerationError(
            f"the client certificate {certificate} is gone: {error.strerror}", advice="try again to make a new one"
        ) from error
    return certificate, status.st_ino, status.st_mtime_ns


def _told_in(response: BaseHTTPResponse) -> str:
    """Return what an error reply says in its body, and drain or close its connection, whatever the body is like."""
    try:
        if has_length(response) and len(body := response.read(_MAX_ERROR_BYTES + 1)) <= _MAX_ERROR_BYTES:
            response.release_conn()
            # A web page is for people with a browser.
            return "" if body.lstrip().startswith(b"<") else excerpt(body.decode("utf-8", "replace"))
    except (HTTPError, OSError):
        pass
    response.close()
    return ""


def has_length(response: BaseHTTPResponse) -> bool:
    """Say whether a reply tells where it ends, so that one that is cut short can be told from a whole one."""
    if response.headers.get("Transfer-Encoding", "").lower() == "chunked" or response.status == 204:
        return True
    return re.fullmatch(r"\d{1,18}", response.headers.get("Content-Length", "")) is not None
