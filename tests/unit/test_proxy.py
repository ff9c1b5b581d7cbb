"""The proxy manager: makes, reuses and renews proxies; takes no file that is not its user's own."""

from __future__ import annotations

import errno
import getpass
import io
import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from pki import DAY, Pki, certificate, key_pem, pem, rsa_key, voms_proxy

from jasmin_arc._support.text import utc
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.credentials import arcproxy, proxy
from jasmin_arc.credentials import rfc3820 as proxy_certificate
from jasmin_arc.credentials.proxy import ProxyManager
from jasmin_arc.credentials.proxy_file import read_proxy
from jasmin_arc.credentials.user_certificate import read_key, read_key_pair
from jasmin_arc.exceptions import ProxyGenerationError

HOUR = timedelta(hours=1)
LOG = logging.getLogger("test")
EC_KEY = ec.generate_private_key(ec.SECP256R1())
MakeManager = Callable[..., ProxyManager]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.write("usercert.pem", pem(made.user()))
    made.write("userkey.pem", key_pem(rsa_key()))
    return made


@pytest.fixture
def make_manager(pki: Pki) -> MakeManager:
    def make(passphrase: Any = None, **options: Any) -> ProxyManager:
        defaults = {
            "ARCPROXY_PATH": "/nowhere/arcproxy",
            "CLIENT_CERT": str(pki.folder / "usercert.pem"),
            "CLIENT_KEY": str(pki.folder / "userkey.pem"),
            "PROXY_FILE": str(pki.folder / "proxy"),
        }
        config = ConnectionConfig({key: str(value) for key, value in {**defaults, **options}.items()})
        return ProxyManager(config, LOG, passphrase=passphrase)

    return make


def a_proxy(pki: Pki, *, lifetime: timedelta = 2 * HOUR, name: str = "Jane Doe") -> bytes:
    return proxy_certificate.make_proxy([pki.user(name)], rsa_key(), lifetime=lifetime)


def a_voms_proxy(pki: Pki, *, lifetime: timedelta = 2 * HOUR, name: str = "Jane Doe") -> bytes:
    return voms_proxy(pki.user(name), rsa_key(), lifetime=lifetime)


def a_proxy_of_a_voms_proxy(pki: Pki, *, lifetime: timedelta = 2 * HOUR) -> bytes:
    chain, key = proxy_certificate.load_proxy(a_voms_proxy(pki))
    return proxy_certificate.make_proxy(chain, key, lifetime=lifetime)


def a_legacy_proxy_of_a_voms_proxy(pki: Pki) -> bytes:
    # A proxy of the kind before RFC 3820 is an ordinary certificate, but for its name.
    chain, key = proxy_certificate.load_proxy(a_voms_proxy(pki))
    legacy = certificate("proxy", rsa_key("legacy"), "Jane Doe", key)
    return pem(legacy) + key_pem(rsa_key("legacy")) + pem(*chain)


def a_voms_proxy_with_a_broken_extension(pki: Pki, *, lifetime: timedelta = 2 * HOUR) -> bytes:
    return voms_proxy(pki.user(), rsa_key(), lifetime=lifetime, broken=True)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def program(pki: Pki, script: str) -> Path:
    return pki.write("arcproxy", f"#!/bin/sh\n{script}\n".encode(), 0o700)


def give_away(path: Path) -> Path:
    """Return a file at the path, or elsewhere, that belongs to another user."""
    if os.geteuid() != 0:
        return Path("/etc/hostname")
    path.write_text("theirs")
    os.chown(path, 12345, 12345)
    return path


# Made


def test_a_proxy_is_made_private_and_lasts_as_configured(pki: Pki, make_manager: MakeManager) -> None:
    manager = make_manager()
    assert manager.info() is None
    path = manager.path()
    info = manager.info()
    assert path == pki.folder / "proxy"
    assert mode(path) == 0o600
    assert info is not None
    assert info.identity == "/O=Test/CN=Jane Doe"
    assert info.subject.startswith(info.identity + "/CN=")
    assert timedelta(hours=11.9) < info.time_left <= timedelta(hours=12)
    assert info.not_before < datetime.now(timezone.utc) < info.expires
    assert [entry.name for entry in pki.folder.glob(".arcproxy*")] == []
    pki.verify(*x509.load_pem_x509_certificates(path.read_bytes()))


