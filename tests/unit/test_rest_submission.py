from __future__ import annotations

import getpass
import io
import logging
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from faults.fake_ce import FakeJob
from faults.https_server import RESET, Certificates, Reply, Request, xml
from faults.rest_setup import Setup, job, rest_setup
from pki import attribute_certificate, certificate, rsa_key, voms_proxy

from jasmin_arc import ArcInterface, JobDescription, JobStatuses
from jasmin_arc.credentials.rfc3820 import load_certificates, load_key
from jasmin_arc.credentials.voms import extension
from jasmin_arc.exceptions import (
    InputFileError,
    JobListError,
    JobSubmissionError,
    NoTargetsAvailableError,
    ProxyGenerationError,
    ServerError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list import JobList, JobRecord, new_token

NEEDY: dict[str, Any] = {"outputs": ["*.nc"]}
"""What makes a job need credentials"""


@pytest.fixture
def setup(tmp_path: Path, certificates: Certificates) -> Iterator[Setup]:
    with rest_setup(tmp_path, certificates, TIMEOUT=2) as made:
        yield made


def unfinished(setup: Setup) -> list[str]:
    return [record.phase for record in setup.job_list.unfinished(setup.server.endpoint)]


def listed(setup: Setup) -> list[JobRecord]:
    return list(setup.job_list.get(setup.job_list.ids()).values())


def posts(setup: Setup) -> int:
    return sum("action=new" in request and "/jobs" in request for request in setup.ce.requests)


def creation(reply: Reply) -> object:
    return lambda request, honest: reply if "/jobs?action=new" in request.path else honest


def test_a_job_is_in_the_list_complete_and_described(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"from a file")
    description = job("cat data text", name="the job", inputs={"data": tmp_path / "data", "text": b"given"}, **NEEDY)
    (job_id,) = setup.backend.submit([description])
    fake = setup.ce.jobs["job0"]
    assert job_id == setup.url("job0")
    assert fake.files["data"] == b"from a file"
    assert fake.files["text"] == b"given"
    assert list(fake.files)[-1] == ".jasmin_arc_run"
    (record,) = listed(setup)
    assert (record.id, record.name, record.phase) == (job_id, "the job", "submitted")
    assert record.token in fake.description
    assert fake.delegations == [record.delegation_id] == ["deleg1"]
    assert unfinished(setup) == []


def test_ids_come_in_the_order_of_the_jobs(setup: Setup) -> None:
    ids = setup.backend.submit([job(name=f"n{number}") for number in range(120)])
    names = [setup.ce.jobs[str(job_id).rpartition("/")[2]].description for job_id in ids]
    assert all(f"<Name>n{number}<" in text or f"Name>n{number}<" in text for number, text in enumerate(names))
    assert posts(setup) == 3
    assert len(setup.job_list.ids()) == 120


def test_many_jobs_share_one_delegation(setup: Setup) -> None:
    setup.backend.submit([job(**NEEDY)] * 60)
    setup.backend.submit([job(**NEEDY)])
    assert {entry for fake in setup.ce.jobs.values() for entry in fake.delegations} == {"deleg1"}


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ({}, False),
        ({"inputs": {"text": b"given"}, "stdin": b"", "outputs": ["a", "b/c"], "wall_time": "1h"}, False),
        ({"inputs": {"data": "https://data.example.org/data"}}, True),
        ({"outputs": {"result": "https://data.example.org/result"}}, True),
        ({"outputs": ["*.nc"]}, True),
        ({"runtime_environments": ["ENV/PROXY"]}, True),
        ({"runtime_environments": ["env/proxy-1.0", "APPS/R"]}, True),
        ({"runtime_environments": ["APPS/R"]}, False),
    ],
)
def test_only_jobs_that_need_credentials_get_some(setup: Setup, options: dict[str, Any], needed: bool) -> None:
    setup.backend.submit([job(**options), job()])
    assert [fake.delegations for fake in setup.ce.jobs.values()] == [["deleg1"] if needed else [], []]
    assert [record.delegation_id for record in listed(setup)] == ["deleg1" if needed else "", ""]
    assert any("/delegations" in request for request in setup.ce.requests) == needed


