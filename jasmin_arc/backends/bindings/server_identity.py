"""Checks who a server is before the ARC library talks to it.

The library checks that a trusted authority has signed the server's certificate, but not that the certificate is valid
for the server's name. So any other host with a certificate of the same authority could take the credentials and jobs.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from urllib3.connection import HTTPSConnection
from urllib3.exceptions import HTTPError

from jasmin_arc.backends.http.connection import make_context
from jasmin_arc.backends.http.deadline import limited
from jasmin_arc.backends.http.errors import error_for_transport

_CONNECT_SECONDS = 10.0


def check_server(endpoint: str, *, certs_dir: str, proxy: Path, timeout: float) -> None:
    """Open a verified TLS connection to a server, as REST does, and close it again. No request is sent.

    Call it before every call into the library: each of these opens new connections, so an older check says nothing
    about them. It takes about 15 ms, and the library's call 500 ms or more.

    :param endpoint: ``https://HOST:PORT/PATH``
    :param certs_dir: the trusted CA certificates: a folder, or a file
    :param proxy: the file with the proxy certificate, without which a compute element ends the handshake
    :param timeout: seconds for the handshake
    :raises ServerError: if the certificate is not trusted, or not valid for the name of the host
    :raises ServerUnavailableError: if the server cannot be reached, or does not answer in time
    :raises InvalidConfigError: if CERTS_DIR has no certificates
    """
    parts = urlsplit(endpoint)
    connection = HTTPSConnection(
        parts.hostname or "",
        parts.port or 443,
        ssl_context=make_context(certs_dir, proxy),
        timeout=min(_CONNECT_SECONDS, timeout),
    )
    try:
        with limited(timeout):
            connection.connect()
    except (HTTPError, OSError) as error:
        raise error_for_transport(error, "TLS handshake", endpoint) from error
    finally:
        connection.close()