def test_real_arcproxy_makes_the_same_kind_of_file(pki: Pki, make_manager: MakeManager) -> None:
    if not Path("/usr/bin/arcproxy").exists():
        pytest.skip("arcproxy is not installed; the end-to-end tests need it")
    manager = make_manager(ARCPROXY_PATH="/usr/bin/arcproxy", CERTS_DIR=pki.folder)
    path = manager.path()
    info = manager.info()
    assert mode(path) == 0o600
    assert info is not None
    assert info.identity == "/O=Test/CN=Jane Doe"
    assert timedelta(hours=11.9) < info.time_left < timedelta(hours=12.1)
    pki.verify(*x509.load_pem_x509_certificates(path.read_bytes()))


@pytest.mark.parametrize("key", [rsa_key(), EC_KEY], ids=["rsa", "ec"])
def test_one_file_may_hold_key_certificate_and_chain(pki: Pki, make_manager: MakeManager, key: Any) -> None:
    both = pki.write("both.pem", pem(pki.user_below_middle(key), pki.middle, pki.ca) + key_pem(key))
    path = make_manager(CLIENT_CERT=both, CLIENT_KEY=both).path()
    certs = x509.load_pem_x509_certificates(path.read_bytes())
    assert pki.middle in certs
    assert pki.ca not in certs
    pki.verify(*certs)