@pytest.mark.parametrize("answered", ["long ago", "a moment ago"])
def test_nothing_is_left_where_the_server_is_away(setup: Setup, answered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if answered == "long ago":
        monkeypatch.setattr("jasmin_arc.backends.rest.api._REACHABLE_SECONDS", 0.0)
    setup.backend.submit([job()])
    setup.server.close()
    with pytest.raises(NoTargetsAvailableError, match=r"was not submitted|nothing was submitted"):
        setup.backend.submit([job(), job()])
    assert len(listed(setup)) == 1
    assert unfinished(setup) == []


def held(**ends: timedelta) -> bytes:
    return certificate("delegated", rsa_key(), "delegated", rsa_key(), **ends).public_bytes(serialization.Encoding.PEM)


def test_the_next_process_finds_the_delegation_again(setup: Setup) -> None:
    setup.backend.submit([job(**NEEDY)])
    setup.ce.held["deleg1"] = held(ends=timedelta(hours=10))
    for _ in range(2):
        other = setup.another_backend()
        other.submit([job(**NEEDY)])
        other.close()
    assert {entry for fake in setup.ce.jobs.values() for entry in fake.delegations} == {"deleg1"}
    beside = Path(setup.config.PROXY_FILE + ".delegations")
    assert beside.stat().st_mode & 0o777 == 0o600
    assert "deleg1" in beside.read_text()


def test_a_delegation_of_another_process_that_ends_soon_is_renewed(setup: Setup) -> None:
    setup.backend.submit([job(**NEEDY)])
    setup.ce.held["deleg1"] = held(ends=timedelta(minutes=1))
    other = setup.another_backend()
    other.submit([job(**NEEDY)])
    other.close()
    assert setup.ce.renewed == ["deleg1"]


@pytest.mark.parametrize("why", ["gone", "another proxy", "nonsense", "a link", "a hostile id"])
def test_a_delegation_that_cannot_be_used_is_made_anew(setup: Setup, tmp_path: Path, why: str) -> None:
    setup.backend.submit([job(**NEEDY)])
    beside = Path(setup.config.PROXY_FILE + ".delegations")
    if why != "gone":
        setup.ce.held["deleg1"] = held(ends=timedelta(hours=10))
    if why == "another proxy":
        Path(setup.config.PROXY_FILE).unlink()
    elif why == "nonsense":
        beside.write_text("[]")
    elif why == "a link":
        beside.rename(tmp_path / "elsewhere")
        beside.symlink_to(tmp_path / "elsewhere")
    elif why == "a hostile id":
        beside.write_text(beside.read_text().replace("deleg1", "../../jobs"))
    other = setup.another_backend()
    other.submit([job(**NEEDY)])
    other.close()
    assert [fake.delegations for fake in setup.ce.jobs.values()] == [["deleg1"], ["deleg2"]]
    assert not any(".." in request for request in setup.ce.requests)


def test_a_proxy_with_other_attributes_has_a_delegation_of_its_own(setup: Setup) -> None:
    setup.backend.submit([job(**NEEDY)])
    # The user makes another one while this process runs.
    user = load_certificates(Path(setup.config.CLIENT_CERT).read_bytes())[0]
    key = load_key(Path(setup.config.CLIENT_KEY).read_bytes())
    wrapped = extension(attribute_certificate(user, "/testvo"))
    Path(setup.config.PROXY_FILE).write_bytes(voms_proxy(user, key, lifetime=timedelta(hours=10), attributes=wrapped))
    setup.backend.submit([job(**NEEDY)])
    setup.backend.submit([job(**NEEDY)])
    assert [fake.delegations for fake in setup.ce.jobs.values()] == [["deleg1"], ["deleg2"], ["deleg2"]]


def test_a_delegation_is_renewed_before_it_runs_out(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.backend.submit([job(**NEEDY)])
    setup.backend._delegations._ends["deleg1"] = datetime.now(timezone.utc) + timedelta(minutes=10)
    setup.backend.submit([job(**NEEDY)])
    assert setup.ce.renewed == ["deleg1"]
    setup.backend.states(setup.job_list.ids())
    assert setup.ce.renewed == ["deleg1"]


def test_one_bad_job_does_not_spoil_the_rest(setup: Setup, tmp_path: Path) -> None:
    jobs = [job(), job(inputs=[tmp_path / "missing"]), job(name="refuse me"), job()]
    counted: list[int] = []
    results = setup.backend.submit(jobs, progress=counted.append)
    assert [type(result) for result in results] == [str, InputFileError, JobSubmissionError, str]
    assert "do not like it" in str(results[2])
    assert "missing" in str(results[1])
    assert sum(counted) == 4
    assert [job_id for job_id in results if isinstance(job_id, str)] == setup.job_list.ids()
    assert unfinished(setup) == []


def test_nothing_is_sent_for_a_job_without_its_inputs(setup: Setup, tmp_path: Path) -> None:
    (result,) = setup.backend.submit([job(inputs=[tmp_path / "missing"])])
    assert isinstance(result, InputFileError)
    assert setup.server.requests == []


def test_a_server_out_of_reach_offers_nothing(setup: Setup) -> None:
    setup.server.close()
    with pytest.raises(NoTargetsAvailableError, match="cannot connect"):
        setup.backend.submit([job()])
    assert unfinished(setup) == []


@pytest.mark.parametrize("description", [job(), job(**NEEDY)])
def test_a_path_without_a_compute_element_is_named_and_nothing_is_left(
    setup: Setup, description: JobDescription
) -> None:
    setup.ce.before = lambda request: Reply(404, reason="Not Found")
    with pytest.raises(ServerError, match="has no ARC REST interface under /arex; check the path in ARC_SERVER"):
        setup.backend.submit([description])
    assert unfinished(setup) == []


def test_nothing_is_left_where_the_version_cannot_be_asked_for_any_more(setup: Setup) -> None:
    asked: list[str] = []

    def only_once(request: Request) -> Reply | None:
        asked.append(request.path)
        return Reply(404, reason="Not Found") if len(asked) > 1 else None

    setup.ce.before = only_once
    with pytest.raises(ServerError):
        setup.backend.submit([job()])
    assert unfinished(setup) == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=[RESET]),
        Reply(raw=[b"HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n<jobs>"]),
        Reply(502),
        xml("<jobs><job>", 201),
        xml("<jobs/>", 201),
        xml("<jobs><job><status-code>201</status-code><id>../../x</id></job></jobs>", 201),
    ],
    ids=["reset", "cut", "502", "malformed", "too few", "impossible id"],
)
def test_a_lost_answer_is_unknown_and_the_job_does_not_run(setup: Setup, reply: Reply) -> None:
    setup.ce.after = creation(reply)  # type: ignore[assignment]
    (result,) = setup.backend.submit([job()])
    assert isinstance(result, SubmissionUnknownError)
    assert "recover" in str(result)
    assert posts(setup) == 1
    assert [fake.complete for fake in setup.ce.jobs.values()] == [False]
    assert unfinished(setup) == ["intended"]
    assert setup.job_list.ids() == []


