"""A real compute element that lets in a member of a VO by her attributes alone, and a server that gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeArc
from cryptography import x509
from pki import HOUR

from jasmin_arc import ArcInterface, JasminArcError, JobStatuses, ProxyGenerationError
from jasmin_arc.credentials.rfc3820 import load_certificates, load_key, make_proxy
from jasmin_arc.credentials.voms import VOMS_ATTRIBUTES, read_attributes

pytestmark = pytest.mark.grid
LIMIT = 120
ROLE = "/testvo/climate/Role=production"
GROUPS = ("/testvo", "/testvo/climate")
Member = Callable[..., ArcInterface]
WAYS = pytest.mark.parametrize("way", ["arcproxy", "natively"])


@pytest.fixture
def member(make_arc: MakeArc, tmp_path: Path, arc7_folder: Path, vomses: Path) -> Member:
    """Makes interfaces of the member, or of somebody else, whose proxies are made in one way or the other."""

    def make(way: str = "natively", *, name: str = "member", **options: Any) -> ArcInterface:
        program = "/usr/bin/arcproxy" if way == "arcproxy" else "/nowhere/arcproxy"
        files = {
            f"CLIENT_{what.upper()}": str(arc7_folder / "client" / f"{name}{what}.pem") for what in ("cert", "key")
        }
        own = {"ARCPROXY_PATH": program, "PROXY_FILE": str(tmp_path / "proxy"), **files}
        return make_arc("rest-7-voms", **{**own, **options})

    return make


def run(arc: ArcInterface, script: str, **options: Any) -> str:
    job = arc.job(arc.submit_job("/bin/sh", ["-c", script], **options))
    assert job.wait(timeout=LIMIT) is JobStatuses.COMPLETED
    return job.stdout()


def attributes_of(arc: ArcInterface) -> tuple[str, ...]:
    info = arc.proxy.info()
    assert info is not None
    return info.attributes


@WAYS
def test_a_job_of_a_member_runs(member: Member, way: str) -> None:
    arc = member(way)
    assert run(arc, "echo hello") == "hello\n"
    assert attributes_of(arc) == GROUPS
    info = arc.proxy.info()
    assert info is not None and info.attributes_expire is not None and info.time_left > 11 * HOUR


@WAYS
def test_a_role_is_given_where_it_is_asked_for(member: Member, way: str) -> None:
    arc = member(way, VOMS="testvo:/climate/Role=production")
    assert arc.site().queues
    assert run(arc, "true") == ""
    assert ROLE in attributes_of(arc)


def test_what_jobs_hold_has_the_attributes(member: Member) -> None:
    arc = member()
    held = run(arc, 'cat "$X509_USER_PROXY"', runtime_environments=["ENV/PROXY"])
    assert read_attributes(load_certificates(held.encode()))[0].names == GROUPS


def test_without_the_attributes_the_site_refuses_in_one_clear_line(member: Member) -> None:
    arc = member(VOMS="")
    with pytest.raises(JasminArcError) as caught:
        arc.submit_job("/bin/true")
    told = str(caught.value)
    assert "refuses the certificate of /DC=org/DC=jasmin-arc/CN=Grid-member" in told and "\n" not in told
    assert "it has no VOMS attributes" in told and "set VOMS to its name" in told
    # The same user, who now sets it.
    assert run(member(), "true") == ""


def test_attributes_that_somebody_has_changed_are_refused_in_one_clear_line(member: Member) -> None:
    arc = member()
    arc.create_proxy()
    proxy = Path(arc.config.PROXY_FILE)
    certificate = load_certificates(proxy.read_bytes())[0]
    value = certificate.extensions.get_extension_for_oid(VOMS_ATTRIBUTES).value
    assert isinstance(value, x509.UnrecognizedExtension)
    # The last byte is one of the VO's signature.
    changed = x509.UnrecognizedExtension(VOMS_ATTRIBUTES, value.value[:-1] + bytes([value.value[-1] ^ 1]))
    chain = load_certificates(Path(arc.config.CLIENT_CERT).read_bytes())
    key = load_key(Path(arc.config.CLIENT_KEY).read_bytes())
    proxy.write_bytes(make_proxy(chain, key, lifetime=12 * HOUR, more=[changed]))
    assert attributes_of(arc) == GROUPS
    with pytest.raises(JasminArcError) as caught:
        member().submit_job("/bin/true")
    assert "refuses the certificate of" in str(caught.value) and "(VOMS: /testvo, /testvo/climate)" in str(caught.value)


@WAYS
@pytest.mark.parametrize(
    ("name", "voms", "told"),
    [
        ("stranger", "testvo", r"refuses: NoSuchUser: .*; ask the VO testvo whether your certificate is registered"),
        (
            "member",
            "testvo:/boss",
            r"refuses: NoSuchAttribute: .*/testvo/boss; ask the VO testvo for the group or role",
        ),
        ("member", "other", r"no vomses file knows the VO other .*client/vomses.*; ask the VO for its line"),
    ],
)
def test_who_may_not_have_the_attributes_is_told_why(member: Member, way: str, name: str, voms: str, told: str) -> None:
    arc = member(way, name=name, VOMS=voms)
    with pytest.raises(ProxyGenerationError, match=told) as caught:
        arc.submit_job("/bin/true")
    assert "\n" not in str(caught.value)
    assert not Path(arc.config.PROXY_FILE).exists()


@WAYS
def test_attributes_are_renewed_before_they_end(member: Member, way: str) -> None:
    short = member(way, PROXY_VALIDITY_PERIOD=3600, PROXY_RENEWAL_THRESHOLD=60)
    before = short.proxy.path().read_bytes()
    arc = member(way)
    assert run(arc, "true") == ""
    assert Path(arc.config.PROXY_FILE).read_bytes() != before
    assert attributes_of(arc) == GROUPS


def test_a_plain_proxy_of_before_gives_way(member: Member) -> None:
    member(VOMS="").create_proxy()
    assert run(member(), "true") == ""


def test_a_proxy_that_the_user_brings_is_used_without_the_option(member: Member) -> None:
    brought = member("arcproxy").proxy.path().read_bytes()
    arc = member(VOMS="")
    assert run(arc, "true") == ""
    assert Path(arc.config.PROXY_FILE).read_bytes() == brought
    with pytest.raises(ProxyGenerationError, match="is not replaced: it has VOMS attributes"):
        arc.create_proxy()
