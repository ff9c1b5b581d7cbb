"""VOMS: attributes are read, asked for, made into proxies, and never lost; broken ones never crash."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from faults.https_server import RESET, Certificates, HttpsServer, Reply, Request, xml
from hypothesis import given
from hypothesis import strategies as st
from pki import HOUR, Pki, attribute_certificate, key_pem, rsa_key, voms_proxy

from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials import voms_server
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.proxy_file import read_proxy
from jasmin_arc.credentials.rfc3820 import load_certificates, make_proxy, name_text
from jasmin_arc.credentials.voms import VOMS_ATTRIBUTES, Wanted, extension, read_attributes
from jasmin_arc.credentials.voms_server import servers_of
from jasmin_arc.exceptions import ProxyGenerationError

ROLE = "/testvo/climate/Role=production"
LOG = logging.getLogger("test")
USER = Pki(Path()).user()
SAMPLE = extension(attribute_certificate(USER, f"{ROLE}/Capability=NULL", "/testvo/Role=NULL/Capability=NULL")).value
MakeManager = Callable[..., ProxyManager]


def with_extension(value: bytes) -> list[x509.Certificate]:
    attributes = x509.UnrecognizedExtension(VOMS_ATTRIBUTES, value)
    return load_certificates(voms_proxy(USER, rsa_key(), lifetime=HOUR, attributes=attributes))


# Read


def test_a_proxy_tells_its_groups_and_roles_its_vo_and_their_end(tmp_path: Path) -> None:
    wrapped = extension(attribute_certificate(USER, ROLE, "/testvo/Role=NULL/Capability=NULL", lifetime=HOUR))
    path = Pki(tmp_path).write("proxy", voms_proxy(USER, rsa_key(), lifetime=2 * HOUR, attributes=wrapped))
    info = read_proxy(path)
    (membership,) = info.memberships
    assert (info.voms, info.attributes) == (True, (ROLE, "/testvo"))
    assert (membership.vo, membership.server) == ("testvo", "localhost:15000")
    assert info.attributes_text == f"VOMS: {ROLE}, /testvo"
    # The attributes end before the certificate does.
    assert info.expires == membership.expires
    assert HOUR - timedelta(minutes=1) < info.time_left <= HOUR


def test_a_proxy_of_a_proxy_has_its_attributes(tmp_path: Path) -> None:
    first = voms_proxy(
        USER, rsa_key(), lifetime=2 * HOUR, attributes=x509.UnrecognizedExtension(VOMS_ATTRIBUTES, SAMPLE)
    )
    second = make_proxy(load_certificates(first), rsa_key("proxy"), lifetime=HOUR)
    assert read_proxy(Pki(tmp_path).write("proxy", second)).attributes == (ROLE, "/testvo")


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=4)), min_size=1, max_size=6))
def test_garbled_attributes_are_a_value_error(changes: list[tuple[int, bytes]]) -> None:
    value = SAMPLE
    for at, new in changes:
        value = value[:at] + new + value[at + max(1, len(new)) :]
    with contextlib.suppress(ValueError):
        for membership in read_attributes(with_extension(value)):
            text = "".join([membership.vo, membership.server, *membership.names])
            assert membership.names and text.isprintable() and membership.expires.tzinfo


@pytest.mark.parametrize(
    "value",
    [
        b"\x30",
        b"junk",
        SAMPLE[:-1],
        SAMPLE + b"\x30\x00",
        extension(b"\x30\x00").value,
        extension(attribute_certificate(USER, "no group")).value,
        extension(attribute_certificate(USER)).value,
        extension(attribute_certificate(USER, ROLE, ends="00010101000000+0100")).value,
        extension(attribute_certificate(USER, ROLE, ends="20261331000000Z")).value,
        b"\x30\x80" * 5000,
    ],
)
def test_attributes_that_cannot_be_read_are_told_and_the_proxy_is_used_as_it_is(tmp_path: Path, value: bytes) -> None:
    attributes = x509.UnrecognizedExtension(VOMS_ATTRIBUTES, value)
    path = Pki(tmp_path).write("proxy", voms_proxy(USER, rsa_key(), lifetime=HOUR, attributes=attributes))
    with pytest.raises(ValueError, match="VOMS attributes that cannot be read"):
        read_attributes(load_certificates(path.read_bytes()))
    info = read_proxy(path)
    assert (info.voms, info.attributes, info.attributes_text) == (True, (), "VOMS attributes that cannot be read")


@pytest.mark.parametrize("size", [1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000])
def test_attribute_certificates_of_all_sizes_are_wrapped(size: int) -> None:
    from pyasn1.codec.der.decoder import decode
    from pyasn1.codec.der.encoder import encode
    from pyasn1.type.univ import OctetString

    content = encode(OctetString(bytes(size)))
    found, rest = decode(extension(content).value)
    assert bytes(found[0][0]) == bytes(size) and not rest


@pytest.mark.parametrize(
    ("option", "names", "enough"),
    [
        ("testvo", ["/testvo"], True),
        ("testvo", ["/other", ROLE], True),
        ("testvo", ["/testvo2"], False),
        ("testvo", [], False),
        (f"testvo:{ROLE}", ["/testvo", ROLE], True),
        (f"testvo:{ROLE}", ["/testvo/climate", f"{ROLE}2"], False),
        ("testvo:/testvo", [ROLE], False),
    ],
)
def test_a_group_covers_itself_and_a_vo_any_of_its_groups(option: str, names: list[str], enough: bool) -> None:
    wanted = Wanted.of(option)
    assert wanted is not None and wanted.is_in(names) is enough


# vomses files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("X509_VOMS_FILE", "X509_VOMSES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".arc").mkdir()
    return tmp_path


def line(host: str, *, vo: str = "testvo", port: object = 15000, name: str = "/DC=org/CN=host/voms") -> str:
    return f'"{vo}" "{host}" "{port}" "{name}" "{vo}"\n'


def hosts(vo: str = "testvo") -> list[str]:
    return [server.host for server in servers_of(vo)]


def test_the_first_place_that_knows_the_vo_decides(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".voms").mkdir()
    (home / ".voms" / "vomses").write_text("# remarks\n\n" + line("second") + line("third"))
    (home / ".arc" / "vomses").write_text(line("elsewhere", vo="other"))
    assert hosts() == ["second", "third"]
    (home / ".arc" / "vomses").write_text(line("first", name="/CN=host\\/first"))
    (server,) = servers_of("testvo")
    assert (server.host, server.port, server.subject) == ("first", 15000, "/CN=host/first")
    folder = home / "folder"
    folder.mkdir()
    (folder / "b").write_text(line("b"))
    (folder / "a").write_text(line("a"))
    os.mkfifo(folder / "pipe")
    monkeypatch.setenv("X509_VOMSES", str(folder))
    assert hosts() == ["a", "b"]


def test_a_vo_that_no_file_knows_is_told_with_the_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is in the present folder says nothing.
    monkeypatch.chdir(home)
    (home / "vomses").write_text(line("here"))
    with pytest.raises(
        ProxyGenerationError, match=r"no vomses file knows the VO testvo .* ~/.arc/vomses, .*/etc/vomses"
    ):
        servers_of("testvo")


@pytest.mark.parametrize(
    "text",
    [
        line("-oProxyCommand=x"),
        line("a b"),
        line(""),
        line("host", port=0),
        line("host", port=65536),
        line("host", port="x"),
        line("host", name="CN=none"),
        '"testvo" "host" "15000" "/CN=a\'"b" "testvo"',
        '"testvo" "host" "15000"',
        '"testvo" "host',
    ],
)
def test_lines_that_make_no_sense_are_left_out(home: Path, text: str) -> None:
    (home / ".arc" / "vomses").write_text(f"{text}\n{line('good')}")
    assert hosts() == ["good"]


@given(st.text() | st.lists(st.text(), min_size=5, max_size=6).map(lambda words: " ".join(map(shlex.quote, words))))
def test_any_file_yields_lines_that_can_be_written_again(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(text.encode("utf-8", "surrogatepass"))
        for server in voms_server._read(Path(file.name)):
            assert shlex.split(server.line)[1:4] == [server.host, str(server.port), server.subject]
            assert len(server.line.splitlines()) == 1


# The server of a VO, natively


class Vo:
    """A VO with an HTTPS server: what it gives, and who asked for what."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates(folder)
        self.user = load_certificates(self.certificates.user_cert.read_bytes())[0]
        self.subject = name_text(load_certificates(self.certificates.server.cert_chain_pems[0].bytes())[0].subject)
        self.gives: tuple[str, ...] = ("/testvo", "/testvo/climate", ROLE)
        self.lifetime = 12 * HOUR
        self.answer: Callable[[], Reply] | None = None
        self.server = HttpsServer(self.certificates, self.reply)
        self.vomses = folder / ".arc" / "vomses"
        self.write_vomses()

    def write_vomses(self, *, port: int = 0, more: str = "", **options: Any) -> None:
        options = {"name": self.subject, **options}
        self.vomses.write_text(more + line("localhost", port=port or self.server.port, **options))

    @property
    def asked(self) -> list[dict[str, list[str]]]:
        return [parse_qs(urlsplit(request.path).query) for request in self.server.requests]

    def reply(self, request: Request) -> Reply:
        if self.answer is not None:
            return self.answer()
        asked = parse_qs(urlsplit(request.path).query).get("fqans", ["/testvo"])
        if not set(asked) <= set(self.gives):
            message = f"User is not authorized to request attribute '{asked[0]}'."
            return xml(f"<voms><error><code>NoSuchAttribute</code><message>{message}</message></error></voms>")
        names = dict.fromkeys([*asked, *(name for name in self.gives if "Role" not in name)])
        made = attribute_certificate(self.user, *names, lifetime=self.lifetime)
        return xml(f"<voms><ac>{base64.encodebytes(made).decode()}</ac></voms>")