def test_two_jobs_under_one_id_are_unknown(setup: Setup) -> None:
    twin = "<job><status-code>201</status-code><id>a</id></job>"
    setup.ce.after = creation(xml(f"<jobs>{twin * 2}</jobs>", 201))  # type: ignore[assignment]
    results = setup.backend.submit([job(), job()])
    assert [type(result) for result in results] == [SubmissionUnknownError] * 2


def test_a_refused_request_leaves_nothing(setup: Setup) -> None:
    def refuse(request: Request) -> Reply | None:
        return Reply(500, reason="No more jobs allowed") if "/jobs?action=new" in request.path else None

    setup.ce.before = refuse
    results = setup.backend.submit([job(), job()])
    assert [type(result) for result in results] == [JobSubmissionError] * 2
    assert "No more jobs allowed" in str(results[0])
    assert unfinished(setup) == []


def test_a_job_whose_input_is_not_stored_is_erased(setup: Setup) -> None:
    def full(request: Request) -> Reply | None:
        return Reply(500, reason="Error writing to file") if request.path.endswith("job1/session/data") else None

    setup.ce.before = full
    results = setup.backend.submit([job(inputs={"data": b"x"}) for _ in range(3)])
    assert [type(result) for result in results] == [str, JobSubmissionError, str]
    assert "Error writing" in str(results[1])
    assert set(setup.ce.jobs) == {"job0", "job2"}
    assert unfinished(setup) == []


