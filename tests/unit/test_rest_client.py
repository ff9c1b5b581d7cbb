from __future__ import annotations

import gc
import logging
import os
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.https_server import RESET, Certificates, Handler, HttpsServer, Reply, Request, Shown

from jasmin_arc.backends.http.client import Client, RetryBudget
from jasmin_arc.backends.http.client import Request as Ask
from jasmin_arc.backends.http.connection import make_context
from jasmin_arc.backends.http.errors import AnswerLostError, error_for_transport
from jasmin_arc.backends.rest.api import AREX
from jasmin_arc.exceptions import (
    InvalidConfigError,
    ProxyGenerationError,
    ServerError,
    ServerUnavailableError,
)

LOG = logging.getLogger("test")
TESTS = Path(__file__).parents[1]


Serve = Callable[..., tuple[HttpsServer, Client]]


@pytest.fixture
def serve(certificates: Certificates) -> Iterator[Serve]:
    made: list[HttpsServer | Client] = []

    def make(handler: Handler, *, timeout: float = 5.0, handshake: bool = True) -> tuple[HttpsServer, Client]:
        server = HttpsServer(certificates, handler, handshake=handshake)
        client = Client(
            server.endpoint,
            certs_dir=str(certificates.bundle),
            timeout=timeout,
            credentials=Shown(certificates.user_both),
            log=LOG,
            kind=AREX,
        )
        made.extend([client, server])
        return server, client

    yield make
    for thing in made:
        thing.close()


def answers(*replies: Reply) -> Handler:
    waiting = list(replies)
    return lambda request: waiting.pop(0) if len(waiting) > 1 else waiting[0]


def raw(*pieces: object) -> Reply:
    return Reply(raw=list(pieces))


def test_a_reply_is_read_whole_and_the_connection_is_kept(serve: Serve) -> None:
    server, client = serve(answers(Reply(body=b"x" * 3_000_000)))
    assert [len(client.read(Ask("GET", "/a")).body) for _ in range(3)] == [3_000_000] * 3
    assert server.connections == 1


def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(serve: Serve, tmp_path: Path) -> None:
    server, _ = serve(answers(Reply()))
    stranger = Client(
        server.endpoint,
        certs_dir=str(Certificates(tmp_path).bundle),
        timeout=5,
        credentials=Shown(tmp_path / "user.pem"),
        log=LOG,
        kind=AREX,
    )
    with pytest.raises(ServerError, match=r"not trusted.*CERTS_DIR") as caught:
        stranger.read(Ask("GET", "/a"))
    assert not isinstance(caught.value, ServerUnavailableError)
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (9, "check this machine's clock; if it is right, tell the site"),
        (10, "check this machine's clock; if it is right, tell the site"),
        (20, "CERTS_DIR must hold the CA certificate that its host certificate comes from"),
        (64, "set ARC_SERVER to the host's name, as it stands in the host's certificate"),
        (66, "tell the site"),
    ],
    ids=["not yet", "expired", "unknown authority", "wrong name", "weak key"],
)
def test_the_advice_is_about_what_is_wrong_with_the_servers_certificate(code: int, advice: str) -> None:
    cause = ssl.SSLCertVerificationError("certificate verify failed")
    cause.verify_code, cause.verify_message = code, "the reason."
    error = error_for_transport(cause, "GET /a", "https://ce.example:443/arex", AREX)
    assert str(error) == f"the server https://ce.example:443/arex is not trusted: the reason; {advice}"


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, host="elsewhere.example")
    with HttpsServer(certificates, answers(Reply())) as server:
        client = Client(
            server.endpoint,
            certs_dir=str(certificates.bundle),
            timeout=5,
            credentials=Shown(certificates.user_both),
            log=LOG,
            kind=AREX,
        )
        with pytest.raises(ServerError, match="not valid for 'localhost'; set ARC_SERVER to the host's name"):
            client.read(Ask("GET", "/a"))
        assert server.requests == []


def test_trusted_certificates_may_be_a_folder_of_hashes(certificates: Certificates, tmp_path: Path) -> None:
    hashed = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(certificates.bundle)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (tmp_path / f"{hashed}.0").write_bytes(certificates.bundle.read_bytes())
    with HttpsServer(certificates, answers(Reply(body=b"hello"))) as server:
        client = Client(
            server.endpoint, certs_dir=str(tmp_path), timeout=5, credentials=Shown(certificates.user_both), log=LOG
        )
        assert client.read(Ask("GET", "/a")).body == b"hello"
        client.close()