@pytest.fixture
def vo(home: Path) -> Iterator[Vo]:
    made = Vo(home)
    with made.server:
        yield made


@pytest.fixture
def make_manager(vo: Vo, tmp_path: Path) -> MakeManager:
    def make(option: str = "testvo", **options: Any) -> ProxyManager:
        certificates = vo.certificates
        defaults = {
            "ARCPROXY_PATH": "/nowhere",
            "CERTS_DIR": str(certificates.bundle),
            "CLIENT_CERT": str(certificates.user_cert),
            "CLIENT_KEY": str(certificates.user_key),
            "PROXY_FILE": str(tmp_path / "proxy"),
            "TIMEOUT": 5,
            "VOMS": option,
        }
        return ProxyManager(ConnectionConfig({**defaults, **options}), LOG)

    return make


def attributes_of(manager: ProxyManager) -> tuple[str, ...]:
    info = manager.info()
    assert info is not None
    return info.attributes


def test_a_proxy_is_made_with_the_attributes_of_the_vo(vo: Vo, make_manager: MakeManager, tmp_path: Path) -> None:
    manager = make_manager()
    path = manager.path()
    assert attributes_of(manager) == ("/testvo", "/testvo/climate")
    assert manager.described() == f"the certificate of {name_text(vo.user.subject)} (VOMS: /testvo, /testvo/climate)"
    assert vo.asked == [{"lifetime": ["43200"]}]
    # It is used again, also by another process.
    before = path.read_bytes()
    assert manager.path().read_bytes() == make_manager().path().read_bytes() == before
    assert len(vo.asked) == 1


