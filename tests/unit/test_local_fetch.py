"""URL inputs of the local backend, fetched from real servers."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from local_kit import Kit, shell, until

from jasmin_arc.backends.local import fetch

CONTENT = bytes(range(256)) * 5000


class Handler(BaseHTTPRequestHandler):
    """Answers as the path says."""

    def do_GET(self) -> None:
        verb = self.path.split("?")[0].rpartition("/")[2]
        self.server.asked.append(verb)  # type: ignore[attr-defined]
        if verb == "slow":
            self.server.release.wait(30)  # type: ignore[attr-defined]
        busy = verb == "busy" and self.server.asked.count("busy") == 1  # type: ignore[attr-defined]
        self.send_response({"missing": 404, "secret": 403, "moved": 302, "astray": 302}.get(verb, 503 if busy else 200))
        if verb in ("moved", "astray"):
            target = "/data/good" if verb == "moved" else "http://user:hush@host.example:99999/x?token"
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if verb == "cut" else CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.release = [], threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/data"


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    kit.close()


def test_inputs_are_fetched_before_the_job_runs(kit: Kit, url: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"local")
    inputs = {"good": f"{url}/good", "sub/moved": f"{url}/moved?q"}
    inputs["file"] = (tmp_path / "a file").as_uri()
    info = kit.run("cat good sub/moved file", inputs=inputs)
    assert info.state == "Finished", info.errors
    assert kit.read(info.id) == CONTENT * 2 + b"local"
    assert kit.files(info.id) == ["stderr", "stdout"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "input URL not found: http://127.0.0.1:{port}/data/missing (HTTP 404)"),
        ("secret", "HTTP 403"),
        ("astray", "it is no valid URL, or leads to none: http://127.0.0.1:{port}/data/astray"),
    ],
)
def test_an_input_that_cannot_be_had_whole_fails_the_job(
    kit: Kit, server: ThreadingHTTPServer, name: str, reason: str
) -> None:
    port = server.server_port
    info = kit.run("echo ran", inputs={"x": f"http://user:hush@127.0.0.1:{port}/data/{name}?token"})
    assert (info.state, info.started, info.exit_code) == ("Failed", None, None)
    assert reason.format(port=port) in info.errors[0]
    assert "hush" not in info.errors[0]
    assert "token" not in info.errors[0]
    assert kit.files(info.id) == []


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that fetching would make."""
    made: list[float] = []
    monkeypatch.setattr("jasmin_arc.backends.local.fetch.time.sleep", made.append)
    return made


def test_a_busy_server_is_asked_again(url: str, pauses: list[float], tmp_path: Path) -> None:
    fetch._fetch(f"{url}/busy", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert pauses == [1]


def test_an_input_that_is_cut_short_is_not_taken(url: str, pauses: list[float], tmp_path: Path) -> None:
    with pytest.raises(Exception, match=f"cannot fetch the input URL {url}/cut: "):
        fetch._fetch(f"{url}/cut", tmp_path / "x")
    assert pauses == [1, 2]


def test_a_server_must_prove_who_it_is(kit: Kit, server: ThreadingHTTPServer, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    secure = f"https://127.0.0.1:{server.server_port}/good"
    refused = kit.run("cat x", inputs={"x": secure})
    assert refused.state == "Failed"
    assert "certificate" in refused.errors[0].lower()
    kit.kill_runner()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    trusted = kit.run("cat x", inputs={"x": secure})
    assert trusted.state == "Finished", trusted.errors
    assert kit.read(trusted.id) == CONTENT


def test_a_job_can_be_cancelled_while_it_is_prepared(kit: Kit, url: str) -> None:
    job_id, other = kit.submit(shell("true", inputs={"x": f"{url}/slow"}), shell("true"))
    until(lambda: kit.info(job_id).native_state == "PREPARING")
    assert kit.info(job_id).state == "Preparing"
    assert kit.ended(other)[0].state == "Finished"
    kit.backend.cancel([job_id])
    assert kit.ended(job_id)[0].state == "Killed"


def test_preparing_goes_on_with_another_runner(kit: Kit, server: ThreadingHTTPServer, url: str) -> None:
    job_id = kit.one("wc -c < x", inputs={"x": f"{url}/slow"})
    until(lambda: server.asked == ["slow"])  # type: ignore[attr-defined]
    kit.kill_runner()
    kit.info(job_id)
    until(lambda: server.asked == ["slow", "slow"] or not kit.info(job_id))  # type: ignore[attr-defined]
    server.release.set()  # type: ignore[attr-defined]
    assert kit.ended(job_id)[0].state == "Finished"
    assert int(kit.read(job_id)) == len(CONTENT)


def test_nothing_is_left_of_an_input_whose_fetching_was_cancelled(kit: Kit, url: str) -> None:
    job_id = kit.one("true", inputs={"x": f"{url}/slow"})
    folder = Path(kit.layout.job(job_id.rpartition("/")[2]))
    until(lambda: list(folder.glob("fetching.*")))
    kit.backend.cancel([job_id])
    kit.ended(job_id)
    until(lambda: not list(folder.glob("fetching.*")))
    assert not kit.backend.clean([job_id])
    assert kit.run("true").state == "Finished"
