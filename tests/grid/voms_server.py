"""voms_server.py GRID_DIR PORT: a stand-in for a VOMS server, for `arcproxy -S` and others that ask as it does.

GET /generate-ac?fqans=FQAN,FQAN&lifetime=SECONDS is answered as VOMS's REST interface does it: with an attribute
certificate, or with a refusal in its words. voms-proxy-fake makes the certificates, signed with the host's key.
"""

import base64
import os
import re
import ssl
import subprocess
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

GRID, PORT = Path(sys.argv[1]), int(sys.argv[2])
VO = "testvo"
MEMBER = "Grid-member"
ATTRIBUTES = [f"/{VO}", f"/{VO}/climate", f"/{VO}/climate/Role=production"]  # of the member
DEFAULT = ATTRIBUTES[:2]  # who asks for none gets the groups, and roles have to be asked for
LONGEST = 24  # hours
EXTENSION = bytes.fromhex("060a2b06010401be45646405")  # the identifier 1.3.6.1.4.1.8005.100.100.5
PROXY = Path(__file__).with_name("voms_proxy.py")


def element(data, at=0):
    """Where the content of the DER element at a place begins, and where it ends."""
    length, start = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(data[start : start + count], "big"), start + count
    return start, start + length


def attribute_certificate(attributes, hours):
    """The attribute certificate in a proxy that is made for it: SEQUENCE { SEQUENCE { it } } in an extension."""
    with tempfile.TemporaryDirectory() as folder:
        proxy = Path(folder, "proxy")
        command = [sys.executable, PROXY, GRID, "voms-proxy", "--hours", str(hours), proxy, *attributes]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        first = re.search("-----BEGIN CERTIFICATE-----(.*?)-----END", proxy.read_text(), re.S)
    der = base64.b64decode(first.group(1))
    value, _ = element(der, der.index(EXTENSION) + len(EXTENSION))  # the extension is an OCTET STRING
    outer, _ = element(der, value)
    inner, _ = element(der, outer)
    return der[inner : element(der, inner)[1]]


class Refused(Exception):
    """A refusal: the code of VOMS and of HTTP, and a message."""


def answer(peer, url):
    query = parse_qs(url.query)
    if url.path != "/generate-ac":
        raise Refused("BadRequest", 400, f"There is nothing at {url.path}")
    if MEMBER not in [value for names in peer["subject"] for key, value in names if key == "commonName"]:
        raise Refused("NoSuchUser", 403, f"User unknown to this VO: {VO}")
    asked = [name for value in query.get("fqans", []) for name in value.split(",")]
    granted = [name for name in asked if name in ATTRIBUTES] if asked else DEFAULT
    if not granted:
        raise Refused("NoSuchAttribute", 403, f"User unable to satisfy request: {', '.join(asked)}")
    hours = min(max(1, int(query.get("lifetime", ["43200"])[0]) // 3600), LONGEST)
    return (
        f"<ac>{base64.encodebytes(attribute_certificate(granted, hours)).decode()}</ac>"  # arcproxy wants short lines
    )


class Handler(BaseHTTPRequestHandler):
    timeout = 30

    def do_GET(self):
        status = 200
        try:
            body = answer(self.connection.getpeercert(), urlsplit(self.path))
        except Refused as error:
            code, status, message = error.args
            body = f"<error><code>{code}</code><message>{message}</message></error>"
        document = f'<?xml version="1.0" encoding="UTF-8"?>\n<voms>{body}</voms>\n'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)


class Server(ThreadingHTTPServer):
    """Each connection has its handshake in its own thread: one that sends nothing does not stop the others."""

    daemon_threads = True

    def finish_request(self, request, client_address):
        request.settimeout(Handler.timeout)
        with context.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(GRID / "certs" / "hostcert.pem", GRID / "certs" / "hostkey.pem")
context.load_verify_locations(capath=str(GRID / "certificates"))
context.verify_mode = ssl.CERT_REQUIRED
context.verify_flags |= 0x40  # X509_V_FLAG_ALLOW_PROXY_CERTS
server = Server(("127.0.0.1", PORT), Handler)
(GRID / "arc" / "run" / "voms-server.pid").write_text(f"{os.getpid()}\n")
server.serve_forever()
