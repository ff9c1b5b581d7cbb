"""The bare protocol: hand-made requests on one raw connection. The floor that nobody can be faster than by much."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from jasmin_arc.credentials.delegation import sign_request


class Bare:
    """One TLS connection to a compute element, and the least that a client can send over it."""

    def __init__(self, endpoint: str, certs_dir: str, proxy: Path) -> None:
        parts = urlsplit(endpoint)
        self.host = f"{parts.hostname}:{parts.port}"
        self.base = f"{parts.path}/rest/1.0"
        self.proxy = proxy
        context = ssl.create_default_context(capath=certs_dir)
        context.load_cert_chain(proxy)
        plain = socket.create_connection((parts.hostname or "", parts.port or 443))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=parts.hostname)
        self.reader = self.socket.makefile("rb")

    def request(self, method: str, path: str, body: bytes = b"", kind: str = "application/xml") -> tuple[str, bytes]:
        """Send one request and return the head and the body of the answer."""
        head = (
            f"{method} {self.base}{path} HTTP/1.1\r\nHost: {self.host}\r\nAccept: text/xml\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        lines = []
        while (line := self.reader.readline().decode()) not in ("\r\n", ""):
            lines.append(line)
        answer = "".join(lines)
        return answer, self._body(answer)

    def _body(self, head: str) -> bytes:
        length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
        if length:
            return self.reader.read(int(length[1]))
        body = b""
        while re.search(r"(?i)^transfer-encoding: *chunked", head, re.MULTILINE):
            size = int(self.reader.readline(), 16)
            body += self.reader.read(size)
            self.reader.readline()
            if not size:
                break
        return body

    def delegate(self) -> str:
        """Make a delegation and return its id."""
        head, request = self.request("POST", "/delegations?action=new")
        found = re.search(r"(?i)^location: *(\S+)", head, re.MULTILINE)
        if not found:
            raise RuntimeError(f"no delegation: {head}")
        name = found[1].rpartition("/")[2]
        chain = sign_request(request, self.proxy.read_bytes())
        self.request("PUT", f"/delegations/{name}", chain, "application/x-pem-file")
        return name

    def submit(self, descriptions: Sequence[str], script: bytes, *, at_once: int = 50) -> list[str]:
        """Create the jobs and upload each one's script, and return what the server calls them."""
        names = []
        for start in range(0, len(descriptions), at_once):
            part = [re.sub(r"<\?xml[^>]*\?>", "", text) for text in descriptions[start : start + at_once]]
            document = f"<ActivityDescriptions>{''.join(part)}</ActivityDescriptions>".encode()
            _, answer = self.request("POST", "/jobs?action=new", document)
            names += re.findall(r"<id>([^<]+)</id>", answer.decode())
        for name in names:
            self.request("PUT", f"/jobs/{name}/session/.jasmin_arc_run", script, "application/octet-stream")
        if len(names) != len(descriptions):
            raise RuntimeError(f"{len(descriptions) - len(names)} jobs were not created")
        return names

    def ask(self, action: str, names: Sequence[str]) -> bytes:
        """Ask for, or tell, many jobs something."""
        items = "".join(f"<job><id>{name}</id></job>" for name in names)
        return self.request("POST", f"/jobs?action={action}", f"<jobs>{items}</jobs>".encode())[1]

    def close(self) -> None:
        """Close the connection."""
        self.reader.close()
        self.socket.close()