def test_a_role_is_asked_for_and_comes_first(vo: Vo, make_manager: MakeManager) -> None:
    manager = make_manager("testvo:/climate/Role=production", PROXY_VALIDITY_PERIOD=7200)
    manager.path()
    assert attributes_of(manager)[0] == ROLE
    assert vo.asked == [{"fqans": [ROLE], "lifetime": ["7200"]}]


def test_an_encrypted_key_is_enough(vo: Vo, make_manager: MakeManager, tmp_path: Path) -> None:
    config = make_manager()._config
    key = tmp_path / "encrypted.pem"
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    plain = load_pem_private_key(Path(config.CLIENT_KEY).read_bytes(), None)
    key.write_bytes(key_pem(plain, b"secret"))
    key.chmod(0o600)
    config.CLIENT_KEY = str(key)
    manager = ProxyManager(config, LOG, passphrase=lambda: "secret")
    manager.path()
    assert attributes_of(manager)[0] == "/testvo"


def refused(manager: ProxyManager) -> str:
    with pytest.raises(ProxyGenerationError) as caught:
        manager.path()
    assert not Path(manager._config.PROXY_FILE).exists()
    return str(caught.value).replace("cannot create a proxy: ", "")


def test_a_role_that_the_user_has_not_is_told_in_the_servers_words(vo: Vo, make_manager: MakeManager) -> None:
    told = refused(make_manager("testvo:/testvo/Role=boss"))
    assert told == (
        f"the VO testvo gives no attributes: its server localhost:{vo.server.port} refuses: NoSuchAttribute: User is "
        "not authorized to request attribute '/testvo/Role=boss'; ask the VO testvo for the group or role, or set VOMS "
        "to one that you have"
    )


