"""What keeps a first job from running is found, and told with a remedy."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.https_server import Certificates, HttpsServer, Reply
from job_list_kit import add
from pki import Pki, attribute_certificate, key_pem, pem, rsa_key, voms_proxy

from jasmin_arc.credentials.rfc3820 import make_proxy
from jasmin_arc.credentials.voms import extension
from jasmin_arc.doctor import Check, Outcome, examine
from jasmin_arc.job_list import JobList, JobRecord


def by_name(last: str = "", **options: Any) -> dict[str, Check]:
    """The checks by name, up to the last one that matters."""
    checks = {}
    for check in examine(config=options):
        checks[check.name] = check
        if check.name == last:
            break
    return checks


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    look_up = socket.getaddrinfo

    def without_waiting(host: str, *args: Any, **options: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", without_waiting)


def test_this_machine_is_ready() -> None:
    checks = by_name(BACKEND="local")
    assert list(checks) == ["configuration", "shell", "job folder", "job list"]
    assert {check.outcome for check in checks.values()} == {Outcome.OK}
    assert "~/.arc/jobs.dat" in checks["job list"].found


def test_a_configuration_that_cannot_be_read_ends_the_examination(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    (check,) = examine(tmp_path / "config.json")
    assert (check.name, check.outcome) == ("configuration", Outcome.FAILED)
    assert check.remedy


def test_misspelt_options_are_a_warning_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(
        '{"BACKEND": "local", "ARC_SEVER": "ce.example.org", "colour\\n": "red", "# ARC_SEVER": "a comment"}'
    )
    monkeypatch.setenv("JASMIN_ARC_TIMEOUTS", "5")
    check = next(examine(path))
    assert (check.name, check.outcome) == ("configuration", Outcome.WARNING)
    assert check.found.endswith(
        "these names are not options and have no effect: ARC_SEVER (~/config.json), colour (~/config.json), "
        "TIMEOUTS (the environment variable JASMIN_ARC_TIMEOUTS)"
    )
    assert check.remedy == (
        "Rename ARC_SEVER to ARC_SERVER. Remove colour. Rename TIMEOUTS to TIMEOUT. 'jasmin-arc config show' lists "
        "the options."
    )
    assert capfd.readouterr().err == ""
    checks = by_name(BACKEND="rest", ARC_SERVER="ce.invalid", ARC_SEVER="ce.example.org")
    assert checks["configuration"].outcome == Outcome.WARNING
    assert "the compute element is https://ce.invalid:443/arex" in checks["configuration"].found


def test_slurm_on_this_machine_is_advice_where_nothing_says_where_jobs_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("JASMIN_ARC_CONFIG", "JASMIN_ARC_BACKEND", "JASMIN_ARC_ARC_SERVER"):
        monkeypatch.delenv(variable, raising=False)

    def second(**options: Any) -> Check:
        checks = examine(config={"CERTS_DIR": str(tmp_path), "PROXY_FILE": str(tmp_path / "proxy"), **options})
        return [next(checks), next(checks)][1]

    assert second().name != "Slurm"
    (tmp_path / "sbatch").touch(mode=0o755)
    assert (second().name, second().outcome) == ("Slurm", Outcome.FAILED)
    assert "set BACKEND to slurm" in second().remedy
    assert "jasmin-arc config init --backend slurm" in second().remedy
    assert [second(ARC_SERVER="ce.invalid").name, second(BACKEND="rest").name] == ["bindings", "certificate"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = by_name(BACKEND="local", JOBS_INFO_FILE=str(tmp_path / "file" / "jobs.dat"))["job list"]
    assert check.outcome == Outcome.FAILED
    assert "JOBS_INFO_FILE" in check.remedy


def test_a_broken_job_list(tmp_path: Path) -> None:
    (tmp_path / "jobs.dat").write_text("this is no database" * 100)
    assert by_name(BACKEND="local", JOBS_INFO_FILE=str(tmp_path / "jobs.dat"))["job list"].outcome == Outcome.FAILED


def test_jobs_are_counted_without_their_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "jobs.dat"
    ids = [f"https://ce.example.org/arex/{number}" for number in range(3)]
    add(
        JobList(path),
        (JobRecord(token=job_id, endpoint="https://ce.example.org/arex", name="", id=job_id) for job_id in ids),
    )
    monkeypatch.delattr(JobList, "get")
    assert "has 3 jobs" in by_name(BACKEND="local", JOBS_INFO_FILE=str(path))["job list"].found


def test_nothing_there(tmp_path: Path) -> None:
    checks = by_name(
        BACKEND="rest",
        ARC_SERVER="ce.invalid",
        CERTS_DIR=str(tmp_path / "none"),
        PROXY_FILE=str(tmp_path / "proxy"),
    )
    outcomes = {name: check.outcome for name, check in checks.items()}
    assert outcomes == {
        "configuration": "ok",
        "certificate": "failed",
        "private key": "failed",
        "CA certificates": "failed",
        "credentials": "skipped",
        "name resolution": "failed",
        "TLS": "skipped",
        "REST interface": "skipped",
        "clock": "skipped",
        "queues": "skipped",
        "job list": "ok",
    }
    assert all(check.remedy for check in checks.values() if check.outcome == "failed")
    assert "CLIENT_KEY" in checks["private key"].found
    assert "certificate and its key" in checks["credentials"].found


def test_the_credentials_one_by_one(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    cert = pki.write("cert.pem", pem(pki.user()))
    key = pki.write("key.pem", key_pem(rsa_key()))
    other = pki.write("other.pem", key_pem(rsa_key("other")))
    secret = pki.write("secret.pem", key_pem(rsa_key(), b"secret"))
    old = pki.write("old.pem", pem(pki.user(starts=-timedelta(days=2), ends=-timedelta(days=1))))
    far = pki.write("far.pem", pem(pki.user(ends=timedelta(days=100))))
    early = pki.write("early.pem", pem(pki.user(starts=timedelta(days=1), ends=timedelta(days=2))))

    def look(cert: Path, key: Path) -> tuple[Check, Check]:
        checks = by_name(
            "private key",
            BACKEND="rest",
            ARC_SERVER="ce.invalid",
            CLIENT_CERT=str(cert),
            CLIENT_KEY=str(key),
            PROXY_FILE=str(tmp_path / "proxy"),
        )
        return checks["certificate"], checks["private key"]

    assert [check.outcome for check in look(far, key)] == ["ok", "ok"]
    assert look(cert, key)[0].outcome == "warning"
    assert "/CN=Jane Doe" in look(far, key)[0].found
    assert "expired" in look(old, key)[0].found
    assert "clock" in look(early, key)[0].remedy
    assert [check.outcome for check in look(old, key)] == ["failed", "ok"]
    assert [check.outcome for check in look(tmp_path / "none.pem", key)] == ["failed", "ok"]
    assert "no certificate to compare" in look(tmp_path / "none.pem", key)[1].found
    assert "does not belong" in look(old, other)[1].found
    assert look(tmp_path / "none.pem", secret)[1].outcome == "warning"
    assert "does not belong" in look(far, other)[1].found
    assert look(far, secret)[1].outcome == "warning"
    key.chmod(0o644)
    check = look(far, key)[1]
    assert check.outcome == "failed"
    assert "chmod 600" in check.remedy


def look_at_proxy(tmp_path: Path, content: bytes, *, mode: int = 0o600) -> Check:
    """What is said of a proxy of a user who has neither a certificate nor a key."""
    path = tmp_path / "proxy"
    path.write_bytes(content)
    path.chmod(mode)
    return by_name("credentials", BACKEND="rest", ARC_SERVER="ce.invalid", PROXY_FILE=str(path))["credentials"]


def test_a_token_that_a_broken_certificate_keeps_from_being_used_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "some")
    options = {"CLIENT_CERT": tmp_path / "none.pem", "PROXY_FILE": tmp_path / "proxy"}
    found = by_name("credentials", ARC_SERVER="localhost:1", **options)["credentials"]
    assert (found.outcome, found.remedy) == ("failed", "Set AUTH to token to use it.")
    without = by_name("credentials", ARC_SERVER="localhost:1", AUTH="certificate", **options)["credentials"]
    assert without.outcome == "skipped"


def test_a_user_with_nothing_but_a_proxy_is_told_what_is_wrong_with_it(tmp_path: Path) -> None:
    user = Pki(tmp_path).user()
    ended = look_at_proxy(tmp_path, voms_proxy(user, rsa_key(), lifetime=-timedelta(hours=1)))
    assert (ended.outcome, "VOMS attributes" in ended.found, "ended at" in ended.found) == (Outcome.FAILED, True, True)
    assert "voms-proxy-init" in ended.remedy
    usable = voms_proxy(user, rsa_key(), lifetime=timedelta(hours=2))
    assert look_at_proxy(tmp_path, usable).outcome == Outcome.OK
    assert "open to other users" in look_at_proxy(tmp_path, usable, mode=0o640).found
    plain = look_at_proxy(tmp_path, make_proxy([user], rsa_key(), lifetime=timedelta(seconds=30)))
    assert (plain.outcome, "valid until" in plain.found) == (Outcome.FAILED, True)
    assert "certificate and its key" in plain.found
    assert "bring a new proxy" in plain.remedy


def test_a_voms_proxy_that_ends_soon_is_a_warning(tmp_path: Path) -> None:
    soon = voms_proxy(Pki(tmp_path).user(), rsa_key(), lifetime=timedelta(minutes=30))
    check = look_at_proxy(tmp_path, soon)
    assert (check.outcome, "ends soon" in check.found) == (Outcome.WARNING, True)
    assert "arcproxy -S" in check.remedy


def test_the_doctor_tells_the_attributes_and_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, vomses = Pki(tmp_path).user(), tmp_path / "vomses"
    wrapped = extension(attribute_certificate(user, "/testvo/climate"))
    (tmp_path / "proxy").touch(mode=0o600)
    (tmp_path / "proxy").write_bytes(voms_proxy(user, rsa_key(), lifetime=timedelta(hours=2), attributes=wrapped))
    options = {"BACKEND": "rest", "ARC_SERVER": "ce.invalid", "PROXY_FILE": str(tmp_path / "proxy")}
    monkeypatch.setenv("X509_VOMSES", str(vomses))
    assert "VOMS" not in by_name(**options)
    vomses.write_text('"testvo" "voms.example.org" "15000" "/CN=voms" "testvo"')
    checks = by_name(VOMS="testvo", **options)
    assert (checks["VOMS"].outcome, checks["credentials"].outcome) == (Outcome.OK, Outcome.OK)
    assert checks["VOMS"].found == "testvo is asked for at voms.example.org:15000, which ~/vomses names"
    assert ", VOMS: /testvo/climate, valid until" in checks["credentials"].found
    checks = by_name(VOMS="other", **options)
    assert "no vomses file knows the VO other" in checks["VOMS"].found and "ask the VO" in checks["VOMS"].remedy
    assert "has VOMS: /testvo/climate, and VOMS asks for /other" in checks["credentials"].found


def test_a_report_holds_no_secrets(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    key.chmod(0o600)
    report = repr(list(examine(config={"BACKEND": "rest", "ARC_SERVER": "ce.invalid", "CLIENT_KEY": str(key)})))
    assert "c2VjcmV0" not in report
    address = "https://jane:hunter2@ce.invalid/arex?token=hunter2"
    assert "hunter2" not in repr(list(examine(config={"BACKEND": "rest", "ARC_SERVER": address})))


def test_a_server_that_is_not_there_is_not_blamed_on_the_certificate(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("localhost", 0))
        server = f"localhost:{nobody.getsockname()[1]}/arex"
        checks = by_name(BACKEND="rest", ARC_SERVER=server, CERTS_DIR=str(tmp_path), PROXY_FILE=str(tmp_path / "proxy"))
    assert checks["TLS"].outcome == Outcome.FAILED
    assert "Connection refused" in checks["TLS"].found
    assert (checks["REST interface"].outcome, checks["REST interface"].remedy) == (Outcome.SKIPPED, "")
    assert "not reached" in checks["REST interface"].found
    assert checks["queues"].outcome == Outcome.SKIPPED


def test_a_server_that_never_shakes_hands_is_given_up(tmp_path: Path) -> None:
    with HttpsServer(Certificates(tmp_path), lambda request: Reply(), handshake=False) as server:
        checks = by_name(
            BACKEND="rest",
            ARC_SERVER=server.endpoint,
            CERTS_DIR=str(tmp_path / "ca.pem"),
            PROXY_FILE=str(tmp_path / "proxy"),
            TIMEOUT=1,
        )
    assert checks["TLS"].outcome == "failed"
    assert "time" in checks["TLS"].found
