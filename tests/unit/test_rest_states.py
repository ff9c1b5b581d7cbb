from __future__ import annotations

import itertools
import logging
import threading
from datetime import datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives import serialization
from faults.fake_ce import FakeJob
from faults.https_server import Reply, Request, xml
from faults.rest_setup import Setup, job
from pki import certificate, rsa_key

from jasmin_arc.backends.rest import delegations
from jasmin_arc.exceptions import JobNotFoundError, OperationNotPossibleError, ServerError, ServerUnavailableError

MANY = 30
CANCELLED = "Job is canceled by external request\n"
PAGE = b"<html><body><p>Please log in to this network</p></body></html>"


def put(setup: Setup, state: str, written: str = "", *, count: int = 1, **more: object) -> list[str]:
    names = [f"{state.lower()}{written.lower()}{len(setup.ce.jobs) + number}" for number in range(count)]
    for name in names:
        setup.ce.jobs[name] = FakeJob(name, "", state=state, written=written, **more)  # type: ignore[arg-type]
    return [setup.url(name) for name in names]


@pytest.mark.parametrize("count", [1, MANY], ids=["one", "many"])
@pytest.mark.parametrize(
    ("live", "written", "state"),
    [
        ("PREPARING", "ACCEPTING", "Preparing"),
        ("RUNNING", "QUEUING", "Queuing"),
        ("RUNNING", "RUNNING", "Running"),
        ("RUNNING", "HELD", "Hold"),
        ("RUNNING", "PREPARING", "Queuing"),
        ("FINISHING", "RUNNING", "Finishing"),
        ("FINISHED", "ACCEPTING", "Finished"),
        ("FAILED", "RUNNING", "Failed"),
        ("FAILED", "FAILED", "Failed"),
        ("FAILED", "KILLED", "Killed"),
    ],
)
def test_phase_and_end_are_live_and_the_rest_as_written(
    setup: Setup, count: int, live: str, written: str, state: str
) -> None:
    logs = {"failed": CANCELLED} if written == "KILLED" else {}
    ids = put(setup, live, written, count=count, logs=logs)
    # Whether another process killed one of many jobs takes a question for each job. Only query() asks it.
    quick = "Failed" if state == "Killed" and count == MANY else state
    assert setup.backend.states(ids) == dict.fromkeys(ids, quick)
    assert {job_id: info.state for job_id, info in setup.backend.query(ids).items()} == dict.fromkeys(ids, state)


@pytest.mark.parametrize("count", [1, MANY], ids=["one", "many"])
def test_a_job_that_was_killed_is_known_before_it_is_written(setup: Setup, count: int) -> None:
    ids = put(setup, "RUNNING", "RUNNING", count=count)
    assert setup.backend.cancel(ids) == {}
    assert set(setup.backend.states(ids).values()) == {"Killed"}
    assert {info.errors for info in setup.backend.query(ids).values()} == {("Job is canceled by external request",)}


def test_states_of_many_jobs_take_two_requests(setup: Setup) -> None:
    ids = put(setup, "RUNNING", "RUNNING", count=MANY) + put(setup, "FINISHED", count=MANY)
    setup.backend.query(ids)
    setup.ce.requests.clear()
    setup.backend.states(ids)
    assert len(setup.ce.requests) == 2


def test_many_jobs_that_fail_together_cost_no_more_than_others(setup: Setup) -> None:
    ids = put(setup, "FAILED", "RUNNING", count=MANY)
    setup.backend.states(ids[:1])
    setup.ce.requests.clear()
    assert setup.backend.states(ids) == dict.fromkeys(ids, "Failed")
    assert len(setup.ce.requests) == 1


def test_all_of_many_jobs_that_failed_together_is_read_once_and_several_at_a_time(setup: Setup) -> None:
    ids = put(setup, "FAILED", "RUNNING", count=MANY, logs={"diag": "exitcode=3\n", "failed": CANCELLED})
    setup.backend.states(ids[:1])
    setup.ce.requests.clear()
    infos = setup.backend.query(ids)
    assert {(info.state, info.exit_code, info.errors) for info in infos.values()} == {
        ("Killed", 3, (CANCELLED.strip(),))
    }
    # The list, all that is written, and of each job why it failed and its log.
    assert len(setup.ce.requests) <= 2 + 2 * MANY
    connections = {request.connection for request in setup.server.requests if "/diagnose/diag" in request.path}
    assert len(connections) > 1
    setup.ce.requests.clear()
    assert setup.backend.query(ids) == infos
    assert len(setup.ce.requests) == 2