def test_a_user_whom_the_vo_does_not_know_is_told_what_to_ask(vo: Vo, make_manager: MakeManager) -> None:
    body = "<error><code>NoSuchUser</code><message>unknown \x1b[31m</message></error>".replace("\x1b", "&#x9b;")
    for text in (body, f"<voms>{body}</voms>"):
        vo.answer = lambda text=text: xml(text, 403)
        told = refused(make_manager())
        assert "refuses: NoSuchUser: unknown" in told and "is registered with it" in told
        assert told.isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, b""),
        Reply(500, b"<html>no</html>"),
        xml("<voms></voms>"),
        xml("<voms><ac>AAAA!!AAAA</ac></voms>"),
        xml('<!DOCTYPE voms [<!ENTITY a "b">]><voms><ac>&a;</ac></voms>'),
        xml("<voms><ac>" + "A" * (2 << 20) + "</ac></voms>"),
    ],
    ids=["empty", "page", "nothing", "no base64", "entities", "too long"],
)
def test_nonsense_is_no_attribute(vo: Vo, make_manager: MakeManager, answer: Reply) -> None:
    vo.answer = lambda: answer
    assert f"its server localhost:{vo.server.port} answers with something else than attributes" in refused(
        make_manager()
    )


def test_attributes_that_cannot_be_read_or_are_others_make_no_proxy(vo: Vo, make_manager: MakeManager) -> None:
    vo.answer = lambda: xml(f"<voms><ac>{base64.b64encode(b'junk').decode()}</ac></voms>")
    assert refused(make_manager()).startswith("the VO testvo gives VOMS attributes that cannot be read, and VOMS asks")
    made = base64.b64encode(attribute_certificate(vo.user, "/testvo")).decode()
    vo.answer = lambda: xml(f"<voms><ac>{made}</ac></voms>")
    assert refused(make_manager(f"testvo:{ROLE}")).startswith(
        f"the VO testvo gives VOMS: /testvo, and VOMS asks for {ROLE}"
    )


def test_attributes_that_have_ended_make_no_proxy(vo: Vo, make_manager: MakeManager) -> None:
    vo.lifetime = timedelta(seconds=-5)
    assert "check this machine's clock" in refused(make_manager())


def test_a_server_that_does_not_answer_is_named_and_the_next_is_asked(vo: Vo, make_manager: MakeManager) -> None:
    vo.write_vomses(port=1)
    assert "the VO testvo gives no attributes: cannot connect to https://localhost:1:" in refused(make_manager())
    vo.write_vomses(more=line("localhost", port=1))
    assert make_manager().path().exists()


@pytest.mark.parametrize("raw", [b"", b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200, RESET])
def test_a_reply_that_is_no_http_is_a_broken_connection(vo: Vo, make_manager: MakeManager, raw: Any) -> None:
    vo.answer = lambda: Reply(raw=[raw])
    assert "gives no attributes: the connection to https://localhost" in refused(make_manager())