def test_arcproxy_gets_paths_and_no_secret(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("made", a_proxy(pki))
    told = pki.folder / "told"
    script = program(
        pki,
        f'printf "%s\\n" "$@" >{told}; cat >>{told}\n'
        f'for a; do case "$a" in --proxy=*) umask 0; cat {pki.folder}/made >"${{a#--proxy=}}";; esac; done',
    )
    pki.write("userkey.pem", key_pem(rsa_key(), b"a $ecret"))
    path = make_manager(passphrase=lambda: "a $ecret", ARCPROXY_PATH=script, CERTS_DIR="/certs; x").path()
    *arguments, last = told.read_text().splitlines()
    assert last == "a $ecret"
    assert f"--cert={pki.folder}/usercert.pem" in arguments
    assert f"--key={pki.folder}/userkey.pem" in arguments
    assert "--cadir=/certs; x" in arguments
    assert "--constraint=validityPeriod=43200" in arguments
    assert "a $ecret" not in " ".join(arguments)
    assert mode(path) == 0o600


def test_a_missing_folder_is_made_private(pki: Pki, make_manager: MakeManager) -> None:
    path = make_manager(PROXY_FILE=pki.folder / ".arc" / "proxy").path()
    assert mode(path.parent) == 0o700


def test_an_odd_umask_changes_nothing(make_manager: MakeManager) -> None:
    before = os.umask(0)
    try:
        assert mode(make_manager().path()) == 0o600
    finally:
        os.umask(before)


# Used again, and renewed


def test_a_proxy_that_lasts_long_enough_is_used_again(make_manager: MakeManager) -> None:
    manager = make_manager()
    first = manager.path().read_bytes()
    assert manager.path().read_bytes() == first
    assert make_manager().path().read_bytes() == first
    assert manager.create().read_bytes() != first


def test_a_proxy_that_ends_soon_is_renewed(pki: Pki, make_manager: MakeManager) -> None:
    old = a_proxy(pki, lifetime=HOUR / 2)
    pki.write("proxy", old)
    manager = make_manager()
    assert manager.path().read_bytes() != old
    info = manager.info()
    assert info is not None
    assert info.time_left > 11 * HOUR


def test_a_new_file_in_the_same_place_is_noticed(pki: Pki, make_manager: MakeManager) -> None:
    manager = make_manager()
    manager.path()
    short = a_proxy(pki, lifetime=HOUR / 2)
    pki.write("proxy", short)
    assert manager.path().read_bytes() != short


@pytest.mark.parametrize("text", [b"", b"nonsense", pem(Pki(Path()).ca)], ids=["empty", "nonsense", "no key"])
def test_a_broken_proxy_is_replaced(pki: Pki, make_manager: MakeManager, text: bytes) -> None:
    pki.write("proxy", text)
    manager = make_manager()
    with pytest.raises(ProxyGenerationError, match="cannot be used: it holds no"):
        manager.info()
    assert read_proxy(manager.path()).time_left > HOUR


def test_a_proxy_that_others_could_read_is_replaced(pki: Pki, make_manager: MakeManager) -> None:
    path = pki.write("proxy", a_proxy(pki), 0o640)
    before = path.read_bytes()
    assert make_manager().path().read_bytes() != before
    assert mode(path) == 0o600


def test_a_proxy_of_another_certificate_is_replaced(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("proxy", a_proxy(pki, name="John Roe"))
    manager = make_manager()
    manager.path()
    info = manager.info()
    assert info is not None
    assert info.identity == "/O=Test/CN=Jane Doe"


def test_a_proxy_alone_is_enough(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("proxy", a_proxy(pki))
    assert make_manager(CLIENT_KEY="/nowhere/key", CLIENT_CERT="/nowhere/cert").path() == pki.folder / "proxy"


def test_a_proxy_that_cannot_be_renewed_is_used_with_one_warning(
    pki: Pki, make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    pki.write("proxy", a_proxy(pki, lifetime=HOUR / 2))
    manager = make_manager(CLIENT_KEY="/nowhere/key")
    assert [manager.path() for _ in range(3)] == [pki.folder / "proxy"] * 3
    (warning,) = caplog.records
    assert "/nowhere/key (CLIENT_KEY) does not exist" in warning.getMessage()


def test_a_proxy_that_is_nearly_over_and_cannot_be_renewed_is_an_error(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("proxy", a_proxy(pki, lifetime=timedelta(seconds=50)))
    with pytest.raises(ProxyGenerationError, match="CLIENT_KEY"):
        make_manager(CLIENT_KEY="/nowhere/key").path()


def test_a_proxy_that_lasts_as_long_as_its_certificate_is_not_renewed_again(
    pki: Pki, make_manager: MakeManager, caplog: pytest.LogCaptureFixture
) -> None:
    pki.write("usercert.pem", pem(pki.user(ends=HOUR / 2)))
    manager = make_manager()
    first = manager.path().read_bytes()
    assert [manager.path().read_bytes() for _ in range(3)] == [first] * 3
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "no proxy can last longer" in warning.getMessage()


def test_threads_make_one_proxy(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("made", a_proxy(pki, lifetime=4 * HOUR))
    count = pki.folder / "count"
    script = program(
        pki,
        f"echo x >>{count}; sleep 0.1\n"
        f'for a; do case "$a" in --proxy=*) cat {pki.folder}/made >"${{a#--proxy=}}";; esac; done',
    )
    manager = make_manager(ARCPROXY_PATH=script)
    threads = [threading.Thread(target=manager.path) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "x\n"


def test_processes_that_renew_together_leave_a_whole_proxy(pki: Pki, make_manager: MakeManager) -> None:
    code = (
        "import logging, sys; from jasmin_arc.config import ConnectionConfig\n"
        "from jasmin_arc.credentials.proxy import *\n"
        "names = 'CLIENT_CERT', 'CLIENT_KEY', 'PROXY_FILE', 'ARCPROXY_PATH'\n"
        "manager = ProxyManager(ConnectionConfig(dict(zip(names, sys.argv[1:]))), logging.getLogger())\n"
        "for _ in range(5): read_proxy(manager.create())"
    )
    names = [str(pki.folder / name) for name in ("usercert.pem", "userkey.pem", "proxy")]
    root = str(Path(arcproxy.__file__).parents[1])
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *names, "/nowhere"], cwd=root, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    problems = [process.communicate()[1] for process in processes]
    assert problems == [b""] * 3
    assert make_manager().info() is not None


def test_destroy_removes_the_file(make_manager: MakeManager) -> None:
    manager = make_manager()
    path = manager.path()
    beside = path.with_name(path.name + ".delegations")
    beside.write_text("{}")
    assert manager.destroy() is True
    assert not path.exists()
    assert not beside.exists()
    assert manager.destroy() is False
    assert manager.path().exists()


def test_a_proxy_is_read_again_only_when_its_file_has_changed(pki: Pki, make_manager: MakeManager) -> None:
    manager = make_manager()
    path = manager.path()
    first = manager.info()
    assert first is not None and manager.info() is first
    pki.write("proxy", a_proxy(pki))
    second = manager.info()
    assert second is not None and second.expires < first.expires
    path.chmod(0o640)
    with pytest.raises(ProxyGenerationError, match="is open to other users"):
        manager.info()
    path.unlink()
    assert manager.info() is None


# With VOMS attributes


@pytest.mark.parametrize("make_proxy", [a_voms_proxy, a_proxy_of_a_voms_proxy, a_voms_proxy_with_a_broken_extension])
def test_a_voms_proxy_is_used_while_it_lasts_with_one_warning_near_its_end(
    pki: Pki, make_manager: MakeManager, caplog: pytest.LogCaptureFixture, make_proxy: Callable[..., bytes]
) -> None:
    manager = make_manager()
    path = pki.write("proxy", make_proxy(pki))
    info = manager.info()
    assert info is not None and info.voms
    assert manager.path() == path and caplog.records == []
    for lifetime in (HOUR / 2, HOUR / 3):
        text = make_proxy(pki, lifetime=lifetime)
        pki.write("new", text).replace(path)
        assert [manager.read() for _ in range(3)] == [text] * 3
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "is not renewed: it has VOMS attributes" in caplog.text and "voms-proxy-init" in caplog.text


@pytest.mark.parametrize(("seconds", "ends"), [(-60, "ended"), (50, "ends")])
def test_a_voms_proxy_that_has_ended_is_not_replaced_unasked(
    pki: Pki, make_manager: MakeManager, seconds: int, ends: str
) -> None:
    text = a_voms_proxy(pki, lifetime=timedelta(seconds=seconds))
    path = pki.write("proxy", text)
    manager = make_manager()
    info = manager.info()
    assert info is not None
    for _ in range(2):
        with pytest.raises(ProxyGenerationError) as caught:
            manager.path()
    assert f"the proxy {path} {ends} at {utc(info.expires)}, and is not renewed" in str(caught.value)
    assert "'arcproxy -S'" in str(caught.value) and "'jasmin-arc proxy destroy'" in str(caught.value)
    assert path.read_bytes() == text


def test_creating_a_proxy_replaces_no_voms_proxy_but_one_that_has_ended(pki: Pki, make_manager: MakeManager) -> None:
    text = a_voms_proxy(pki, lifetime=timedelta(seconds=30))
    path = pki.write("proxy", text)
    manager = make_manager()
    with pytest.raises(ProxyGenerationError, match=r"is not replaced: it has VOMS.*'jasmin-arc proxy destroy'"):
        manager.create()
    assert path.read_bytes() == text
    pki.write("new", a_voms_proxy(pki, lifetime=-HOUR)).replace(path)
    manager.create()
    info = manager.info()
    assert info is not None and not info.voms and info.time_left > HOUR


def test_a_plain_proxy_is_made_once_the_voms_proxy_is_destroyed(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("proxy", a_voms_proxy(pki, lifetime=-HOUR))
    manager = make_manager()
    manager.destroy()
    assert not read_proxy(manager.path()).voms


def test_a_voms_proxy_that_cannot_be_used_is_not_replaced_either(pki: Pki, make_manager: MakeManager) -> None:
    manager = make_manager()
    for permissions, name, message in (
        (0o640, "Jane Doe", "is open to other users"),
        (0o600, "John Roe", r"for /O=Test/CN=John Roe, not for CLIENT_CERT's /O=Test/CN=Jane Doe; set CLIENT_CERT"),
    ):
        text = a_voms_proxy(pki, name=name)
        path = pki.write("proxy", text, permissions)
        with pytest.raises(ProxyGenerationError, match=message):
            manager.path()
        assert path.read_bytes() == text


@pytest.mark.parametrize("cannot_be_used", ["others read it", "no key"])
def test_creating_a_proxy_replaces_no_voms_proxy_that_cannot_be_used(
    pki: Pki, make_manager: MakeManager, cannot_be_used: str
) -> None:
    text = a_voms_proxy(pki)
    if cannot_be_used == "no key":
        text = pem(*x509.load_pem_x509_certificates(text))
    path = pki.write("proxy", text, 0o600 if cannot_be_used == "no key" else 0o640)
    with pytest.raises(ProxyGenerationError, match=r"is open to other users|holds no PEM private key"):
        make_manager().create()
    assert path.read_bytes() == text


@pytest.mark.parametrize("make_proxy", [a_legacy_proxy_of_a_voms_proxy, a_voms_proxy_with_a_broken_extension])
def test_voms_attributes_are_found_anywhere_in_the_file(
    pki: Pki, make_manager: MakeManager, make_proxy: Callable[..., bytes]
) -> None:
    text = make_proxy(pki)
    path = pki.write("proxy", text)
    assert read_proxy(path).voms
    with pytest.raises(ProxyGenerationError, match="is not replaced: it has VOMS"):
        make_manager().create()
    assert path.read_bytes() == text


def test_a_voms_proxy_that_others_can_read_and_that_is_made_meanwhile_stays(
    pki: Pki, make_manager: MakeManager
) -> None:
    text = a_voms_proxy(pki)
    voms, plain = pki.write("voms", text, 0o640), pki.write("plain", a_proxy(pki))
    script = program(
        pki,
        f"cp -p {voms} {pki.folder}/proxy\n"
        f'for a; do case "$a" in --proxy=*) cat {plain} >"${{a#--proxy=}}";; esac; done',
    )
    with pytest.raises(ProxyGenerationError, match="is open to other users"):
        make_manager(ARCPROXY_PATH=script).path()
    assert (pki.folder / "proxy").read_bytes() == text


def test_a_voms_proxy_that_is_made_while_we_make_a_plain_one_stays(pki: Pki, make_manager: MakeManager) -> None:
    text = a_voms_proxy(pki)
    voms, plain = pki.write("voms", text), pki.write("plain", a_proxy(pki))
    script = program(
        pki,
        f"cp -p {voms} {pki.folder}/proxy\n"
        f'for a; do case "$a" in --proxy=*) cat {plain} >"${{a#--proxy=}}";; esac; done',
    )
    manager = make_manager(ARCPROXY_PATH=script)
    with pytest.raises(ProxyGenerationError, match="is not replaced: it has VOMS"):
        manager.path()
    assert manager.read() == text


# Its content


def test_the_content_of_the_proxy_is_read_made_first_where_there_is_none(make_manager: MakeManager) -> None:
    manager = make_manager()
    content = manager.read()
    assert content == manager.path().read_bytes() == manager.read()
    assert b"PRIVATE KEY" in content


@pytest.mark.parametrize("what", ["gone", "open", "broken", "a link", "a pipe", "a folder", "somebody else's"])
def test_a_file_that_changes_before_it_is_read_is_a_proxy_error(pki: Pki, make_manager: MakeManager, what: str) -> None:
    path = make_manager().path()
    text = path.read_bytes()

    class Meddled(ProxyManager):
        def path(self) -> Path:
            found = super().path()
            found.unlink()
            if what == "open":
                pki.write("proxy", text, 0o644)
            elif what == "broken":
                pki.write("proxy", text[:1000])
            elif what == "a link":
                found.symlink_to(pki.write("other", text))
            elif what == "a pipe":
                os.mkfifo(found, 0o600)
            elif what == "a folder":
                found.mkdir()
            return give_away(found) if what == "somebody else's" else found

    manager = Meddled(make_manager()._config, LOG)
    with pytest.raises(ProxyGenerationError, match="the proxy /"):
        manager.read()


# Places


@pytest.fixture
def default_path(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the default path in /tmp, in a home with no XDG_RUNTIME_DIR."""
    path = pki.folder / "arcproxy_file"
    monkeypatch.setattr(ConnectionConfig, "PROXY_FILE", str(path))
    monkeypatch.setenv("HOME", str(pki.folder))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return path


@pytest.fixture
def manager_with_default(pki: Pki, default_path: Path) -> ProxyManager:
    options = {"CLIENT_CERT": "usercert.pem", "CLIENT_KEY": "userkey.pem"}
    paths = {name: str(pki.folder / file) for name, file in options.items()}
    return ProxyManager(ConnectionConfig({**paths, "ARCPROXY_PATH": "/nowhere"}), LOG)


def test_the_default_path_is_taken_where_it_is_free(manager_with_default: ProxyManager, default_path: Path) -> None:
    assert manager_with_default.path() == default_path


def test_a_link_at_the_default_path_is_left_alone(
    pki: Pki, manager_with_default: ProxyManager, default_path: Path
) -> None:
    victim = pki.write("victim", b"precious")
    default_path.symlink_to(victim)
    path = manager_with_default.path()
    assert path == pki.folder / ".arc" / "arcproxy_file"
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert victim.read_bytes() == b"precious"
    assert default_path.is_symlink()
    assert manager_with_default.destroy() is True
    assert default_path.is_symlink()


def test_the_file_of_another_user_at_the_default_path_is_left_alone(
    pki: Pki, manager_with_default: ProxyManager, default_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = give_away(default_path)
    monkeypatch.setattr(ConnectionConfig, "PROXY_FILE", str(theirs))
    manager_with_default._config.PROXY_FILE = str(theirs)
    before = theirs.read_bytes()
    assert manager_with_default.path() == pki.folder / ".arc" / "arcproxy_file"
    assert theirs.read_bytes() == before


@pytest.mark.parametrize(("permissions", "used"), [(0o700, True), (0o755, False)])
def test_the_runtime_folder_is_preferred_where_it_is_private(
    pki: Pki,
    manager_with_default: ProxyManager,
    default_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    permissions: int,
    used: bool,
) -> None:
    default_path.mkdir()
    runtime = pki.folder / "run"
    runtime.mkdir()
    runtime.chmod(permissions)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert (manager_with_default.path() == runtime / "arcproxy_file") is used


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe", "another user's"])
def test_what_is_not_a_file_of_ours_at_a_chosen_path_is_refused(pki: Pki, make_manager: MakeManager, kind: str) -> None:
    path = pki.folder / "chosen"
    if kind.endswith("link"):
        path.symlink_to(pki.write("other", a_proxy(pki)) if kind == "link" else pki.folder / "nothing")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = give_away(path)
    manager = make_manager(PROXY_FILE=path)
    for call in (manager.path, manager.create, manager.info, manager.destroy):
        with pytest.raises(ProxyGenerationError, match=r"\(PROXY_FILE\) is a link, not a file, or belongs to"):
            call()
    assert os.path.lexists(path)
    assert not (pki.folder / "nothing").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing"])
def test_read_proxy_follows_no_link_and_does_not_block(pki: Pki, kind: str) -> None:
    path = pki.folder / "present"
    if kind == "link":
        path.symlink_to(pki.write("real", a_proxy(pki)))
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ProxyGenerationError, match=str(path)):
        read_proxy(path)


# What is wrong, and what to do


@pytest.mark.parametrize(
    ("name", "text", "permissions", "message"),
    [
        ("userkey.pem", None, 0, r"private key \S+/userkey.pem \(CLIENT_KEY\) does not exist"),
        ("usercert.pem", None, 0, r"certificate \S+/usercert.pem \(CLIENT_CERT\) does not exist"),
        ("userkey.pem", key_pem(rsa_key()), 0o644, r"is open to every user .*; run: chmod 600 \S+/userkey.pem"),
        ("userkey.pem", b"junk", 0o600, r"\(CLIENT_KEY\) holds no PEM private key; .*openssl pkcs12"),
        ("usercert.pem", b"junk", 0o600, r"\(CLIENT_CERT\) holds no valid PEM certificate; .*openssl pkcs12"),
        ("userkey.pem", key_pem(rsa_key("other")), 0o600, r"\(CLIENT_KEY\) does not belong to the certificate"),
        ("userkey.pem", key_pem(rsa_key(), b"x"), 0o600, r"is encrypted, and there is no terminal .*openssl pkey"),
        (
            "usercert.pem",
            pem(Pki(Path()).user(starts=-2 * DAY, ends=-DAY)),
            0o600,
            r"\(CLIENT_CERT\) expired at 2\d{3}-\d\d-\d\d \d\d:\d\d UTC; ask your certificate authority",
        ),
        ("usercert.pem", pem(Pki(Path()).user(starts=DAY, ends=2 * DAY)), 0o600, r"not valid before .*check the clock"),
    ],
    ids=[
        "no key",
        "no certificate",
        "open key",
        "broken key",
        "broken certificate",
        "not a pair",
        "encrypted",
        "expired",
        "not yet",
    ],
)
def test_the_message_names_the_file_and_what_to_do(
    pki: Pki, make_manager: MakeManager, name: str, text: bytes | None, permissions: int, message: str
) -> None:
    (pki.folder / name).unlink()
    if text is not None:
        pki.write(name, text, permissions)
    with pytest.raises(ProxyGenerationError, match=message):
        make_manager().path()
    assert not (pki.folder / "proxy").exists()


def test_a_missing_certificate_helps_those_who_have_none(
    make_manager: MakeManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    def told(**options: object) -> str:
        with pytest.raises(ProxyGenerationError, match="ask your site which authority issues certificates") as caught:
            make_manager(CLIENT_CERT="/nowhere/cert", **options).path()
        return str(caught.value)

    assert told().endswith("to try without one: backend='local'")
    (tmp_path / "sbatch").touch(mode=0o755)
    assert "for jobs with Slurm, which is on this machine, none is needed: backend='slurm'" in told()
    # Who names a compute element means it.
    assert told(ARC_SERVER="ce.example.org").endswith("to try without one: backend='local'")


def test_a_key_and_a_certificate_that_are_swapped_are_told_as_such(pki: Pki, make_manager: MakeManager) -> None:
    cert, key = pki.folder / "usercert.pem", pki.folder / "userkey.pem"
    cert.chmod(0o644)
    swapped = make_manager(CLIENT_CERT=key, CLIENT_KEY=cert)
    with pytest.raises(ProxyGenerationError, match=r"exchange the values of the two options$"):
        swapped.path()
    with pytest.raises(ProxyGenerationError, match=r"exchange the values of the two options$"):
        read_key(swapped._config, None)
    # Here only one of the two is wrong.
    for config in ({"CLIENT_CERT": key}, {"CLIENT_KEY": cert}):
        with pytest.raises(ProxyGenerationError) as caught:
            make_manager(**config).path()
        assert "exchange" not in str(caught.value)


def test_folders_and_pipes_are_no_keys(pki: Pki, make_manager: MakeManager) -> None:
    os.mkfifo(pki.folder / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(ProxyGenerationError, match="CLIENT_KEY"):
            make_manager(CLIENT_KEY=pki.folder / name).path()


def test_an_encrypted_key_is_opened_with_the_given_passphrase(pki: Pki, make_manager: MakeManager) -> None:
    pki.write("userkey.pem", key_pem(rsa_key(), b"secret"))
    assert make_manager(passphrase=lambda: "secret").path().exists()
    with pytest.raises(ProxyGenerationError, match="the passphrase is wrong") as caught:
        make_manager(passphrase=lambda: "guess").create()
    assert "guess" not in str(caught.value)
    assert "openssl" not in str(caught.value)


@pytest.fixture
def prompts(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A key with a passphrase, and a user at a terminal who types it; what the user is asked."""
    terminal = io.StringIO()
    asked: list[str] = []
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: asked.append(prompt) or "secret")
    pki.write("userkey.pem", key_pem(rsa_key(), b"secret"))
    return asked


def test_a_terminal_is_asked_for_the_passphrase(pki: Pki, make_manager: MakeManager, prompts: list[str]) -> None:
    manager = make_manager()
    manager.path()
    manager.path()
    assert prompts == [f"Passphrase of {pki.folder}/userkey.pem: "]


@pytest.mark.parametrize(("typed", "asked"), [(["", "guess", "secret"], 3), (["secret"], 1), (["guess"] * 9, 3)])
def test_a_terminal_is_asked_again_after_a_wrong_passphrase(
    make_manager: MakeManager, prompts: list[str], monkeypatch: pytest.MonkeyPatch, typed: list[str], asked: int
) -> None:
    answers = iter(typed)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: prompts.append(prompt) or next(answers))
    if "secret" in typed:
        make_manager().path()
    else:
        with pytest.raises(ProxyGenerationError, match=r"the passphrase is wrong$"):
            make_manager().path()
    assert len(prompts) == asked
    assert [prompt.startswith("Wrong passphrase, try again. ") for prompt in prompts] == [False, *[True] * (asked - 1)]


def test_nobody_is_asked_for_a_passphrase_in_the_background(make_manager: MakeManager, prompts: list[str]) -> None:
    errors: list[Exception] = []

    def ask() -> None:
        try:
            make_manager().path()
        except ProxyGenerationError as error:
            errors.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(20)
    assert "in the background; run 'jasmin-arc proxy create'" in str(errors[0])
    assert prompts == []


def test_a_folder_that_cannot_be_made_is_named(pki: Pki, make_manager: MakeManager) -> None:
    with pytest.raises(ProxyGenerationError, match=r"/a/b/proxy \(PROXY_FILE\) cannot be written: No such file"):
        make_manager(PROXY_FILE=pki.folder / "a" / "b" / "proxy").path()


@pytest.mark.parametrize("program_path", ["/nowhere", "/bin/true"], ids=["native", "arcproxy"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named(
    make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, number: int, program_path: str
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(proxy, "write_own_file", full)
    with pytest.raises(ProxyGenerationError, match=r"there is no space, or no quota, left in .*PROXY_FILE"):
        make_manager(ARCPROXY_PATH=program_path).path()


# arcproxy that goes wrong


def test_what_arcproxy_says_is_in_the_error(pki: Pki, make_manager: MakeManager) -> None:
    script = program(pki, r"echo 'WARNING: no matter'; printf 'ERROR: \033[1mno\a luck\n' >&2; exit 1")
    with pytest.raises(ProxyGenerationError) as caught:
        make_manager(ARCPROXY_PATH=script).path()
    assert str(caught.value) == f"cannot create a proxy: {script} failed: ERROR:  [1mno  luck"
    assert list(pki.folder.glob(".arcproxy*")) == []


def test_arcproxy_that_makes_nothing_or_nonsense_is_an_error(pki: Pki, make_manager: MakeManager) -> None:
    with pytest.raises(ProxyGenerationError, match="failed: exit code 0"):
        make_manager(ARCPROXY_PATH=program(pki, "true")).path()
    nonsense = 'for a; do case "$a" in --proxy=*) echo nonsense >"${a#--proxy=}";; esac; done'
    with pytest.raises(ProxyGenerationError, match="holds no"):
        make_manager(ARCPROXY_PATH=program(pki, nonsense)).path()
    assert not (pki.folder / "proxy").exists()


def test_arcproxy_that_cannot_be_run_is_named(pki: Pki, make_manager: MakeManager) -> None:
    script = pki.write("arcproxy", b"\x7fnot a program", 0o700)
    with pytest.raises(ProxyGenerationError, match=r"\(ARCPROXY_PATH\) cannot be run"):
        make_manager(ARCPROXY_PATH=script).path()


@pytest.mark.parametrize(
    "script",
    ["sleep 60", "sleep 60 & sleep 60", "exec >&- 2>&-; sleep 60", "yes"],
    ids=["hangs", "hangs with a child", "hangs in silence", "writes without end"],
)
def test_arcproxy_that_does_not_end_is_ended(
    pki: Pki, make_manager: MakeManager, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(arcproxy, "TIMEOUT", 0.3)
    with pytest.raises(ProxyGenerationError, match="did not end within"):
        make_manager(ARCPROXY_PATH=program(pki, script)).path()


def test_no_secret_is_in_a_repr_or_a_log(pki: Pki, make_manager: MakeManager, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pki.write("userkey.pem", key_pem(rsa_key(), b"hunter2"))
    manager = make_manager(passphrase=lambda: "hunter2")
    pair = read_key_pair(manager._config, passphrase=lambda: "hunter2")
    text = repr(pair) + repr(manager.path()) + repr(manager.info()) + repr(manager) + caplog.text
    assert "hunter2" not in text
    assert "PRIVATE" not in text