def test_missing_ca_certificates_are_a_matter_of_configuration(certificates: Certificates, tmp_path: Path) -> None:
    client = Client(
        "https://localhost:1/arex",
        certs_dir=str(tmp_path / "none"),
        timeout=5,
        credentials=Shown(certificates.user_both),
        log=LOG,
        kind=AREX,
    )
    with pytest.raises(InvalidConfigError, match="CERTS_DIR"):
        client.read(Ask("GET", "/a"))


def test_a_renewed_proxy_is_used(certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.http.client._CHECK_CREDENTIALS_SECONDS", 0)
    proxy = tmp_path / "proxy"
    proxy.write_bytes(certificates.user_both.read_bytes())
    with HttpsServer(certificates, answers(Reply())) as server:
        client = Client(
            server.endpoint, certs_dir=str(certificates.bundle), timeout=5, credentials=Shown(proxy), log=LOG
        )
        client.read(Ask("GET", "/a"))
        client.read(Ask("GET", "/a"))
        assert server.connections == 1
        (tmp_path / "new").write_bytes(certificates.user_both.read_bytes())
        (tmp_path / "new").rename(proxy)
        client.read(Ask("GET", "/a"))
        assert server.connections == 2
        client.close()


def test_what_the_credentials_say_is_in_each_request_and_counts_for_a_connection(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.http.client._CHECK_CREDENTIALS_SECONDS", 0)
    shown = Shown(certificates.user_both, {"Authorization": "first"})
    with HttpsServer(certificates, answers(Reply())) as server:
        client = Client(server.endpoint, certs_dir=str(certificates.bundle), timeout=5, credentials=shown, log=LOG)
        client.read(Ask("GET", "/a"))
        client.read(Ask("GET", "/a", headers={"Accept": "text/plain"}))
        # A server may take the whole connection for that of the first one.
        shown.head = {"Authorization": "second"}
        client.read(Ask("GET", "/a"))
        client.close()
    assert [request.headers["authorization"] for request in server.requests] == ["first", "first", "second"]
    assert [request.headers["accept"] for request in server.requests] == ["*/*", "text/plain", "*/*"]
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_the_environment_names_no_proxies(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/dev/null")
    _, client = serve(answers(Reply(body=b"direct")))
    assert client.read(Ask("GET", "/a")).body == b"direct"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(serve: Serve, status: int) -> None:
    other, _ = serve(answers(Reply(body=b"stolen")))
    server, client = serve(answers(Reply(status, headers={"Location": f"{other.endpoint}/stolen"})))
    with pytest.raises(ServerError, match="redirects are not followed"):
        client.read(Ask("GET", "/a"))
    assert (len(server.requests), other.connections) == (1, 0)


def test_an_endless_reply_is_cut_off(serve: Serve) -> None:
    def endless() -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"7530\r\n" + b"<a>" * 10_000 + b"\r\n"

    _, client = serve(lambda request: Reply(raw=endless()))
    with pytest.raises(ServerError, match="more than 1000000 bytes"):
        client.read(Ask("GET", "/a", max_bytes=1_000_000))


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Le"],
        [b"\x00\xff\x00 this is not HTTP \r\n\r\n"],
        [b""],
        [RESET],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", RESET],
        [b"HTTP/1.1 999999 OK\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"],
    ],
)
def test_what_is_not_a_whole_reply_is_an_error(serve: Serve, pieces: list[object]) -> None:
    _, client = serve(lambda request: Reply(raw=pieces))
    with pytest.raises(ServerError):
        client.once(Ask("GET", "/a"))


def test_a_read_is_repeated_until_it_succeeds(serve: Serve) -> None:
    server, client = serve(answers(raw(RESET), Reply(503), Reply(500, reason="internal error"), Reply(body=b"at last")))
    assert client.read(Ask("GET", "/a")).body == b"at last"
    assert len(server.requests) == 4


HEAD_503 = b"HTTP/1.1 503 Service Unavailable\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, body=b"x" * 3_000_000),
        raw(HEAD_503 + b"Content-Length: 100\r\n\r\nshort"),
        raw(HEAD_503 + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"),
        raw(HEAD_503 + b"\r\nno length"),
    ],
    ids=["long", "cut", "nonsense", "no length"],
)
def test_an_error_counts_whatever_its_body_is_like(serve: Serve, reply: Reply) -> None:
    _, client = serve(answers(reply, Reply(body=b"at last")))
    assert client.read(Ask("GET", "/a", max_bytes=1000)).body == b"at last"
    _, client = serve(answers(reply))
    with pytest.raises(ServerUnavailableError) as caught:
        client.once(Ask("GET", "/a", max_bytes=1000))
    assert caught.value.status == 503


def test_a_connection_is_kept_after_an_error(serve: Serve) -> None:
    server, client = serve(answers(Reply(503, body=b"later"), Reply()))
    client.read(Ask("GET", "/a"))
    assert server.connections == 1