@pytest.mark.parametrize("change", [b"longer than it was", b"s", None])
def test_an_input_that_changes_meanwhile(setup: Setup, tmp_path: Path, change: bytes | None) -> None:
    data = tmp_path / "data"
    data.write_bytes(b"as planned")

    def meddle(request: Request, reply: Reply) -> Reply:
        if "/jobs?action=new" in request.path:
            data.unlink() if change is None else data.write_bytes(change)
        return reply

    setup.ce.after = meddle
    (result,) = setup.backend.submit([job(inputs=[data])])
    assert isinstance(result, InputFileError)
    assert "data" in str(result)
    assert setup.ce.jobs == {}
    assert unfinished(setup) == []


def test_a_lost_answer_to_the_last_upload_is_looked_up(setup: Setup) -> None:
    setup.ce.after = lambda request, reply: Reply(raw=[RESET]) if request.path.endswith("_run") else reply
    (result,) = setup.backend.submit([job()])
    assert result == setup.url("job0")
    assert setup.job_list.ids() == [result]


def test_a_job_that_cannot_be_completed_or_erased_is_left_to_recover(setup: Setup) -> None:
    def down(request: Request) -> Reply | None:
        return Reply(503) if "/session" in request.path or "kill" in request.path else None

    setup.ce.before = down
    (result,) = setup.backend.submit([job()])
    assert isinstance(result, SubmissionUnknownError)
    assert unfinished(setup) == ["created"]
    setup.ce.before = lambda request: None
    assert setup.another_backend().recover() == {setup.url("job0"): None}
    assert setup.ce.jobs == {}
    assert unfinished(setup) == []


@pytest.mark.parametrize("silent", ["kill", "clean"])
def test_a_server_that_does_not_say_whether_a_job_was_erased(setup: Setup, silent: str) -> None:
    def deaf(request: Request) -> Reply | None:
        if request.path.endswith(f"action={silent}"):
            return xml("<jobs/>", 201)
        return Reply(500, reason="Error writing to file") if "/session" in request.path else None

    setup.ce.before = deaf
    (result,) = setup.backend.submit([job()])
    assert isinstance(result, SubmissionUnknownError)
    assert "cannot be erased now" in str(result)
    assert unfinished(setup) == ["created"]


