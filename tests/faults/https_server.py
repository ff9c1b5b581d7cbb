"""A small HTTPS server on localhost that sends whatever a test wants, also what no honest server would."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

import trustme

from jasmin_arc.credentials import Credentials

RESET = object()
"""Yielded by a raw reply: break the connection off with a TCP reset"""
Piece = Union[bytes, float, object]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """The number of the connection that it came on"""


@dataclass
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    reason: str = "OK"
    raw: Iterable[Piece] | None = None
    """Instead of all that: the pieces to send; a number is a pause in seconds"""


Handler = Callable[[Request], Reply]


def xml(body: str, status: int = 200, **headers: str) -> Reply:
    return Reply(status, body.encode(), {"Content-Type": "application/xml", **headers})


class Certificates:
    """A throw-away CA, with a certificate for the server and one for the user."""

    def __init__(self, folder: Path, host: str = "localhost") -> None:
        self.ca = trustme.CA()
        self.server = self.ca.issue_cert(host)
        user = self.ca.issue_cert("user@example.org", common_name="A User")
        self.bundle = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.bundle)
        self.user_cert = folder / "usercert.pem"
        user.cert_chain_pems[0].write_to_path(self.user_cert)
        self.user_key = folder / "userkey.pem"
        user.private_key_pem.write_to_path(self.user_key)
        self.user_key.chmod(0o600)
        self.user_both = folder / "user.pem"
        user.private_key_and_cert_chain_pem.write_to_path(self.user_both)


@dataclass
class Shown(Credentials):
    """Credentials: a certificate, and perhaps something in the head of each request."""

    certificate: Path
    head: dict[str, str] = field(default_factory=dict)

    def client_certificate(self) -> Path:
        return self.certificate

    def headers(self) -> dict[str, str]:
        return self.head


class HttpsServer:
    """Serves until it is closed. ``requests`` has all that came in."""

    def __init__(
        self, certificates: Certificates, handler: Handler, *, handshake: bool = True, wants_certificate: bool = True
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.handler = handler
        self._handshake = handshake
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.verify_mode = ssl.CERT_REQUIRED if wants_certificate else ssl.CERT_OPTIONAL
        # X509_V_FLAG_ALLOW_PROXY_CERTS, as A-REX has it
        self._context.verify_flags |= 0x40
        self.present(certificates.server)
        certificates.ca.configure_trust(self._context)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.endpoint = f"https://localhost:{self.port}/arex"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def present(self, certificate: trustme.LeafCert) -> None:
        """Show this certificate from now on."""
        certificate.configure_cert(self._context)

    def __enter__(self) -> HttpsServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, plain: socket.socket, number: int) -> None:
        if not self._handshake:
            return
        # The last two: close() came in the middle of a read.
        with contextlib.suppress(OSError, ssl.SSLError, ValueError, AttributeError):
            connection = self._context.wrap_socket(plain, server_side=True)
            self._open.append(connection)
            # Closed here too: the handshake may have ended after close().
            with connection, connection.makefile("rb") as stream:
                while (request := _read(stream, number)) is not None:
                    self.requests.append(request)
                    reply = self.handler(request)
                    if reply.raw is not None:
                        _send_raw(connection, reply.raw)
                        return
                    connection.sendall(_format(reply, head=request.method == "HEAD"))


def _read(stream: object, number: int) -> Request | None:
    first = stream.readline().decode("latin-1").split()  # type: ignore[attr-defined]
    if len(first) < 2:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").strip():  # type: ignore[attr-defined]
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Request(first[0], first[1], headers, body, number)


def _format(reply: Reply, *, head: bool) -> bytes:
    headers = {"Content-Length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {reply.reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (b"" if head else reply.body)


def _send_raw(connection: socket.socket, pieces: Iterable[Piece]) -> None:
    for piece in pieces:
        if piece is RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if isinstance(piece, (int, float)):
            time.sleep(piece)
        else:
            connection.sendall(piece)  # type: ignore[arg-type]
