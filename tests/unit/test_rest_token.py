"""A compute element that is shown a token, and jobs of other credentials."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.https_server import Certificates, HttpsServer, Reply, Request
from faults.rest_setup import Setup, job, rest_setup
from tokens import put, token

from jasmin_arc import (
    ConnectionConfig,
    CredentialsError,
    JobNotFoundError,
    JobSubmissionError,
    OperationNotPossibleError,
    ServerError,
)
from jasmin_arc.backends.http.client import Client
from jasmin_arc.backends.http.client import Request as Ask
from jasmin_arc.backends.rest.api import AREX
from jasmin_arc.credentials.token import TokenCredentials
from jasmin_arc.explain.gather import gather
from jasmin_arc.job_list import new_token

NEEDY: dict[str, Any] = {"inputs": {"data": "https://files.example.org/data"}}
"""What makes a job need a delegation"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return put(tmp_path / "token", token())


@pytest.fixture
def setup(tmp_path: Path, certificates: Certificates, file: Path) -> Iterator[Setup]:
    with rest_setup(tmp_path, certificates, AUTH="token", TOKEN_FILE=str(file)) as made:
        yield made


def bearers(server: HttpsServer) -> set[str]:
    return {request.headers.get("authorization", "") for request in server.requests}


def test_every_request_shows_the_token_and_no_certificate(setup: Setup, file: Path) -> None:
    (job_id,) = setup.backend.submit([job()])
    assert isinstance(job_id, str)
    setup.backend.states([job_id])
    assert bearers(setup.server) == {f"Bearer {file.read_text()}"}
    assert setup.ce.tokens == {}
    assert all(file.read_text() not in request.path for request in setup.server.requests)


def test_what_is_told_of_a_request_has_no_token_in_it() -> None:
    ask = Ask("POST", "/delegations", b"", {"X-Token-Delegation": token()})
    assert f"{ask} {ask!r}" == "POST /delegations POST /delegations"


def test_jobs_with_urls_have_one_delegation_of_the_token_for_each_submission(setup: Setup, file: Path) -> None:
    setup.backend.submit([job(**NEEDY), job(), job(**NEEDY)])
    setup.backend.submit([job(**NEEDY)])
    assert setup.ce.tokens == {"jwt0": file.read_text(), "jwt1": file.read_text()}
    used = [entry for created in setup.ce.jobs.values() for entry in created.delegations]
    assert used == ["jwt0", "jwt0", "jwt1"]
    # It is named where a file is transferred, too: with that of the job alone, outputs get none.
    first = next(iter(setup.ce.jobs.values())).description
    assert first.count("DelegationID>jwt0<") == 2
    assert file.read_text() not in Path(setup.config.JOBS_INFO_FILE).read_bytes().decode("latin-1")


@pytest.mark.parametrize("scheme", ["http", "dav", "FTP"])
def test_a_token_is_not_delegated_where_it_would_go_in_the_open(setup: Setup, scheme: str) -> None:
    bare = {"bare": f"{scheme}://files.example.org/bare"}
    refused, alone = setup.backend.submit([job(inputs={**NEEDY["inputs"], **bare}), job(inputs=bare)])
    assert isinstance(refused, JobSubmissionError)
    assert "would send your token unencrypted" in str(refused)
    assert isinstance(alone, str)
    assert setup.ce.tokens == {}


def test_a_delegated_token_is_never_renewed(setup: Setup) -> None:
    needy, other = setup.backend.submit([job(**NEEDY), job()])
    assert isinstance(needy, str)
    assert isinstance(other, str)
    failures = setup.backend.renew([needy, other])
    assert set(failures) == {needy}
    assert "cannot be renewed: it lasts as long as the token" in str(failures[needy])
    setup.backend.states([needy])
    setup.backend.query([needy])
    assert setup.ce.renewed == []


def test_a_token_that_somebody_delegated_stays_where_a_certificate_is_used(
    tmp_path: Path, certificates: Certificates
) -> None:
    with rest_setup(tmp_path, certificates) as setup:
        (job_id,) = setup.backend.submit([job(outputs=["*.nc"])])
        assert isinstance(job_id, str)
        setup.ce.tokens["deleg1"] = token()
        assert isinstance(setup.backend.renew([job_id])[job_id], OperationNotPossibleError)
        assert setup.ce.renewed == []


def test_a_server_before_arc_7_takes_no_tokens(setup: Setup) -> None:
    setup.ce.before = lambda request: Reply(403, reason="User can't be assigned configuration")
    for call in (setup.backend.list_jobs, lambda: setup.backend.submit([job()])):
        with pytest.raises(ServerError, match="takes no tokens, as those before ARC 7 do not; set AUTH to certificate"):
            call()


# --- Who a connection belongs to ---


@pytest.fixture
def client(certificates: Certificates, file: Path) -> Iterator[tuple[HttpsServer, Client]]:
    """A client with a token, and a server that keeps whoever came first on a connection, as A-REX does."""
    first: dict[int, str] = {}

    def handler(request: Request) -> Reply:
        who = first.setdefault(request.connection, request.headers["authorization"])
        known = who == f"Bearer {GOOD}"
        return Reply(body=b"in") if known else Reply(500, reason="User can't be assigned configuration")

    config = ConnectionConfig({"AUTH": "token", "TOKEN_FILE": str(file)})
    with HttpsServer(certificates, handler, wants_certificate=False) as server:
        made = Client(
            server.endpoint,
            certs_dir=str(certificates.bundle),
            timeout=5,
            credentials=TokenCredentials(config),
            log=logging.getLogger("test"),
            kind=AREX,
        )
        yield server, made
        made.close()