def test_a_reply_that_would_fill_the_memory_is_refused(serve: Serve) -> None:
    # Of XML with many small elements, each byte takes 25 in memory.
    _, client = serve(answers(Reply(body=b"<b/>" * (5 << 20))))
    with pytest.raises(ServerError, match="more than"):
        client.read(Ask("GET", "/a"))


def test_what_is_not_a_read_is_sent_once(serve: Serve) -> None:
    server, client = serve(answers(Reply(503)))
    with pytest.raises(ServerUnavailableError):
        client.once(Ask("POST", "/a", body=b"x"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("reason", ["No more jobs allowed", "Missing payload", "User can't be assigned configuration"])
def test_500_is_final_where_its_reason_says_so(serve: Serve, reason: str) -> None:
    server, client = serve(answers(Reply(500, reason=reason)))
    with pytest.raises(ServerError, match=reason) as caught:
        client.read(Ask("GET", "/a"))
    assert caught.value.status == 500
    assert not isinstance(caught.value, ServerUnavailableError)
    assert len(server.requests) == 1


def test_the_server_says_when_to_come_back(serve: Serve) -> None:
    server, client = serve(answers(Reply(503, headers={"Retry-After": "1"}), Reply(body=b"later")))
    began = time.monotonic()
    assert client.read(Ask("GET", "/a")).body == b"later"
    assert time.monotonic() - began >= 1
    assert len(server.requests) == 2


def test_a_server_that_wants_a_longer_pause_than_there_is_time_for(serve: Serve) -> None:
    server, client = serve(answers(Reply(503, headers={"Retry-After": "3600"})))
    with pytest.raises(ServerUnavailableError, match="503"):
        client.read(Ask("GET", "/a"))
    assert len(server.requests) == 1


def test_retries_have_a_budget(serve: Serve) -> None:
    server, client = serve(answers(Reply(429)), timeout=60)
    client._budget = RetryBudget(2)
    for _ in range(4):
        with pytest.raises(ServerUnavailableError):
            client.read(Ask("GET", "/a"))
    assert len(server.requests) == 4 + 2


@pytest.mark.parametrize(
    "pieces",
    [
        [60.0],
        [b"HTTP/1.1 200 OK\r\n", 60.0],
        [b"HTTP/1.1 200 OK\r\n", *([b"X: y\r\n", 0.2] * 300)],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", *([b"x", 0.2] * 300)],
    ],
    ids=["silent", "silent after a line", "slow headers", "slow body"],
)
def test_time_is_bounded_whatever_trickles_in(serve: Serve, pieces: list[object]) -> None:
    _, client = serve(lambda request: Reply(raw=pieces), timeout=1)
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError, match="in time"):
        client.read(Ask("GET", "/a"))
    assert time.monotonic() - began < 3


def test_a_server_that_never_shakes_hands(serve: Serve) -> None:
    _, client = serve(answers(Reply()), timeout=1, handshake=False)
    began = time.monotonic()
    with pytest.raises(ServerUnavailableError):
        client.read(Ask("GET", "/a"))
    assert time.monotonic() - began < 3


def test_a_server_that_hangs_up_before_the_handshake_leaves_no_socket_open(certificates: Certificates) -> None:
    context = make_context(str(certificates.bundle), certificates.user_both)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        select.select([ours], [], [], 5)
        with pytest.raises(ConnectionResetError):
            context.wrap_socket(ours, server_hostname="localhost")
    # A socket that is left open warns now, which is an error here.
    gc.collect()


def test_ctrl_c_during_the_handshake_leaves_no_socket_open(serve: Serve) -> None:
    _, client = serve(answers(Reply()), handshake=False)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            client.read(Ask("GET", "/a"))
    finally:
        signal.signal(signal.SIGALRM, before)
    gc.collect()


def test_a_connection_that_the_server_has_closed_is_noticed(serve: Serve) -> None:
    server, client = serve(lambda request: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    for _ in range(3):
        assert client.once(Ask("POST", "/a", body=b"")).body == b"ok"
        time.sleep(0.5)
    assert server.connections == 3


# --- What creates is never sent twice ---


@pytest.mark.parametrize(
    "reply",
    [
        raw(RESET),
        raw(b""),
        raw(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n<jobs>"),
        Reply(502),
        Reply(503),
        Reply(500, reason="Internal error"),
    ],
    ids=["reset", "closed", "cut", "502", "503", "500"],
)
def test_a_lost_answer_to_a_creation_is_unknown_and_not_asked_for_again(serve: Serve, reply: Reply) -> None:
    server, client = serve(answers(reply))
    create = client.creator()
    with pytest.raises(AnswerLostError):
        create(Ask("POST", "/new", b"<jobs/>"))
    assert len(server.requests) == 1


def test_a_creation_that_takes_too_long_is_unknown(serve: Serve) -> None:
    server, client = serve(lambda request: raw(30.0), timeout=1)
    create = client.creator()
    with pytest.raises(AnswerLostError):
        create(Ask("POST", "/new", b"<jobs/>"))
    assert len(server.requests) == 1


def test_a_refusal_is_no_lost_answer(serve: Serve) -> None:
    _, client = serve(answers(Reply(500, reason="No more jobs allowed")))
    create = client.creator()
    with pytest.raises(ServerError, match="No more jobs") as caught:
        create(Ask("POST", "/new", b"<jobs/>"))
    assert not isinstance(caught.value, AnswerLostError)


def test_a_creation_that_never_left_is_no_lost_answer(serve: Serve) -> None:
    server, client = serve(answers(Reply()))
    create = client.creator()
    server.close()
    with pytest.raises(ServerUnavailableError, match="cannot connect"):
        create(Ask("POST", "/new", b"<jobs/>"))


def test_creations_use_connections_of_their_own(serve: Serve) -> None:
    def handler(request: Request) -> Reply:
        return Reply(201)

    server, client = serve(handler)
    client.read(Ask("GET", "/a"))
    for _ in range(2):
        create = client.creator()
        create(Ask("POST", "/new", b"1"))
        create(Ask("POST", "/new", b"2"))
    client.read(Ask("GET", "/a"))
    assert [request.connection for request in server.requests] == [1, 2, 2, 2, 2, 1]


def test_creations_use_no_connection_that_has_been_idle(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jasmin_arc.backends.http.client._MAX_IDLE_BEFORE_CREATING", 0.0)
    server, client = serve(lambda _request: Reply(201))
    for _ in range(2):
        client.creator()(Ask("POST", "/new", b"1"))
    assert [request.connection for request in server.requests] == [1, 2]


def test_a_proxy_that_is_gone_is_an_error_in_plain_words(certificates: Certificates, tmp_path: Path) -> None:
    client = Client(
        "https://localhost:1/arex",
        certs_dir=str(certificates.bundle),
        timeout=2,
        credentials=Shown(tmp_path / "gone"),
        log=logging.getLogger("test"),
    )
    with pytest.raises(ProxyGenerationError, match=r"gone.*is gone"):
        client.read(Ask("GET", "/a"))


def test_an_upload_arrives_whole(serve: Serve) -> None:
    server, client = serve(answers(Reply()))
    client.upload("/file", (b"x" * 100_000 for _ in range(30)), 3_000_000)
    client.upload("/empty", b"", 0)
    assert [len(request.body) for request in server.requests] == [3_000_000, 0]


CTRL_C = """
import logging, sys, threading, time
from pathlib import Path
from jasmin_arc.backends.http.client import Client, Request
from jasmin_arc.credentials import Credentials
from jasmin_arc._support.parallel import run_all
endpoint, certs_dir, proxy, requests = sys.argv[1:]
class Shown(Credentials):
    def client_certificate(self):
        return Path(proxy)
client = Client(endpoint, certs_dir=certs_dir, timeout=60, credentials=Shown(), log=logging.getLogger())
print("ready", flush=True)
run_all(lambda path: client.read(Request("GET", path)), ["/a"] * int(requests), workers=4)
"""


@pytest.mark.parametrize("requests", [1, 8])
def test_ctrl_c_does_not_wait_for_the_server(certificates: Certificates, requests: int) -> None:
    with HttpsServer(certificates, lambda request: raw(60.0)) as server:
        command = [sys.executable, "-c", CTRL_C, server.endpoint, str(certificates.bundle), str(certificates.user_both)]
        process = subprocess.Popen(
            [*command, str(requests)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=TESTS.parent,
            env=dict(os.environ),
        )
        assert process.stdout is not None
        process.stdout.readline()
        while not server.requests:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=2)
        assert b"KeyboardInterrupt" in errors


@pytest.mark.parametrize(
    ("reason", "kind", "told"),
    [
        ("TLSV1_ALERT_DECODE_ERROR", ServerUnavailableError, "broke"),
        ("TLSV1_ALERT_INTERNAL_ERROR", ServerUnavailableError, "broke"),
        ("TLSV1_ALERT_UNKNOWN_CA", ServerError, "refuses the client certificate"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", ServerError, "refuses the client certificate"),
    ],
)
def test_only_alerts_about_certificates_blame_the_proxy(reason: str, kind: type[ServerError], told: str) -> None:
    alert = ssl.SSLError(1, f"[SSL: {reason}]")
    alert.reason = reason
    error = error_for_transport(alert, "PUT /arex", "https://ce.example.org:443/arex", AREX)
    assert type(error) is kind
    assert told in str(error)