@pytest.mark.parametrize(
    "body", [PAGE, b"", b"\x00\xff\xfe", b"in progress\n"], ids=["page", "empty", "binary", "other"]
)
def test_an_answer_that_is_no_state_is_never_taken_for_one(setup: Setup, body: bytes) -> None:
    ids = put(setup, "RUNNING", count=MANY)
    setup.backend.states(ids[:1])
    setup.ce.before = lambda _request: Reply(200, body)
    for few_or_many in (ids[:1], ids):
        with pytest.raises(ServerError):
            setup.backend.states(few_or_many)
    for call in (setup.backend.list_jobs, setup.backend.site):
        with pytest.raises(ServerError):
            call()


@pytest.mark.parametrize("what", ["failed", "status", "description"])
def test_a_web_page_in_place_of_a_jobs_log_is_an_error(setup: Setup, what: str) -> None:
    ids = put(setup, "FINISHED")
    page = Reply(200, b"FINISHED", {"Content-Type": "text/html; charset=utf-8"})
    setup.ce.before = lambda request: page if request.path.endswith(f"/diagnose/{what}") else None
    call = setup.backend.description if what == "description" else lambda job_id: setup.backend.states([job_id])
    with pytest.raises(ServerError, match="web page"):
        call(ids[0])


def test_a_job_that_an_answer_leaves_out_is_not_taken_for_unknown(setup: Setup) -> None:
    ids = put(setup, "FINISHED", count=2)
    setup.ce.before = lambda request: (
        Reply(404) if "/diagnose/" in request.path else xml("<jobs/>") if "action=status" in request.path else None
    )
    with pytest.raises(ServerError, match="does not answer for the job"):
        setup.backend.states(ids)


def test_an_error_about_a_job_is_not_taken_for_unknown(setup: Setup) -> None:
    ids = put(setup, "FINISHED")
    name = ids[0].rpartition("/")[2]
    answer = xml(f"<jobs><job><status-code>500</status-code><reason>Oops</reason><id>{name}</id></job></jobs>")
    setup.ce.before = lambda request: (
        Reply(404) if "/diagnose/" in request.path else answer if "action=status" in request.path else None
    )
    with pytest.raises(ServerError, match="500 Oops"):
        setup.backend.states(ids)


