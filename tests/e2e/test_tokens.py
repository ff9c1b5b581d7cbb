"""A real compute element of ARC 7 that takes tokens, and one of ARC 6 that does not."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_kit import Shell
from conftest import MakeArc

from jasmin_arc import (
    ArcInterface,
    JobDescription,
    JobNotFoundError,
    JobStatuses,
    JobSubmissionError,
    PartialFailureError,
)

pytestmark = pytest.mark.grid
LIMIT = 120
IssueToken = Callable[..., Path]


@pytest.fixture
def issued(arc7_folder: Path, tmp_path: Path) -> IssueToken:
    """Writes a new token into the file that is configured."""

    def issue(*args: str) -> Path:
        done = subprocess.run([arc7_folder / "bin" / "token", *args], check=True, capture_output=True, timeout=60)
        path = tmp_path / "token"
        path.touch(mode=0o600)
        path.write_bytes(done.stdout)
        return path

    return issue


def ended(arc: ArcInterface, job_id: str) -> JobStatuses:
    return arc.job(job_id).wait(timeout=LIMIT)


# --- A refusal is one clear line; the page on credentials has all of them ---


@pytest.fixture
def shell(tmp_path: Path) -> Callable[[Path], Shell]:
    """A user who has nothing but this configuration."""

    def of(config: Path) -> Shell:
        return Shell(tmp_path, {"JASMIN_ARC_CONFIG": str(config), "JASMIN_ARC_JOBS_INFO_FILE": str(tmp_path / "jobs")})

    return of


def refused(shell: Shell, **options: str) -> str:
    """What is said of a submission, and of a list of jobs, that are refused."""
    own = {f"JASMIN_ARC_{name}": value for name, value in options.items()}
    lines = []
    for command in (["run", "--", "hostname"], ["list", "--status", "failed"]):
        answer = shell.run(*command, **own)
        assert (answer.code, answer.out) == (1, ""), answer.err
        (line,) = answer.err.strip().splitlines()
        lines.append(line.replace("the job was not submitted: ", "").replace("nothing was submitted: ", ""))
    assert lines[0].partition(" (")[0] == lines[1].partition(" (")[0]
    return lines[0]


def test_a_token_without_the_scope(shell: Callable[[Path], Shell], arc7_folder: Path, issued: IssueToken) -> None:
    path = issued("-s", "openid")
    line = refused(shell(arc7_folder / "config-token.json"), TOKEN_FILE=str(path))
    for word in ("refuses the token of", "scopes: openid", "Token scopes do not match", "compute.create"):
        assert word in line
    assert path.read_text().strip().rpartition(".")[2] not in line


@pytest.mark.parametrize("backend", ["rest", "bindings"])
def test_a_strangers_certificate(
    shell: Callable[[Path], Shell], arc7_folder: Path, tmp_path: Path, backend: str
) -> None:
    files = {f"CLIENT_{what}": str(arc7_folder / "client" / f"stranger{what.lower()}.pem") for what in ("CERT", "KEY")}
    line = refused(shell(arc7_folder / "config.json"), **files, PROXY_FILE=str(tmp_path / "proxy"), BACKEND=backend)
    assert "refuses the certificate of /DC=org/DC=jasmin-arc/CN=Grid-stranger: 500 User can't be assigned" in line
    assert "ask the site to let in the owner of this certificate" in line


def test_the_doctor_and_proxy_info_say_who_you_are(shell: Callable[[Path], Shell], arc7_folder: Path) -> None:
    user = shell(arc7_folder / "config-token.json")
    answer = user.run("proxy", "info", "--json")
    (info,) = answer.json["results"]
    assert info["identity"].endswith("/issuer/grid-user")
    assert info["scopes"] == ["compute.read", "compute.create", "compute.modify", "compute.cancel"]
    report = user.run("doctor")
    assert report.code == 0, report.out
    assert "ok\tcredentials\tthe token in" in report.out
    assert "accepts the token of" in report.out
    secret = (arc7_folder / "client" / "token").read_text().strip().rpartition(".")[2]
    assert secret not in report.out + report.err + answer.out


# --- What jobs may do with a token ---


class Store(BaseHTTPRequestHandler):
    """Gives one file, takes others, and notes who has shown a token."""

    protocol_version = "HTTP/1.1"
    taken: dict[str, bytes]
    tokens: set[str]

    def do_GET(self) -> None:
        self._answer(b"data" if self.path.endswith("/data") else None)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        length = self.headers["Content-Length"]
        self.taken[self.path.rpartition("/")[2]] = self.rfile.read(int(length)) if length else self._chunks()
        self._answer(b"")

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, body: bytes | None) -> None:
        self.tokens.add(self.headers.get("Authorization", ""))
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body or b"")

    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def store(certificate: Path | None = None) -> Iterator[tuple[str, type[Store]]]:
    """Serve files, by HTTPS if there is a certificate and its key beside it; return the URL."""
    handler = type("OneStore", (Store,), {"taken": {}, "tokens": set()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_name("hostkey.pem"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http{'s' if certificate else ''}://localhost:{server.server_port}", handler
    finally:
        server.shutdown()
        server.server_close()


def copying(source: str, target: str) -> JobDescription:
    return JobDescription(
        "/bin/cp", ["in", "out"], inputs={"in": f"{source}/data"}, outputs={"out": f"{target}/copied"}
    )


def test_files_of_urls_are_fetched_and_stored_with_the_token(make_arc: MakeArc, arc7_folder: Path) -> None:
    arc = make_arc("rest-7-token")
    with store(arc7_folder / "certs" / "hostcert.pem") as (url, files):
        job = arc.submit(copying(url, url))
        assert ended(arc, job.id) is JobStatuses.COMPLETED, job.explain()
    assert files.taken == {"copied": b"data"}
    assert files.tokens == {f"Bearer {(arc7_folder / 'client' / 'token').read_text().strip()}"}
    assert arc.get_job_info(job.id).proxy_expires is None
    with pytest.raises(PartialFailureError, match=r"a token was delegated .* cannot be renewed"):
        arc.renew(job)


def test_the_token_goes_nowhere_in_the_open(make_arc: MakeArc) -> None:
    arc = make_arc("rest-7-token")
    with store() as (url, files):
        job = arc.submit(copying(url, url))
        assert ended(arc, job.id) is JobStatuses.COMPLETED, job.explain()
        assert (files.taken, files.tokens) == ({"copied": b"data"}, {""})
        for target, options in (("https://localhost", {}), (url, {"runtime_environments": ["ENV/PROXY"]})):
            with pytest.raises(JobSubmissionError, match=r"would send your token unencrypted to http://.*; use https"):
                arc.submit(copying(url, target).replace(**options))


def test_a_job_that_asks_for_a_proxy_gets_the_token(make_arc: MakeArc, arc7_folder: Path) -> None:
    arc = make_arc("rest-7-token")
    job = arc.submit("/bin/sh", ["-c", 'cat "$X509_USER_PROXY"'], runtime_environments=["ENV/PROXY"])
    job.wait(timeout=LIMIT)
    assert job.stdout().strip() == (arc7_folder / "client" / "token").read_text().strip()


def test_a_token_is_replaced_while_jobs_are_waited_for(make_arc: MakeArc, issued: IssueToken) -> None:
    path = issued()
    arc = make_arc("rest-7-token", TOKEN_FILE=str(path))
    job = arc.submit("/bin/sh", ["-c", "sleep 3"])
    first = path.read_text()
    issued()
    assert path.read_text() != first
    assert ended(arc, job.id) is JobStatuses.COMPLETED
    # As after a refusal, the connections are new.
    arc.backend.close()
    assert arc.get_job_status(job.id) is JobStatuses.COMPLETED


def test_jobs_belong_to_whom_the_token_names(
    make_arc: MakeArc, issued: IssueToken, caplog: pytest.LogCaptureFixture
) -> None:
    mine = make_arc("rest-7-token")
    job = mine.submit("/bin/sleep", ["60"])
    other = make_arc("rest-7-token", TOKEN_FILE=str(issued("-n", "somebody-else")))
    with pytest.raises(JobNotFoundError):
        other.get_job_status(job.id)
    assert "was submitted as" in caplog.text
    assert "and you are" in caplog.text
    with pytest.raises(PartialFailureError, match=r"was submitted as .*grid-user, and you are .*somebody-else now"):
        other.clean_jobs([job.id], force=True)
    assert other.recover() == {}
    job.cancel()
    assert ended(mine, job.id) is JobStatuses.FAILED