GOOD = token(sub="good")


def test_after_a_refusal_a_better_token_is_read_and_shown_on_a_new_connection(
    client: tuple[HttpsServer, Client], file: Path
) -> None:
    server, asks = client
    with pytest.raises(
        ServerError,
        match=r"refuses the token of https://tokens\.example\.org/jane \(scopes: compute\.read compute\.create\): "
        r"500 User can't be assigned .*; ask the site whether it trusts that issuer",
    ):
        asks.read(Ask("GET", "/a"))
    put(file, GOOD)
    assert asks.read(Ask("GET", "/a")).body == b"in"
    assert server.connections == 2


def test_a_new_token_never_goes_over_the_old_ones_connection(
    client: tuple[HttpsServer, Client], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, asks = client
    put(file, GOOD)
    asks.read(Ask("GET", "/a"))
    put(file, token(sub="other"))
    monkeypatch.setattr("jasmin_arc.backends.http.client._CHECK_CREDENTIALS_SECONDS", 0.0)
    asks._check_at = 0.0
    with pytest.raises(ServerError, match=r"refuses the token of .*other"):
        asks.read(Ask("GET", "/a"))
    assert [request.connection for request in server.requests] == [1, 2]


def test_jobs_are_created_with_the_token_that_they_are_written_down_for(setup: Setup, file: Path) -> None:
    setup.backend.list_jobs()
    put(file, token(sub="john"))
    (job_id,) = setup.backend.submit([job()])
    assert isinstance(job_id, str)
    (created,) = [request for request in setup.server.requests if request.path.endswith("jobs?action=new")]
    assert created.headers["authorization"] == f"Bearer {file.read_text()}"
    assert setup.job_list.get([job_id])[job_id].identity.endswith("/john")


def test_a_token_is_not_sent_any_more_once_it_has_ended(client: tuple[HttpsServer, Client], file: Path) -> None:
    server, asks = client
    put(file, token(lasts=0.5))
    with pytest.raises(ServerError):
        asks.read(Ask("GET", "/a"))
    sent = len(server.requests)
    put(file, token(lasts=-1))
    with pytest.raises(CredentialsError, match="ended at"):
        asks.read(Ask("GET", "/a"))
    assert len(server.requests) == sent


def test_what_the_server_says_of_a_refusal_is_told(certificates: Certificates, setup: Setup) -> None:
    said = b"Operation is not allowed: Token scopes do not match requires scopes"
    setup.ce.before = lambda request: (
        Reply(403, said, {"Content-Type": "text/plain"}, reason="Forbidden") if "/jobs" in request.path else None
    )
    with pytest.raises(ServerError, match=r"403 Forbidden: Operation is not allowed: .*; get a token with the scopes"):
        setup.backend.list_jobs()
    page = Reply(403, b"<html>Forbidden", {"Content-Type": "text/plain"}, reason="Forbidden")
    setup.ce.before = lambda request: page if "/jobs" in request.path else None
    with pytest.raises(ServerError) as caught:
        setup.backend.list_jobs()
    assert "html" not in str(caught.value)


# --- Jobs of other credentials ---


def test_jobs_that_were_submitted_with_other_credentials_are_left_alone(
    setup: Setup, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server shows them to nobody else, so they look as if they were gone."""
    theirs = setup.url("theirs")
    record = setup.job_list.record(job(), endpoint=setup.server.endpoint, token=new_token(), identity="/CN=Jane")
    setup.job_list.intend([record])
    setup.job_list.created({record.token: theirs})
    setup.job_list.release([record.token])
    assert setup.backend.recover() == {}
    assert "1 unfinished submission of /CN=Jane can be settled with those credentials alone" in caplog.text
    setup.job_list.commit([theirs])
    failure = setup.backend.clean([theirs])[theirs]
    assert "was submitted as /CN=Jane, and you are https://tokens.example.org/jane now" in str(failure)
    assert setup.backend.query([theirs]) == {}
    assert caplog.text.count("was submitted as /CN=Jane") == 1
    setup.backend.states([theirs])
    assert caplog.text.count("was submitted as /CN=Jane") == 1
    assert setup.job_list.ids() == [theirs]


def listed_for_jane(setup: Setup) -> str:
    theirs = setup.url("theirs")
    record = setup.job_list.record(job(), endpoint=setup.server.endpoint, token=new_token(), identity="/CN=Jane")
    setup.job_list.intend([record])
    setup.job_list.created({record.token: theirs})
    setup.job_list.commit([theirs])
    return theirs


def test_a_job_of_other_credentials_is_not_explained_as_erased(setup: Setup) -> None:
    theirs = listed_for_jane(setup)
    with pytest.raises(OperationNotPossibleError, match="was submitted as /CN=Jane"):
        gather(setup.backend, setup.job_list, theirs)


def test_a_file_of_a_job_of_other_credentials_is_missing_for_a_reason(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = listed_for_jane(setup)
    for look in (lambda: setup.backend.open(theirs, "stdout"), lambda: setup.backend.list_files(theirs)):
        with pytest.raises(JobNotFoundError):
            look()
    assert caplog.text.count("was submitted as /CN=Jane") == 1


def test_whose_a_job_is_stands_in_the_job_list(setup: Setup) -> None:
    (job_id,) = setup.backend.submit([job()])
    assert isinstance(job_id, str)
    assert setup.job_list.get([job_id])[job_id].identity == "https://tokens.example.org/jane"