def test_a_job_that_cannot_be_erased_without_a_proxy_is_left_to_recover(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ProxyGenerationError("the proxy has ended")

    setup.ce.before = lambda request: Reply(503) if "/session" in request.path else None
    monkeypatch.setattr(setup.backend._api, "act_on_jobs", refuse)
    (result,) = setup.backend.submit([job()])
    assert isinstance(result, SubmissionUnknownError)
    assert unfinished(setup) == ["created"]


class FailingList(JobList):
    """A job list whose disk is full at one point."""

    def __init__(self, path: Path, step: str) -> None:
        super().__init__(path)
        self._step = step

    def __getattribute__(self, name: str) -> object:
        if name != "_step" and name == self._step:
            raise JobListError("the disk is full")
        return super().__getattribute__(name)


@pytest.mark.parametrize("step", ["intend", "created", "commit"])
def test_a_job_list_that_cannot_be_written(setup: Setup, tmp_path: Path, step: str) -> None:
    setup.backend._journal.job_list = FailingList(tmp_path / "jobs.dat", step)
    if step == "intend":
        with pytest.raises(JobListError, match="full"):
            setup.backend.submit([job()])
        assert setup.ce.jobs == {}
        return
    (result,) = setup.backend.submit([job()])
    if step == "created":
        assert isinstance(result, JobListError)
        assert setup.ce.jobs == {}
    else:
        assert isinstance(result, SubmissionUnknownError)
        assert "runs" in str(result)
        recovered = setup.another_backend().recover()
        assert list(recovered) == setup.job_list.ids() == [setup.url("job0")]
    assert unfinished(setup) == []


@pytest.mark.parametrize("known", [True, False], ids=["submitted", "lost"])
def test_a_later_wave_does_not_hide_what_became_of_those_before(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.submission._WAVE_JOBS", 1)

    def fill_disk(request: Request, reply: Reply) -> Reply:
        if "/jobs?action=new" in request.path:
            setup.backend._journal.job_list = FailingList(setup.job_list.path, "intend")
            return reply if known else Reply(raw=[RESET])
        return reply

    setup.ce.after = fill_disk
    results = setup.backend.submit([job(), job(), job()])
    assert [type(result) for result in results] == [str if known else SubmissionUnknownError, *[JobListError] * 2]


@pytest.mark.parametrize(
    "location",
    ["https://evil.example/a/xyz", "//evil.example/xyz", "http://localhost/a/xyz", "https://[/xyz", "", "/a/"],
)
def test_a_delegation_elsewhere_is_refused(setup: Setup, location: str) -> None:
    def elsewhere(request: Request, reply: Reply) -> Reply:
        return Reply(201, setup.ce.csr, {"Location": location}) if "delegations" in request.path else reply

    setup.ce.after = elsewhere
    with pytest.raises(ServerError, match="begins a delegation"):
        setup.backend.submit([job(**NEEDY)])
    assert setup.ce.jobs == {}
    assert not any(request.method == "PUT" for request in setup.server.requests)


@pytest.mark.parametrize("start", ["", "/", "{host}/"], ids=["name", "path", "URL"])
def test_a_delegation_here_may_be_named_in_several_ways(setup: Setup, start: str) -> None:
    where = start.format(host=setup.server.endpoint)

    def here(request: Request, reply: Reply) -> Reply:
        return Reply(201, setup.ce.csr, {"Location": f"{where}abc"}) if request.path.endswith("s?action=new") else reply

    setup.ce.after = lambda request, reply: here(request, reply) if "delegations" in request.path else reply
    setup.backend.submit([job(**NEEDY)])
    assert setup.ce.jobs["job0"].delegations == ["abc"]


# --- recover() ---


def forge(setup: Setup, tmp_path: Path, phase: str, *, runs: bool = False, exists: bool = True) -> str:
    """Leave behind what a process leaves that is killed in the middle, and return the name of its job."""
    with_lost_answer = setup.another_backend()
    setup.ce.after = creation(Reply(raw=[RESET]))  # type: ignore[assignment]
    with_lost_answer.submit([job(name="left")])
    with_lost_answer.close()
    setup.ce.after = lambda request, reply: reply
    name = list(setup.ce.jobs)[-1]
    (record,) = setup.job_list.unfinished(setup.server.endpoint)[-1:]
    if phase == "created":
        setup.job_list.created({record.token: setup.url(name)})
    if runs:
        setup.ce.jobs[name].files[".jasmin_arc_run"] = b""
    if not exists:
        del setup.ce.jobs[name]
    return name


def test_recover_keeps_what_runs_and_erases_what_never_can(setup: Setup, tmp_path: Path) -> None:
    runs = forge(setup, tmp_path, "created", runs=True)
    created = forge(setup, tmp_path, "created")
    lost = forge(setup, tmp_path, "intended")
    gone = forge(setup, tmp_path, "created", exists=False)
    recovered = setup.backend.recover()
    assert {job_id.rpartition("/")[2]: info and info.state for job_id, info in recovered.items()} == {
        runs: "Preparing",
        created: None,
        lost: None,
        gone: None,
    }
    assert list(setup.ce.jobs) == [runs]
    assert setup.job_list.ids() == [setup.url(runs)]
    assert unfinished(setup) == []


def add_strangers(setup: Setup, like: str, *, delegations: list[str], info: str = "", name: str = "other") -> None:
    example = setup.ce.jobs[like]
    description = description_of(name, "of another")
    for number in range(500):
        key = f"{name}{number}"
        setup.ce.jobs[key] = replace(
            example, name=key, description=description, delegations=delegations, info=info, state="FINISHED"
        )


def description_of(name: str, token: str) -> str:
    identification = f"<Name>{name}</Name><Annotation>jasmin_arc:{token}</Annotation>"
    return f"<ActivityIdentification>{identification}</ActivityIdentification>"


def written_at(moment: datetime) -> str:
    return f"<SubmissionTime>{moment:%Y-%m-%dT%H:%M:%SZ}</SubmissionTime>"


@pytest.mark.parametrize("case", ["other credentials", "none left", "same name, long ago", "of the bindings"])
def test_recover_asks_little_however_many_jobs_there_are(setup: Setup, tmp_path: Path, case: str) -> None:
    ours = forge(setup, tmp_path, "intended")
    if case == "of the bindings":
        # The job list does not know their credentials.
        (record,) = setup.job_list.unfinished(setup.server.endpoint)
        setup.job_list.drop([record.token])
        setup.job_list.intend([replace(record, delegation_id="")])
        setup.job_list.release([record.token])
    same_name = case == "same name, long ago"
    moment = datetime.now(timezone.utc) - timedelta(hours=5 if same_name else 0)
    add_strangers(
        setup,
        ours,
        delegations=["another"] if case == "other credentials" else [],
        info=written_at(moment),
        name="left" if same_name else "other",
    )
    setup.ce.jobs[ours].info = written_at(datetime.now(timezone.utc))
    setup.ce.requests.clear()
    assert list(setup.backend.recover()) == [setup.url(ours)]
    assert len(setup.ce.requests) <= 8
    assert len(setup.ce.jobs) == 500


@pytest.mark.parametrize("document", ["", "<info_document/>", "no name", "name as A-REX writes it"])
def test_a_lost_job_of_which_little_is_written_is_found(setup: Setup, tmp_path: Path, document: str) -> None:
    setup.ce.after = creation(Reply(raw=[RESET]))  # type: ignore[assignment]
    setup.backend.submit([job(name="Größe 1")])
    now = written_at(datetime.now(timezone.utc))
    answers = {
        "no name": f"<info_document><ComputingActivity>{now}</ComputingActivity></info_document>",
        "name as A-REX writes it": "<info_document><ComputingActivity><Name>GrÃ\u00b6Ã\u009fe 1</Name>"
        f"{now}</ComputingActivity></info_document>",
    }
    info = answers.get(document, document)
    answer = xml(f"<jobs><job><status-code>200</status-code><id>job0</id>{info}</job></jobs>", 201)
    setup.ce.after = lambda request, reply: answer if "action=info" in request.path else reply
    assert setup.backend.recover() == {setup.url("job0"): None}


def test_recover_does_not_touch_jobs_of_others(setup: Setup, tmp_path: Path) -> None:
    forge(setup, tmp_path, "intended", exists=False)
    (running,) = setup.backend.submit([job()])
    setup.ce.jobs["stranger"] = replace(setup.ce.jobs["job0"], name="stranger", description="", delegations=[])
    assert setup.backend.recover() == {}
    assert {setup.url(name) for name in setup.ce.jobs} == {running, setup.url("stranger")}


@pytest.mark.parametrize("failure", [Reply(500, reason="Not allowed"), Reply(raw=[RESET])], ids=["refused", "outage"])
def test_a_lost_job_that_cannot_be_looked_at_is_not_forgotten(
    setup: Setup, tmp_path: Path, failure: Reply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.recovery._STILL_ON_ITS_WAY", timedelta(0))
    lost = forge(setup, tmp_path, "intended")
    setup.ce.before = lambda request: failure if request.path.endswith("/description") else None
    with pytest.raises(ServerError):
        setup.backend.recover()
    assert unfinished(setup) == ["intended"]
    setup.ce.before = lambda request: None
    assert setup.backend.recover() == {setup.url(lost): None}
    assert (setup.ce.jobs, unfinished(setup)) == ({}, [])


def test_what_was_found_is_settled_although_another_job_cannot_be_looked_at(setup: Setup, tmp_path: Path) -> None:
    found, hidden = (forge(setup, tmp_path, "intended") for _ in range(2))
    setup.ce.before = lambda request: Reply(403) if f"{hidden}/diagnose/description" in request.path else None
    with pytest.raises(ServerError, match="403"):
        setup.backend.recover()
    assert list(setup.ce.jobs) == [hidden] != [found]
    assert unfinished(setup) == ["intended"]


def test_a_failure_to_settle_one_job_is_told_after_the_others_are_settled(
    setup: Setup, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hidden, created, lost = (forge(setup, tmp_path, phase) for phase in ("created", "created", "intended"))
    setup.ce.before = lambda request: Reply(403) if f"{hidden}/diagnose" in request.path else None
    with pytest.raises(ServerError, match="403"):
        setup.backend.recover()
    assert list(setup.ce.jobs) == [hidden]
    assert unfinished(setup) == ["created"]
    assert all(f"{setup.url(name)} was erased" in caplog.text for name in (created, lost))


def test_what_was_settled_is_told_although_nothing_can_be_erased(
    setup: Setup, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    runs = forge(setup, tmp_path, "created", runs=True)
    half, lost = (forge(setup, tmp_path, phase) for phase in ("created", "intended"))
    setup.ce.before = lambda request: Reply(403) if "action=kill" in request.path else None
    with pytest.raises(ServerError, match="403"):
        setup.backend.recover()
    assert f"{setup.url(runs)} was kept" in caplog.text
    # The lost one was found, so that the next time it is erased with the other.
    assert unfinished(setup) == ["created", "created"]
    setup.ce.before = lambda request: None
    assert setup.backend.recover() == {setup.url(half): None, setup.url(lost): None}


def test_a_lost_job_with_a_long_description_is_found(setup: Setup, tmp_path: Path) -> None:
    lost = forge(setup, tmp_path, "intended")
    setup.ce.jobs[lost].description = "<!--" + "x" * (3 << 20) + "-->" + setup.ce.jobs[lost].description
    assert setup.backend.recover() == {setup.url(lost): None}


def intended_before(setup: Setup, minutes: float) -> str:
    """Write down an intention of some time ago, of a process that is no more, and return its token."""
    record = JobRecord(
        token=new_token(),
        endpoint=setup.server.endpoint,
        name="left",
        submitted=datetime.now(timezone.utc) - timedelta(minutes=minutes),
    )
    setup.job_list.intend([record])
    setup.job_list.release([record.token])
    return record.token


def test_a_job_that_comes_to_be_long_after_its_intention_is_found(setup: Setup) -> None:
    # The last requests of many take their turn, each of them as long as the server needs.
    token = intended_before(setup, minutes=12)
    assert setup.backend.recover() == {}
    assert unfinished(setup) == ["intended"]
    setup.ce.jobs["late"] = FakeJob("late", description_of("left", token))
    setup.ce.jobs["late"].info = written_at(datetime.now(timezone.utc))
    assert setup.backend.recover() == {setup.url("late"): None}
    assert (setup.ce.jobs, unfinished(setup)) == ({}, [])


def test_an_intention_that_nothing_came_of_is_forgotten_in_the_end(setup: Setup) -> None:
    intended_before(setup, minutes=20)
    assert setup.backend.recover() == {}
    assert unfinished(setup) == []


@pytest.mark.parametrize("runs", [True, False])
def test_two_processes_may_recover_at_once(setup: Setup, tmp_path: Path, runs: bool) -> None:
    lost = forge(setup, tmp_path, "intended", runs=runs)
    (record,) = setup.job_list.unfinished(setup.server.endpoint)

    def meanwhile(request: Request, reply: Reply) -> Reply:
        """What another process does that has found the job just before this one."""
        if request.path.endswith("/description") and runs:
            setup.job_list.created({record.token: setup.url(lost)})
            setup.job_list.commit([setup.url(lost)])
        elif request.path.endswith("/description"):
            del setup.ce.jobs[lost]
            setup.job_list.drop([record.token])
        return reply

    setup.ce.after = meanwhile
    recovered = setup.backend.recover()
    assert {job_id: info is not None for job_id, info in recovered.items()} == {setup.url(lost): runs}
    assert setup.job_list.ids() == ([setup.url(lost)] if runs else [])
    assert unfinished(setup) == []


def test_recover_leaves_alone_what_is_being_submitted_right_now(setup: Setup) -> None:
    found: list[object] = []

    def meanwhile(request: Request, reply: Reply) -> Reply:
        if "/jobs?action=new" in request.path:
            record = setup.job_list.unfinished(setup.server.endpoint)[0]
            found.append((record.phase, record.abandoned))
        return reply

    setup.ce.after = meanwhile
    (result,) = setup.backend.submit([job()])
    assert isinstance(result, str)
    assert found == [("intended", False)]


def test_recover_with_nothing_to_do_asks_nothing(setup: Setup) -> None:
    assert setup.backend.recover() == {}
    assert setup.server.requests == []


def test_secrets_are_in_no_log(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    setup.backend.submit([job()])
    assert "PRIVATE KEY" not in caplog.text
    assert b"PRIVATE KEY" not in b"".join(request.body for request in setup.server.requests)
    assert "PRIVATE KEY" not in repr(vars(setup.backend))


def test_what_a_server_tells_late_is_known_from_the_job_list(setup: Setup) -> None:
    with ArcInterface(log=None, config=setup.config) as arc:
        job_id = arc.submit_job("true", name="mine")
        # As long as it has only just accepted it.
        setup.ce.jobs["job0"].description = ""
        setup.ce.jobs["job0"].title = ""
        info = arc.get_job_info(job_id)
    assert info.name == "mine"
    assert info.submitted is not None


def test_nothing_is_asked_for_where_there_is_nothing_to_do(tmp_path: Path, setup: Setup) -> None:
    without_credentials = {**setup.config.as_dict(), "CLIENT_KEY": "/nowhere", "PROXY_FILE": str(tmp_path / "none")}
    with ArcInterface(log=None, config=without_credentials) as arc:
        assert arc.wait([]) == list(arc.as_completed([])) == arc.save_outputs([], tmp_path / "out") == []
        assert arc.recover() == {}
        with pytest.raises(ProxyGenerationError):
            arc.wait([setup.url("job0")])


@pytest.mark.parametrize("number", [1, 3])
def test_a_terminal_is_asked_for_the_passphrase_before_lost_jobs_are_looked_for(
    setup: Setup, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(number):
        forge(setup, tmp_path, "created", runs=True)
    key = tmp_path / "encrypted.pem"
    plain = serialization.load_pem_private_key(Path(setup.config.CLIENT_KEY).read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    key.write_bytes(plain.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    key.chmod(0o600)
    monkeypatch.setattr(sys, "stdin", terminal := io.StringIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "secret")
    config = {**setup.config.as_dict(), "CLIENT_KEY": str(key), "PROXY_FILE": str(tmp_path / "another")}
    with ArcInterface(log=None, config=config) as arc:
        assert len(arc.recover()) == number


def test_an_interface_survives_a_fork_while_it_waits_for_jobs(setup: Setup) -> None:
    with ArcInterface(log=None, config=setup.config) as arc:
        running, ended = arc.submit_jobs([job(), job()])
        setup.ce.jobs["job1"].state = "FINISHED"
        as_they_end = arc.as_completed([running, ended])
        assert next(as_they_end).id == ended
        connections = setup.server.connections
        child = os.fork()
        if child == 0:
            code = 1
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            try:
                code = int(arc.wait([ended]) != [JobStatuses.COMPLETED])
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        as_they_end.close()
        assert arc.get_job_status(ended) is JobStatuses.COMPLETED
    assert setup.server.connections > connections
