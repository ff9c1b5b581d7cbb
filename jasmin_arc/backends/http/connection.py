"""Connections to a compute element: TLS with the proxy certificate, verified, kept alive, and without delays."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from jasmin_arc.backends.http.deadline import DeadlineSocket, note_sent
from jasmin_arc.exceptions import InvalidConfigError, ServerError

_QUICKACK = getattr(socket, "TCP_QUICKACK", None)
_KEPT = 16
_LONGEST_IDLE = 20.0
"""Seconds after which a connection is not used again: the server might close it just as a request is on its way"""
_LONGEST_IDLE_BEFORE_CREATING = 3.0
"""The same for requests that are never sent twice: one that meets a closed connection may have been dealt with"""


class Connection(HTTPSConnection):
    """An HTTPS connection that acknowledges the server's first segment at once.

    A-REX answers in two segments with Nagle's algorithm on, so the second one waits for the acknowledgement of the
    first, which Linux delays by 40 ms. The option lasts for one reply only.
    """

    _last_used = 0.0
    _longest_idle = _LONGEST_IDLE

    @property
    def is_connected(self) -> bool:
        """Say whether the connection can be used for another request."""
        return super().is_connected and time.monotonic() - self._last_used < self._longest_idle

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request. The pool connects before it calls this."""
        note_sent()
        super().request(*args, **options)

    def getresponse(self) -> Any:
        """Read the reply."""
        if _QUICKACK is not None and self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        self._last_used = time.monotonic()
        return super().getresponse()


class CreatingConnection(Connection):
    """A connection for requests that are never sent twice: it is used again only right after its last use."""

    _longest_idle = _LONGEST_IDLE_BEFORE_CREATING


def make_pool(endpoint: str, context: ssl.SSLContext, kind: type[Connection] = Connection) -> HTTPSConnectionPool:
    """Make a pool of connections to the endpoint's host. No proxy is ever taken from the environment."""
    parts = urlsplit(endpoint)
    pool = HTTPSConnectionPool(
        parts.hostname or "", parts.port or 443, maxsize=_KEPT, block=False, ssl_context=context, retries=False
    )
    pool.ConnectionCls = kind
    return pool


def make_context(certs_dir: str, proxy: Path | None) -> ssl.SSLContext:
    """Make the TLS settings: who we are, and whom we trust.

    :param certs_dir: the folder with the trusted CA certificates under their hashes, or one file with all of them
    :param proxy: the file with the proxy certificate, its chain and its key, if the server is shown one
    :raises InvalidConfigError: if CERTS_DIR has no certificates
    :raises ServerError: if the proxy cannot be used
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = DeadlineSocket
    trusted = Path(certs_dir)
    try:
        if trusted.is_dir():
            context.load_verify_locations(capath=str(trusted))
        else:
            context.load_verify_locations(cafile=str(trusted))
    except OSError as error:
        raise InvalidConfigError(f"CERTS_DIR: no CA certificates can be read from {certs_dir}: {error}") from error
    if proxy is None:
        return context
    try:
        # Without a password, OpenSSL would ask on the terminal for that of an encrypted key.
        context.load_cert_chain(proxy, password="")
    except OSError as error:
        raise ServerError(f"the proxy certificate {proxy} cannot be used: {error}") from error
    return context
