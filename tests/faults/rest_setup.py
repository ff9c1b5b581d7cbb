"""A REST backend on a compute element that is not real."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from faults.fake_ce import FakeCe
from faults.https_server import Certificates, HttpsServer

from jasmin_arc import JobDescription
from jasmin_arc.backends.base import Services
from jasmin_arc.backends.rest.backend import RestBackend
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials.choice import choose
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.job_list import JobList

_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CSR = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(x509.Name([]))
    .sign(_KEY, hashes.SHA256())
    .public_bytes(serialization.Encoding.PEM)
)


_proxies: dict[Path, bytes] = {}
"""Proxies that were made, by the certificate of the user: to make one takes long"""


class Setup:
    """The compute element, the server that it stands behind, and the backend that asks it."""

    def __init__(self, folder: Path, certificates: Certificates, **options: Any) -> None:
        self.ce = FakeCe()
        self.ce.csr = CSR
        # As A-REX, which leaves it to the client what it shows.
        self.server = HttpsServer(certificates, self.ce, wants_certificate=False)
        self.config = ConnectionConfig(
            {
                "ARC_SERVER": self.server.endpoint,
                "BACKEND": "rest",
                "ARCPROXY_PATH": str(folder / "no-arcproxy"),
                "CERTS_DIR": str(certificates.bundle),
                "CLIENT_CERT": str(certificates.user_cert),
                "CLIENT_KEY": str(certificates.user_key),
                "PROXY_FILE": str(folder / "proxy.pem"),
                "JOBS_INFO_FILE": str(folder / "jobs.dat"),
                "TIMEOUT": 5,
                **options,
            }
        )
        self.job_list = JobList(Path(self.config.JOBS_INFO_FILE))
        if not any(name.startswith("PROXY") for name in options) and self.config.AUTH != "token":
            self._put_proxy(certificates.user_cert)
        self.backend = self.another_backend()

    def _put_proxy(self, user_cert: Path) -> None:
        if user_cert not in _proxies:
            _proxies[user_cert] = ProxyManager(self.config, logging.getLogger("test")).path().read_bytes()
        else:
            proxy = Path(self.config.PROXY_FILE)
            proxy.touch(mode=0o600)
            proxy.write_bytes(_proxies[user_cert])

    def another_backend(self) -> RestBackend:
        log = logging.getLogger("test")
        credentials = choose(self.config, ProxyManager(self.config, log), log)
        return RestBackend(self.config, Services(self.job_list, lambda: credentials, log))

    def url(self, name: str) -> str:
        return f"{self.server.endpoint}/rest/1.0/jobs/{name}"


@contextmanager
def rest_setup(folder: Path, certificates: Certificates, **options: Any) -> Iterator[Setup]:
    setup = Setup(folder, certificates, **options)
    try:
        yield setup
    finally:
        setup.backend.close()
        setup.server.close()


def job(script: str = "true", **options: Any) -> JobDescription:
    return JobDescription(executable="/bin/sh", arguments=["-c", script], **{"outputs": ["output"], **options})