def test_a_silent_server_is_given_up(vo: Vo, make_manager: MakeManager) -> None:
    vo.answer = lambda: Reply(raw=[b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", *[b"x", 0.4] * 8])
    assert "does not answer in time" in refused(make_manager(TIMEOUT=1))


def test_a_server_that_is_not_trusted_or_another_is_asked_for_nothing(
    vo: Vo, make_manager: MakeManager, tmp_path: Path
) -> None:
    (tmp_path / "others").mkdir()
    others = Certificates(tmp_path / "others")
    told = refused(make_manager(CERTS_DIR=str(others.bundle)))
    assert "is not trusted" in told and "CERTS_DIR must hold the CA certificate" in told
    vo.write_vomses(name="/CN=somebody else")
    told = refused(make_manager())
    assert f"is not the one that ~/.arc/vomses names: it is {vo.subject}, not /CN=somebody else" in told
    assert vo.asked == []


# The rules


def present(vo: Vo, path: Path, *names: str, lifetime: timedelta = HOUR / 2) -> bytes:
    """Bring a proxy of the user, with these attributes, or a plain one."""
    key: Any = load_key_of(vo)
    if names:
        wrapped = extension(attribute_certificate(vo.user, *names, lifetime=lifetime))
        text = voms_proxy(vo.user, key, lifetime=4 * HOUR, attributes=wrapped)
    else:
        text = make_proxy([vo.user], key, lifetime=4 * HOUR)
    new = path.with_name("new")
    new.touch(mode=0o600)
    new.write_bytes(text)
    new.replace(path)
    return text


def load_key_of(vo: Vo) -> Any:
    from jasmin_arc.credentials.rfc3820 import load_key

    return load_key(vo.certificates.user_key.read_bytes())


def test_a_plain_proxy_gives_way_to_one_with_attributes(vo: Vo, make_manager: MakeManager, tmp_path: Path) -> None:
    present(vo, tmp_path / "proxy")
    manager = make_manager()
    manager.path()
    assert attributes_of(manager) == ("/testvo", "/testvo/climate")


def test_a_proxy_with_the_attributes_is_renewed_with_them(vo: Vo, make_manager: MakeManager, tmp_path: Path) -> None:
    before = present(vo, tmp_path / "proxy", "/testvo")
    manager = make_manager()
    assert manager.path().read_bytes() != before
    assert attributes_of(manager) == ("/testvo", "/testvo/climate")
    info = manager.info()
    assert info is not None and info.time_left > 11 * HOUR


def test_a_renewal_loses_no_attribute(
    vo: Vo, make_manager: MakeManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = present(vo, tmp_path / "proxy", "/testvo", ROLE)
    manager = make_manager()
    assert [manager.path().read_bytes() for _ in range(2)] == [before] * 2
    (warning,) = caplog.records
    assert f"is not renewed: the proxy {tmp_path}/proxy is valid until" in warning.getMessage()
    assert f"a new one would not have {ROLE}" in warning.getMessage()
    with pytest.raises(ProxyGenerationError, match="a new one would not have"):
        manager.create()
    assert (tmp_path / "proxy").read_bytes() == before


def test_where_the_vo_is_out_of_reach_the_present_proxy_is_used_with_one_warning(
    vo: Vo, make_manager: MakeManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = present(vo, tmp_path / "proxy", "/testvo")
    vo.write_vomses(port=1)
    manager = make_manager()
    assert [manager.path().read_bytes() for _ in range(3)] == [before] * 3
    (warning,) = caplog.records
    assert "is not renewed: cannot create a proxy: the VO testvo gives no attributes" in warning.getMessage()


@pytest.mark.parametrize(
    ("names", "has"),
    [(["/other"], "VOMS: /other"), (["/testvo"], "VOMS: /testvo"), (["x"], "VOMS attributes that cannot be read")],
)
def test_a_proxy_with_other_attributes_is_neither_used_nor_replaced(
    vo: Vo, make_manager: MakeManager, tmp_path: Path, names: list[str], has: str
) -> None:
    path = tmp_path / "proxy"
    before = present(vo, path, *names)
    manager = make_manager(f"testvo:{ROLE}")
    for action in (manager.path, manager.create):
        with pytest.raises(ProxyGenerationError) as caught:
            action()
        assert str(caught.value) == (
            f"the proxy {path} has {has}, and VOMS asks for {ROLE}; set VOMS to what it has; or set PROXY_FILE to "
            "another path, to have both; or run 'jasmin-arc proxy destroy', after which a new one is made"
        )
    assert path.read_bytes() == before and vo.asked == []


@pytest.mark.parametrize("names", [["/testvo"], ["/other"]])
def test_attributes_that_have_ended_are_replaced(
    vo: Vo, make_manager: MakeManager, tmp_path: Path, names: list[str]
) -> None:
    present(vo, tmp_path / "proxy", *names, lifetime=-HOUR)
    manager = make_manager()
    manager.path()
    assert attributes_of(manager) == ("/testvo", "/testvo/climate")


def test_creating_a_proxy_replaces_one_with_the_same_attributes(
    vo: Vo, make_manager: MakeManager, tmp_path: Path
) -> None:
    before = present(vo, tmp_path / "proxy", "/testvo", lifetime=4 * HOUR)
    manager = make_manager()
    assert manager.path().read_bytes() == before
    assert manager.create().read_bytes() != before


def test_without_voms_attributes_that_end_before_their_proxy_count(
    vo: Vo, make_manager: MakeManager, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = present(vo, tmp_path / "proxy", "/testvo")
    manager = make_manager("")
    assert manager.path().read_bytes() == before
    assert "is not renewed: it has VOMS attributes" in caplog.text and "or set VOMS" in caplog.text
    present(vo, tmp_path / "proxy", "/testvo", lifetime=timedelta(seconds=-1))
    with pytest.raises(ProxyGenerationError, match="ended at"):
        manager.path()


def test_a_vo_that_gives_short_attributes_is_not_asked_by_each_request(vo: Vo, make_manager: MakeManager) -> None:
    vo.lifetime = HOUR / 2
    manager = make_manager()
    assert len({manager.path().read_bytes() for _ in range(4)}) == 1
    assert len(vo.asked) == 1


def test_what_is_delegated_ends_with_the_attributes(vo: Vo, make_manager: MakeManager) -> None:
    vo.lifetime = 2 * HOUR
    manager = make_manager()
    built = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(rsa_key("ce"), hashes.SHA256())
    made = load_certificates(manager.sign(built.public_bytes(serialization.Encoding.PEM)))
    # To the second: one that ended before could be renewed again and again, without lasting longer.
    assert made[0].not_valid_after_utc == manager.expires()
    assert made[1].not_valid_after_utc > made[0].not_valid_after_utc + 9 * HOUR


# By arcproxy


@pytest.fixture
def arcproxy(tmp_path: Path) -> Callable[..., str]:
    """Makes a program that notes its arguments, says something, and copies a file to where the proxy is to be."""

    def make(says: str = "", code: int = 0, made: bytes = b"") -> str:
        (tmp_path / "made").write_bytes(made)
        (tmp_path / "says").write_text(says)
        program = tmp_path / "arcproxy"
        copy = f"cat {tmp_path}/made >${{a#--proxy=}}" if made else ":"
        look = f'case "$a" in --proxy=*) {copy};; --vomses=*) cp "${{a#--vomses=}}" {tmp_path}/vomses;; esac'
        program.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/arguments\nfor a; do {look}; done\ncat {tmp_path}/says\n'
            f"exit {code}\n"
        )
        program.chmod(0o700)
        return str(program)

    return make


def test_arcproxy_is_given_the_attributes_and_the_servers(
    vo: Vo, make_manager: MakeManager, arcproxy: Callable[..., str], tmp_path: Path
) -> None:
    vo.write_vomses(more=line("second.example.org") + line("other", vo="other"))
    made = present(vo, tmp_path / "proxy", ROLE, lifetime=4 * HOUR)
    (tmp_path / "proxy").unlink()
    manager = make_manager("testvo:/climate/Role=production", ARCPROXY_PATH=arcproxy(made=made))
    manager.path()
    assert attributes_of(manager) == (ROLE,)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert f"--voms=testvo:{ROLE}" in arguments and "--constraint=vomsACvalidityPeriod=43200" in arguments
    assert (tmp_path / "vomses").read_text() == line("second.example.org") + line(
        "localhost", port=vo.server.port, name=vo.subject
    )


def test_without_voms_arcproxy_is_asked_for_no_attributes(
    vo: Vo, make_manager: MakeManager, arcproxy: Callable[..., str], tmp_path: Path
) -> None:
    made = present(vo, tmp_path / "proxy")
    (tmp_path / "proxy").unlink()
    make_manager("", ARCPROXY_PATH=arcproxy(made=made)).path()
    assert "--voms" not in (tmp_path / "arguments").read_text()


def test_a_success_of_arcproxy_without_attributes_is_none(
    vo: Vo, make_manager: MakeManager, arcproxy: Callable[..., str], tmp_path: Path
) -> None:
    made = present(vo, tmp_path / "proxy")
    (tmp_path / "proxy").unlink()
    said = "ERROR: VOMS: Can not parse AC\nFailed to add VOMS AC extension. Your proxy may be incomplete.\n"
    told = refused(make_manager(ARCPROXY_PATH=arcproxy(said, made=made)))
    assert told.startswith("the VO testvo gives no VOMS attributes, and VOMS asks for /testvo; ask the VO")


@pytest.mark.parametrize(
    ("collected", "told"),
    [
        ("TCP: GENERIC_ERROR (Failed to connect to a(IPv4):1)", "does not answer: Failed to connect to a(IPv4):1; try"),
        ("HTTP: GENERIC_ERROR (Connection was closed)", "does not answer: Connection was closed; try again later"),
        ("TLS: GENERIC_ERROR (self-signed certificate)", "is not trusted: self-signed certificate; CERTS_DIR must"),
        ("TLS: GENERIC_ERROR (tlsv1 alert unknown ca)", "refuses the certificate: tlsv1 alert unknown ca"),
        ("VOMS: GENERIC_ERROR (NoSuchUser: not x)", "refuses: NoSuchUser: not x; ask the VO testvo whether your"),
        ("VOMS: GENERIC_ERROR (NoSuchAttribute: a \x1b[1m)", "refuses: NoSuchAttribute: a  [1m; ask the VO testvo for"),
        ("VOMS: GENERIC_ERROR (Response is not recognized as XML)", "answers with something else than attributes"),
        ("VOMS: STATUS_OK", "answers with something else than attributes"),
    ],
)
def test_what_arcproxy_says_of_a_server_is_one_clear_line(
    vo: Vo, make_manager: MakeManager, arcproxy: Callable[..., str], collected: str, told: str
) -> None:
    said = (
        "Your identity: /O=Test\nThe VOMS server with the information:\n\t...\ncan not be reached, please make sure it "
        f"is available.\nCollected error is:\n\t{collected}\nProxy generation failed: Failed to retrieve VOMS "
        "information.\n"
    )
    line_told = refused(make_manager(ARCPROXY_PATH=arcproxy(said, code=1)))
    assert f"the VO testvo gives no attributes: its server localhost:{vo.server.port} {told}" in line_told


def test_of_several_servers_the_one_that_says_no_is_told(
    vo: Vo, make_manager: MakeManager, arcproxy: Callable[..., str]
) -> None:
    vo.write_vomses(more=line("dead"))
    said = "".join(
        f"Collected error is:\n\t{told}\n"
        for told in ("TCP: GENERIC_ERROR (gone)", "VOMS: GENERIC_ERROR (NoSuchUser: unknown)")
    )
    told = refused(make_manager(ARCPROXY_PATH=arcproxy(said, code=1)))
    assert f"its server localhost:{vo.server.port} refuses: NoSuchUser: unknown" in told