def test_a_server_that_changes_its_mind_all_the_time_is_asked_a_few_times_only(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.states._RETRY_STEP", 0.0)
    ids = put(setup, "FINISHED")
    setup.backend._states.discard([ids[0].rpartition("/")[2]])
    words = itertools.cycle([b"FINISHED", b"INLRMS"])
    setup.ce.before = lambda request: Reply(200, next(words)) if request.path.endswith("/status") else None
    with pytest.raises(ServerUnavailableError, match="one state after another"):
        setup.backend.states(ids)
    assert len(setup.ce.requests) < 20


def test_waiting_for_many_jobs_to_run_again_asks_ever_more_slowly(setup: Setup) -> None:
    ids = put(setup, "FAILED", count=MANY)
    names = [job_id.rpartition("/")[2] for job_id in ids]
    setup.backend.states(ids[:1])
    setup.ce.requests.clear()
    timer = threading.Timer(1.5, lambda: [setattr(setup.ce.jobs[name], "state", "SUBMITTING") for name in names])
    timer.start()
    assert setup.backend._states.wait_for_another_run(names) == []
    timer.join()
    assert len(setup.ce.requests) <= 6


def test_infos_of_many_jobs_take_two_requests(setup: Setup) -> None:
    ids = put(setup, "RUNNING", "RUNNING", count=MANY) + put(setup, "FINISHED", count=MANY)
    setup.backend.states(ids[:1])
    setup.ce.requests.clear()
    assert len(setup.backend.query(ids)) == 2 * MANY
    assert len(setup.ce.requests) == 2


def test_questions_stay_few_however_many_jobs_there_are_besides(setup: Setup) -> None:
    ids = put(setup, "PREPARING", count=500)
    setup.backend.query(ids)
    for asked in (ids[:100], ids[:100], ids[:60]):
        setup.ce.requests.clear()
        assert setup.backend.states(asked) == dict.fromkeys(asked, "Preparing")
        assert len(setup.ce.requests) == 1
    setup.ce.requests.clear()
    setup.backend.states(ids[:1])
    (request,) = setup.ce.requests
    assert "diagnose/status" in request


def test_a_job_that_another_process_restarts_is_seen_to_run_again(setup: Setup) -> None:
    for count in (1, MANY):
        ids = put(setup, "FAILED", count=count)
        assert set(setup.backend.states(ids).values()) == {"Failed"}
        for job_id in ids:
            setup.ce.jobs[job_id.rpartition("/")[2]].state = "SUBMITTING"
        assert set(setup.backend.states(ids).values()) == {"Submitting"}


def test_many_jobs_that_seem_to_be_gone_are_looked_at_several_at_a_time(setup: Setup) -> None:
    ids = put(setup, "WIPED", count=MANY)
    setup.backend.states(ids[:1])
    assert set(setup.backend.states(ids).values()) == {"Deleted"}
    asked = [request for request in setup.server.requests if request.path.endswith("/status")]
    assert len({request.connection for request in asked}) > 1


def test_few_of_very_many_jobs_are_asked_about_one_by_one(setup: Setup) -> None:
    ids = put(setup, "PREPARING", count=500)
    setup.backend.states(ids)
    setup.ce.requests.clear()
    setup.backend.states(ids[:40])
    assert not any(request.startswith("GET /arex/rest/1.0/jobs?") for request in setup.ce.requests)
    setup.ce.requests.clear()
    setup.backend.states(ids[:60])
    assert len(setup.ce.requests) == 1


def test_one_reason_that_cannot_be_read_does_not_spoil_the_states_of_the_others(setup: Setup) -> None:
    ids = put(setup, "RUNNING", "RUNNING", count=MANY)
    setup.backend.cancel(ids)
    name = ids[0].rpartition("/")[2]
    setup.ce.before = lambda request: Reply(403) if request.path.endswith(f"/{name}/diagnose/failed") else None
    states = setup.backend.states(ids)
    assert states.pop(ids[0]) == "Failed"
    assert set(states.values()) == {"Killed"}


@pytest.mark.parametrize("body", [PAGE, b"\x00\xff\xfe\x01"], ids=["page", "binary"])
def test_what_tells_no_reason_is_not_taken_for_a_failure(setup: Setup, body: bytes) -> None:
    ids = put(setup, "FINISHED")
    setup.ce.before = lambda request: Reply(200, body) if request.path.endswith("/failed") else None
    with pytest.raises(ServerError, match="something else than why"):
        setup.backend.states(ids)


def test_a_job_that_is_erased_is_asked_for_again(setup: Setup) -> None:
    ids = put(setup, "FINISHED", count=2)
    jobs = dict(setup.ce.jobs)
    setup.backend.states(ids)
    setup.backend.clean(ids)
    setup.ce.jobs.update(jobs)
    assert set(setup.backend.states(ids)) == set(ids)
    setup.ce.jobs.clear()
    assert setup.backend.states(ids) == {}


def test_the_state_of_one_job_takes_two_requests_at_most(setup: Setup) -> None:
    for state in ("PREPARING", "RUNNING", "FINISHED", "FAILED"):
        (job_id,) = put(setup, state)
        setup.backend.states([job_id])
        setup.ce.requests.clear()
        setup.backend.states([job_id])
        assert len(setup.ce.requests) <= 2, setup.ce.requests


def test_the_exit_code_is_there_with_the_end(setup: Setup) -> None:
    diag = "nodename=node7\nexitcode=0\nWallTime=12s\n"
    diag += "LRMSStartTime=20261120081801Z\nLRMSEndTime=20261120081813Z\nexitcode=5\n"
    (job_id,) = put(setup, "FAILED", "RUNNING", logs={"diag": diag})
    info = setup.backend.query([job_id])[job_id]
    assert (info.exit_code, info.nodes, info.wall_time) == (5, ("node7",), timedelta(seconds=12))
    assert info.errors == ("LRMS error: (3) Job failed",)
    assert info.ended == datetime(2026, 11, 20, 8, 18, 13, tzinfo=timezone.utc)
    setup.ce.jobs[job_id.rpartition("/")[2]].written = "FAILED"
    setup.ce.jobs[job_id.rpartition("/")[2]].info = "<ExitCode>6</ExitCode>"
    assert setup.backend.query([job_id])[job_id].exit_code == 6


def test_unknown_jobs_are_absent(setup: Setup) -> None:
    known = put(setup, "RUNNING", count=MANY)
    strangers = [setup.url("nobody"), "https://other.example/arex/rest/1.0/jobs/x", "file:///x"]
    assert set(setup.backend.states([*strangers, known[0]])) == {known[0]}
    assert set(setup.backend.query([*strangers, *known])) == set(known)
    assert setup.backend.query([]) == setup.backend.states([]) == {}


@pytest.mark.parametrize("count", [1, MANY], ids=["one", "many"])
@pytest.mark.parametrize("gap", [2, 3, 4])
def test_a_job_whose_state_is_being_moved_is_neither_unknown_nor_wiped(setup: Setup, count: int, gap: int) -> None:
    ids = put(setup, "FINISHED", "RUNNING", count=count)
    setup.ce.jobs[ids[0].rpartition("/")[2]].gap = gap
    assert setup.backend.states(ids) == dict.fromkeys(ids, "Finished")


def test_a_job_whose_state_is_not_to_be_had_has_none(setup: Setup) -> None:
    ids = put(setup, "RUNNING", "RUNNING", count=MANY)
    setup.ce.jobs[ids[0].rpartition("/")[2]].gap = 100
    states = setup.backend.states(ids)
    silent = states.pop(ids[0])
    assert isinstance(silent, ServerUnavailableError) and "does not tell the state" in str(silent)
    assert states == dict.fromkeys(ids[1:], "Running")
    # Where no job could be answered for, the question failed.
    with pytest.raises(ServerUnavailableError, match="does not tell the state"):
        setup.backend.states(ids[:1])
    with pytest.raises(ServerUnavailableError, match="does not tell the state"):
        setup.backend.query(ids)


def test_a_question_about_the_batch_system_that_fails_spoils_no_other_job(setup: Setup) -> None:
    finished, running = put(setup, "FINISHED") + put(setup, "RUNNING", "RUNNING")
    setup.ce.before = lambda request: Reply(500, reason="Not allowed") if "action=status" in request.path else None
    states = setup.backend.states([finished, running])
    assert states[finished] == "Finished" and isinstance(states[running], ServerError)


def test_a_job_is_known_by_the_servers_own_id_too(setup: Setup) -> None:
    (job_id,) = put(setup, "FINISHED")
    assert setup.backend.query([job_id])[job_id].native_id == job_id.rpartition("/")[2]


def test_the_jobs_of_this_server_are_told_by_their_ids(setup: Setup) -> None:
    host = setup.server.endpoint.partition("//")[2]
    assert setup.backend.owns(setup.url("a"))
    assert setup.backend.owns(f"https://{host}/rest/1.1/jobs/a")
    assert not setup.backend.owns("https://elsewhere.example/arex/rest/1.0/jobs/a")
    assert not setup.backend.owns(f"https://{host}/rest/1.0/jobs/a/b")


def test_a_job_whose_files_were_erased_by_the_server(setup: Setup) -> None:
    ids = put(setup, "WIPED", "FINISHED", count=MANY)
    assert setup.backend.states(ids[:1]) == {ids[0]: "Deleted"}
    assert setup.backend.states(ids) == dict.fromkeys(ids, "Deleted")


def test_a_job_of_another_compute_element_is_never_asked_for_there(setup: Setup) -> None:
    other = "https://other.example/arex/rest/1.0/jobs/x"
    for call in (setup.backend.cancel, setup.backend.clean, setup.backend.renew, setup.backend.restart):
        (error,) = call([other]).values()
        assert isinstance(error, JobNotFoundError)
        assert "not a job of the compute element" in str(error)
    for read in (setup.backend.list_files, setup.backend.evidence, lambda job_id: setup.backend.open(job_id, "x")):
        with pytest.raises(JobNotFoundError, match="not a job of the compute element"):
            read(other)
    assert setup.server.requests == []


def test_ids_that_only_look_like_this_ones(setup: Setup) -> None:
    host = setup.server.endpoint
    for job_id in (
        f"{host}/rest/1.0/jobs/../x",
        f"{host}/rest/1.0/jobs/x?y",
        f"{host}x/rest/1.0/jobs/x",
        f"{host}/jobs",
    ):
        (error,) = setup.backend.cancel([job_id]).values()
        assert isinstance(error, JobNotFoundError)


def test_the_newest_common_version_is_spoken(setup: Setup) -> None:
    setup.ce.versions = ("1.0", "1.1", "2.0")
    (job_id,) = put(setup, "RUNNING")
    assert "/1.0/" in job_id
    assert setup.backend.states([job_id])
    assert all("/1.1/" in request for request in setup.ce.requests[1:])


def test_a_server_that_speaks_no_version_of_ours(setup: Setup) -> None:
    setup.ce.versions = ("7.3",)
    with pytest.raises(ServerError, match=r"7\.3.*1\.1 and 1\.0"):
        setup.backend.list_jobs()


def test_a_failed_query_raises(setup: Setup) -> None:
    ids = put(setup, "RUNNING", count=MANY)
    setup.backend.states(ids)
    setup.ce.before = lambda request: Reply(500, reason="No more jobs allowed")
    for ask in (setup.backend.states, setup.backend.query):
        with pytest.raises(ServerError):
            ask(ids)


def test_answers_about_jobs_that_nobody_asked_for_count_for_nothing(setup: Setup) -> None:
    ids = put(setup, "RUNNING", count=MANY)

    def lie(request: Request, reply: Reply) -> Reply:
        return xml(reply.body.decode().replace("</jobs>", "<job><id>other</id><state>FINISHED</state></job></jobs>"))

    setup.ce.after = lambda request, reply: lie(request, reply) if "jobs?" in request.path else reply
    assert set(setup.backend.states(ids)) == set(ids)


def test_cancel_and_clean_say_what_failed(setup: Setup) -> None:
    ids = put(setup, "RUNNING", count=2)
    missing = setup.url("nobody")
    assert {job_id: type(error) for job_id, error in setup.backend.cancel([*ids, missing]).items()} == {
        missing: JobNotFoundError
    }
    assert setup.backend.clean([*ids, missing]) == {}
    assert setup.ce.jobs == {}


def test_a_job_that_has_not_ended_is_not_erased(setup: Setup) -> None:
    ended, running = put(setup, "FINISHED")[0], put(setup, "RUNNING")[0]
    failures = setup.backend.clean([ended, running, setup.url("gone")])
    assert {job_id: type(error) for job_id, error in failures.items()} == {running: OperationNotPossibleError}
    assert [setup.url(name) for name in setup.ce.jobs] == [running]
    assert setup.ce.jobs[running.rpartition("/")[2]].state == "RUNNING"


@pytest.mark.parametrize("action", ["clean", "kill"])
def test_what_was_done_counts_when_a_later_request_fails(
    setup: Setup, action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.api._BATCH_SIZE", 2)
    ids = put(setup, "FINISHED" if action == "clean" else "RUNNING", count=6)
    done: list[str] = []

    def outage(request: Request) -> Reply | None:
        if f"action={action}" not in request.path:
            return None
        done.append(action)
        return Reply(503) if len(done) > 1 else None

    setup.ce.before = outage
    call = setup.backend.clean if action == "clean" else setup.backend.cancel
    failures = call(ids)
    assert list(failures) == ids[2:]
    assert all(isinstance(error, ServerUnavailableError) and "503" in str(error) for error in failures.values())
    assert len(done) == 2
    assert len(setup.ce.jobs) == (4 if action == "clean" else 6)
    with pytest.raises(ServerUnavailableError):
        call(ids)


def credentials_end(within: timedelta) -> str:
    return f"<ProxyExpirationTime>{datetime.now(timezone.utc) + within:%Y-%m-%dT%H:%M:%SZ}</ProxyExpirationTime>"


def test_credentials_are_renewed_while_jobs_wait(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    soon, late = timedelta(minutes=10), timedelta(hours=10)
    for state, ends, delegation in (("RUNNING", soon, "a"), ("RUNNING", late, "b"), ("FINISHED", soon, "c")):
        put(setup, state, info=credentials_end(ends), delegations=[delegation])
    for _ in range(2):
        setup.backend.query(setup.backend.list_jobs())
    assert setup.ce.renewed == ["a"]
    assert not caplog.records


@pytest.mark.parametrize("state", ["PREPARING", "RUNNING"])
def test_credentials_are_renewed_by_whoever_asks_for_states(setup: Setup, state: str) -> None:
    setup.backend.submit([job(outputs=["*.nc"])] * 2)
    for submitted in setup.ce.jobs.values():
        submitted.state, submitted.info = state, credentials_end(timedelta(minutes=10))
    foreign = put(setup, state, info=credentials_end(timedelta(minutes=10)), delegations=["bindings"])
    put(setup, state, info=credentials_end(timedelta(hours=10)), delegations=["lasting"])
    put(setup, "FINISHED", info=credentials_end(timedelta(minutes=10)), delegations=["ended"])
    other = setup.another_backend()
    other.states(other.list_jobs())
    assert setup.ce.renewed == ["deleg1", "bindings"]
    setup.ce.requests.clear()
    other.states(foreign)
    assert not any("info" in request or "delegations" in request for request in setup.ce.requests)


def held_for(time: timedelta) -> bytes:
    key = rsa_key()
    return certificate("delegated", key, "delegated", key, ends=time).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("least", "held", "renewed"),
    [
        (timedelta(hours=1), timedelta(minutes=10), ["a"]),
        # What is published is as old as the job, and another process has renewed it since.
        (timedelta(hours=1), timedelta(hours=10), []),
        # Its proxy lasts longer than ours.
        (timedelta(days=2), timedelta(days=1), []),
    ],
)
def test_credentials_never_become_shorter(setup: Setup, least: timedelta, held: timedelta, renewed: list[str]) -> None:
    ids = put(setup, "RUNNING", info=credentials_end(timedelta(minutes=10)), delegations=["a"])
    setup.ce.held["a"] = held_for(held)
    setup.backend._delegations._min_left = least
    setup.backend.states(ids)
    assert setup.ce.renewed == renewed


def test_many_credentials_are_renewed_a_few_at_a_time(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delegations, "_MAX_SECONDS", 0.0)
    soon = credentials_end(timedelta(minutes=10))
    ids = [put(setup, "RUNNING", info=soon, delegations=[name])[0] for name in ("a", "b", "c")]
    for count in (1, 2, 3, 3):
        setup.backend.states(ids)
        assert len(setup.ce.renewed) == count


def test_a_job_is_looked_at_again_for_its_credentials(setup: Setup) -> None:
    ids = put(setup, "RUNNING", info=credentials_end(timedelta(hours=1.05)), delegations=["a"])
    setup.backend.states(ids)
    (waiting,) = setup.ce.jobs.values()
    waiting.info = credentials_end(timedelta(minutes=50))
    setup.backend.states(ids)
    assert setup.ce.renewed == []
    setup.backend._delegations._interval = 0
    setup.backend.states(ids)
    assert setup.ce.renewed == ["a"]


def test_states_are_told_even_if_nothing_is_known_of_credentials(setup: Setup) -> None:
    ids = put(setup, "PREPARING")
    setup.ce.before = lambda request: Reply(500, reason="Not allowed") if "info" in request.path else None
    assert setup.backend.states(ids) == {ids[0]: "Preparing"}


def test_renew_renews_each_delegation_once(setup: Setup) -> None:
    ids = put(setup, "RUNNING", count=3, delegations=["a"]) + put(setup, "RUNNING")
    missing = setup.url("nobody")
    # A job that needs no credentials has none, which is no failure.
    assert list(setup.backend.renew([*ids, missing])) == [missing]
    assert setup.ce.renewed == ["a"]


def test_evidence_is_what_the_server_has(setup: Setup) -> None:
    (job_id,) = put(setup, "FAILED", logs={"errors": "a log\n", "diag": ""})
    evidence = setup.backend.evidence(job_id)
    assert evidence["failed"] == "LRMS error: (3) Job failed\n"
    assert evidence["errors"] == "a log\n"
    assert "diag" not in evidence
    with pytest.raises(JobNotFoundError):
        setup.backend.evidence(setup.url("nobody"))


def test_credentials_that_a_job_does_not_have_do_not_end(setup: Setup) -> None:
    """The server tells when those end with which it was submitted."""
    ends = credentials_end(timedelta(hours=10))
    some, none = (put(setup, "RUNNING", "RUNNING", info=ends, delegations=held)[0] for held in (["a"], []))
    for _ in range(2):
        infos = setup.backend.query([some, none])
        assert infos[some].proxy_expires is not None and infos[none].proxy_expires is None
    assert sum("action=delegations" in request for request in setup.ce.requests) == 1


def test_when_credentials_end_stays_as_told_where_nobody_says_whose_they_are(setup: Setup) -> None:
    (job_id,) = put(setup, "RUNNING", "RUNNING", info=credentials_end(timedelta(hours=10)))
    setup.ce.before = lambda request: Reply(500, reason="Not allowed") if "delegations" in request.path else None
    assert setup.backend.query([job_id])[job_id].proxy_expires is not None
