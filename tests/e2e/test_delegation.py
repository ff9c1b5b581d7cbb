"""A real compute element accepts native proxies, and what we sign for it."""

from __future__ import annotations

import http.client
import logging
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from conftest import MakeArc
from pki import HOUR, voms_proxy

from jasmin_arc import ConnectionConfig, JobStatuses
from jasmin_arc.credentials.delegation import sign_request
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.rfc3820 import load_certificates, load_key

pytestmark = pytest.mark.grid


class Caller:
    """Sends hand-made requests with a proxy."""

    def __init__(self, config: ConnectionConfig, proxy: Path) -> None:
        context = ssl.create_default_context(capath=config.CERTS_DIR)
        context.load_cert_chain(proxy)
        parts = urlsplit(config.endpoint)
        assert parts.hostname
        self.connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=20, context=context)

    def __call__(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes, str]:
        headers = {} if body is None else {"Content-Type": "application/x-pem-file"}
        self.connection.request(method, path, body, headers)
        with self.connection.getresponse() as answer:
            return answer.status, answer.read(), answer.headers["Location"] or ""


@pytest.mark.parametrize("arcproxy", ["/usr/bin/arcproxy", "/nowhere/arcproxy"], ids=["arcproxy", "native"])
def test_the_compute_element_takes_our_delegation(grid_config: dict[str, Any], tmp_path: Path, arcproxy: str) -> None:
    assert Path(arcproxy).exists() is arcproxy.startswith("/usr")
    config = ConnectionConfig({**grid_config, "PROXY_FILE": str(tmp_path / "proxy"), "ARCPROXY_PATH": arcproxy})
    proxy = ProxyManager(config, logging.getLogger("test")).path()
    call = Caller(config, proxy)
    delegations = urlsplit(config.endpoint).path + "/rest/1.0/delegations"
    try:
        status, csr, location = call("POST", delegations + "?action=new")
        assert status == 201
        delegation = f"{delegations}/{location.rpartition('/')[2]}"
        chain = sign_request(csr, proxy.read_bytes())
        assert call("PUT", delegation, chain)[0] == 200
        status, stored, _ = call("POST", delegation + "?action=get")
        assert (status, stored.split()) == (200, chain.split())
        assert call("POST", delegation + "?action=delete")[0] == 202
    finally:
        call.connection.close()


@pytest.mark.parametrize("backend", ["rest", "bindings"])
def test_a_job_goes_with_the_users_voms_proxy_which_stays(
    grid_config: dict[str, Any], make_arc: MakeArc, tmp_path: Path, backend: str
) -> None:
    user = load_certificates(Path(grid_config["CLIENT_CERT"]).read_bytes())[0]
    key = load_key(Path(grid_config["CLIENT_KEY"]).read_bytes())
    proxy = tmp_path / "voms-proxy"
    proxy.touch(mode=0o600)
    proxy.write_bytes(voms_proxy(user, key, lifetime=HOUR / 2))
    before = proxy.read_bytes()
    arc = make_arc(backend, PROXY_FILE=str(proxy))
    assert arc.job(arc.submit_job("/bin/true")).wait(timeout=120) is JobStatuses.COMPLETED
    assert proxy.read_bytes() == before
