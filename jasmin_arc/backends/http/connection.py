"""HTTPS connections: verified, kept alive, without delays, and perhaps with a client certificate."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from jasmin_arc._support.text import told
from jasmin_arc.backends.http.deadline import DeadlineSocket, limited, this_thread
from jasmin_arc.backends.http.errors import ServerKind, error_for_transport
from jasmin_arc.exceptions import InvalidConfigError, ServerError

CONNECT_SECONDS = 10.0
MAX_IDLE = 20.0
"""Seconds after which a connection is not used again: the server might close it just as a request is on its way"""
_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class Connection(HTTPSConnection):
    """An HTTPS connection that acknowledges the server's first segment at once.

    Some servers answer in two segments with Nagle's algorithm on, so the second one waits for the acknowledgement of
    the first, which Linux delays by 40 ms. The option lasts for one reply only.
    """

    def __init__(self, *args: Any, max_idle: float = MAX_IDLE, **options: Any) -> None:
        super().__init__(*args, **options)
        self._max_idle = max_idle
        self._last_used = 0.0

    @property
    def is_connected(self) -> bool:
        return super().is_connected and time.monotonic() - self._last_used < self._max_idle

    def request(self, *args: Any, **options: Any) -> None:
        # The pool has connected before.
        this_thread.sent = True
        super().request(*args, **options)

    def getresponse(self) -> Any:
        if _QUICKACK is not None and self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._last_used = time.monotonic()
        return super().getresponse()


def make_pool(endpoint: str, context: ssl.SSLContext, *, max_idle: float = MAX_IDLE) -> HTTPSConnectionPool:
    """Make a pool of connections to the endpoint's host. No proxy is ever taken from the environment."""
    parts = urlsplit(endpoint)
    pool = HTTPSConnectionPool(
        parts.hostname or "",
        parts.port or 443,
        maxsize=16,
        ssl_context=context,
        max_idle=max_idle,
    )
    pool.ConnectionCls = Connection
    return pool


def check_identity(endpoint: str, context: ssl.SSLContext, *, timeout: float, kind: ServerKind) -> str:
    """Open a verified TLS connection to a server, close it again, and return its TLS version. No request is sent."""
    parts = urlsplit(endpoint)
    seconds = min(CONNECT_SECONDS, timeout)
    connection = Connection(parts.hostname or "", parts.port or 443, ssl_context=context, timeout=seconds)
    try:
        with limited(timeout):
            connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        return str(connection.sock.version())
    except (HTTPError, OSError) as error:
        raise error_for_transport(error, "TLS handshake", endpoint, kind) from error
    finally:
        connection.close()


def make_context(certs_dir: str, certificate: Path | None, kind: ServerKind = ServerKind()) -> ssl.SSLContext:  # noqa: B008 - it cannot be changed
    """Make the TLS settings: whom we trust, and the file with the client's certificate, its chain and its key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = DeadlineSocket
    try:
        context.load_verify_locations(**{"capath" if Path(certs_dir).is_dir() else "cafile": certs_dir})
    except OSError as error:
        raise InvalidConfigError(
            f"{kind.trust_option}: no CA certificates can be read from {certs_dir}: {told(error)}"
        ) from error
    if certificate is not None:
        try:
            # Without a password, OpenSSL would ask on the terminal for that of an encrypted key.
            context.load_cert_chain(certificate, password="")
        except OSError as error:
            raise ServerError(f"the client certificate {certificate} cannot be used: {told(error)}") from error
    return context
