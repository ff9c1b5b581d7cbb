"""The bindings backend's own decisions, on an imaginary compute element (the real one: tests/e2e)."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_arc import FakeArc
from faults.fake_ce import FakeCe, FakeJob
from faults.https_server import Certificates, HttpsServer, Reply, Shown
from hypothesis import example, given
from hypothesis import strategies as st
from pytest_mock import MockerFixture

from jasmin_arc._support.logs import make_logger
from jasmin_arc.backends.base import Services
from jasmin_arc.backends.bindings import BindingsBackend
from jasmin_arc.backends.bindings import runtime as runtime_module
from jasmin_arc.backends.bindings.translate import JobAddress
from jasmin_arc.config import ConnectionConfig
from jasmin_arc.constants import LogLevels
from jasmin_arc.description import JobDescription
from jasmin_arc.exceptions import (
    InputFileError,
    InvalidJobDescription,
    JasminArcError,
    JobListError,
    JobNotFoundError,
    JobSubmissionError,
    NoTargetsAvailableError,
    OperationNotPossibleError,
    ServerError,
    ServerUnavailableError,
    SubmissionUnknownError,
)
from jasmin_arc.job_list import JobList

LOG = logging.getLogger("test")
ECHO = JobDescription(executable="echo", arguments=["<&>", "%n"], outputs=[])


@pytest.fixture
def ce() -> FakeCe:
    """The REST interface of the imaginary compute element."""
    return FakeCe()


@pytest.fixture
def server(certificates: Certificates, ce: FakeCe) -> Iterator[HttpsServer]:
    """The host of the imaginary compute element."""
    with HttpsServer(certificates, ce) as server:
        yield server


@pytest.fixture
def arc(mocker: MockerFixture, server: HttpsServer) -> Iterator[FakeArc]:
    fake = FakeArc(server.endpoint)
    mocker.patch.object(runtime_module, "load_arc", return_value=fake)
    mocker.patch.object(runtime_module, "_runtime", None)
    yield fake
    fake.close()


@pytest.fixture
def job_list(tmp_path: Path) -> JobList:
    return JobList(tmp_path / "jobs.dat")


@pytest.fixture
def proxy(certificates: Certificates) -> Shown:
    return Shown(certificates.user_both)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def config_for(endpoint: str, certificates: Certificates) -> ConnectionConfig:
    server = endpoint.removeprefix("https://")
    return ConnectionConfig({"ARC_SERVER": server, "CERTS_DIR": str(certificates.bundle), "TIMEOUT": 7})


@pytest.fixture
def backend(
    arc: FakeArc, certificates: Certificates, job_list: JobList, proxy: Shown, stream: io.StringIO
) -> Iterator[BindingsBackend]:
    config = config_for(arc.endpoint, certificates)
    backend = BindingsBackend(config, Services(job_list, lambda: proxy, make_logger(stream, LogLevels.INFO)))
    yield backend
    backend.close()


def unknown(arc: FakeArc) -> str:
    return f"{arc.endpoint}/rest/1.0/jobs/unknown"


# --- Submitting ---


def test_a_submitted_job_is_in_the_job_list(backend: BindingsBackend, arc: FakeArc, job_list: JobList) -> None:
    (job_id,) = backend.submit([ECHO])
    assert job_list.ids(arc.endpoint) == [job_id]
    record = job_list.get([str(job_id)])[str(job_id)]
    assert JobDescription.from_json(record.description) == ECHO
    assert record.token in arc.submitted[0]
    assert job_list.unfinished(arc.endpoint) == []


def test_the_run_script_is_the_last_upload_and_our_files_vanish(
    backend: BindingsBackend, arc: FakeArc, tmp_path: Path
) -> None:
    (tmp_path / "a;b %41").write_bytes(b"content")
    seen: list[tuple[str, bytes]] = []

    def look(name: str, description: Any) -> str:
        seen.extend((target, Path(path).read_bytes()) for target, path in description.files)
        paths.extend(Path(path) for _, path in description.files)
        assert all(path.parent.stat().st_mode & 0o077 == 0 for path in paths)
        return arc.accept(name, description)

    paths: list[Path] = []
    arc.on_submit = look
    backend.submit([ECHO.replace(inputs={"x": b"bytes", "y z": tmp_path / "a;b %41"})])
    assert seen[:-1] == [("x", b"bytes"), ("y z", b"content")]
    assert seen[-1][0] == ".jasmin_arc_run" and b"exec echo" in seen[-1][1]
    assert not any(path.exists() or path.parent.exists() for path in paths)
    assert (tmp_path / "a;b %41").exists()


def test_an_input_that_is_missing_is_found_before_anything_is_sent(
    backend: BindingsBackend, arc: FakeArc, tmp_path: Path
) -> None:
    (error,) = backend.submit([ECHO.replace(inputs=[tmp_path / "missing"])])
    assert isinstance(error, InputFileError)
    assert arc.submitted == [] and arc.discoveries == 0


def test_the_discovery_is_cached(backend: BindingsBackend, arc: FakeArc) -> None:
    backend.submit([ECHO])
    backend.submit([ECHO])
    assert arc.discoveries == 1
    backend.site()
    assert arc.discoveries == 2


def test_no_queue_is_sent_when_none_was_asked_for(backend: BindingsBackend, arc: FakeArc) -> None:
    backend.submit([ECHO])
    backend.submit([ECHO.replace(queue="long")])
    assert "QueueName" not in arc.submitted[0]
    assert "<QueueName>long</QueueName>" in arc.submitted[1]


@pytest.mark.parametrize("queues", [[], ["short"]])
def test_a_server_with_nothing_to_offer(backend: BindingsBackend, arc: FakeArc, queues: list[str]) -> None:
    arc.queues, arc.reachable = queues, not queues
    with pytest.raises(NoTargetsAvailableError, match=arc.endpoint):
        backend.submit([ECHO])
    assert arc.submitted == []


def test_the_rest_interface_says_why_there_is_nothing_to_submit_to(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe, job_list: JobList
) -> None:
    arc.queues = []
    ce.before = lambda request: Reply(404, reason="Not Found")
    with pytest.raises(
        NoTargetsAvailableError, match="no ARC REST interface under /arex; check the path in ARC_SERVER"
    ):
        backend.submit([ECHO])
    assert job_list.unfinished(arc.endpoint) == []


def test_the_servers_reason_is_in_the_message(backend: BindingsBackend, arc: FakeArc, job_list: JobList) -> None:
    def reject(name: str, description: Any) -> str:
        arc.log("INFO", "SubmitterPlugin.REST", "Failed to submit all jobs: 500 Requested queue x is not allowed")
        return ""

    arc.on_submit = reject
    (error,) = backend.submit([ECHO])
    assert isinstance(error, JobSubmissionError) and not isinstance(error, SubmissionUnknownError)
    assert "Requested queue x is not allowed" in str(error) and "long, short" in str(error)
    assert job_list.unfinished(arc.endpoint) == job_list.ids() == []


def failing_upload(arc: FakeArc, ce: FakeCe) -> None:
    def fail(name: str, description: Any) -> str:
        arc.accept(name, description)
        ce.jobs[name] = FakeJob(name, description.text)
        target, path = description.files[0]
        where = f"{arc.endpoint.replace('/arex', ';blocksize=1048576/arex')}/rest/1.0/jobs/{name}/session/{target}"
        arc.log("ERROR", "SubmitterPlugin", f"Failed uploading file file:{path} to {where}: Temporary service error")
        arc.log("INFO", "SubmitterPlugin.REST", "Failed uploading local input files")
        return ""

    arc.on_submit = fail


def test_a_job_whose_upload_failed_is_cancelled_and_removed(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe, job_list: JobList
) -> None:
    failing_upload(arc, ce)
    (error,) = backend.submit([ECHO.replace(inputs={"my data": b""})])
    assert ce.jobs == {}
    assert isinstance(error, JobSubmissionError) and not isinstance(error, SubmissionUnknownError)
    assert "'my data' could not be uploaded: Temporary service error" in str(error)
    assert job_list.unfinished(arc.endpoint) == job_list.ids() == []


def test_a_job_that_cannot_even_be_cancelled_is_left_to_recover(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe, job_list: JobList
) -> None:
    failing_upload(arc, ce)
    ce.before = lambda request: Reply(500, reason="Not allowed") if "action=kill" in request.path else None
    (error,) = backend.submit([ECHO])
    job_id = f"{arc.endpoint}/rest/1.0/jobs/job1"
    assert isinstance(error, SubmissionUnknownError)
    assert job_id in str(error) and "Temporary service error" in str(error)
    assert [(record.id, record.abandoned) for record in job_list.unfinished(arc.endpoint)] == [(job_id, True)]
    ce.before = lambda request: None
    assert backend.recover() == {job_id: None}
    assert ce.jobs == {}


def test_the_id_of_a_forgotten_job_is_not_taken_from_a_hostile_name(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe
) -> None:
    failing_upload(arc, ce)
    ce.jobs["innocent"] = FakeJob("innocent", "")
    name = f" to {arc.endpoint}/rest/1.0/jobs/innocent/session/x"
    backend.submit([ECHO.replace(inputs={name.replace("https://", "https:/"): b"", "y": b""})])
    assert set(ce.jobs) == {"innocent"}


def test_an_id_that_makes_no_sense_is_no_failure(backend: BindingsBackend, arc: FakeArc, job_list: JobList) -> None:
    arc.on_submit = lambda name, description: f"https://elsewhere.example/rest/1.0/jobs/{name}"
    (error,) = backend.submit([ECHO])
    assert isinstance(error, SubmissionUnknownError) and "elsewhere.example" in str(error)
    assert [record.abandoned for record in job_list.unfinished(arc.endpoint)] == [True]


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("line", ["Failed to submit all jobs.", "Failed to submit all jobs: Created"])
def test_a_lost_answer_is_an_error_of_its_own_and_its_intention_stays(
    backend: BindingsBackend, arc: FakeArc, job_list: JobList, line: str, connected: bool
) -> None:
    def lose(name: str, description: Any) -> str:
        if not connected:
            # The library may have sent the request before, on a connection that broke.
            arc.no_connection()
        arc.log("INFO", "SubmitterPlugin.REST", line)
        return ""

    arc.on_submit = lose
    (error,) = backend.submit([ECHO])
    assert isinstance(error, SubmissionUnknownError)
    (intention,) = job_list.unfinished(arc.endpoint)
    assert intention.abandoned and intention.token in arc.submitted[0]
    assert len(arc.submitted) == 1


def test_nothing_is_asked_after_a_submission_that_could_hide_its_outcome(
    backend: BindingsBackend, arc: FakeArc, job_list: JobList
) -> None:
    def lose(name: str, description: Any) -> str:
        # Another thread may drop what was known of the site.
        backend._site = None
        arc.log("INFO", "SubmitterPlugin.REST", "Failed to submit all jobs.")
        return ""

    arc.on_submit = lose
    (error,) = backend.submit([ECHO])
    assert isinstance(error, SubmissionUnknownError)
    assert arc.discoveries == 1
    assert len(job_list.unfinished(arc.endpoint)) == 1


def test_when_the_server_goes_away_the_next_submission_looks_anew(backend: BindingsBackend, arc: FakeArc) -> None:
    def refuse(name: str, description: Any) -> str:
        arc.no_connection()
        arc.log("INFO", "SubmitterPlugin.REST", "Unable to submit jobs. Failed to delegate credentials.")
        return ""

    arc.on_submit = refuse
    (error,) = backend.submit([ECHO])
    assert isinstance(error, NoTargetsAvailableError)
    arc.on_submit = arc.accept
    backend.submit([ECHO])
    assert arc.discoveries == 2


def test_a_job_that_cannot_be_written_down_does_not_run(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe, mocker: MockerFixture
) -> None:
    arc.on_submit = lambda name, description: (
        ce.jobs.setdefault(name, FakeJob(name, "")) and arc.accept(name, description)
    )
    mocker.patch.object(JobList, "created", side_effect=JobListError("disk full"))
    (error,) = backend.submit([ECHO])
    assert isinstance(error, JobListError) and "disk full" in str(error)
    assert ce.jobs == {}


def test_a_job_that_runs_and_cannot_be_written_down_is_told(
    backend: BindingsBackend, arc: FakeArc, mocker: MockerFixture
) -> None:
    mocker.patch.object(JobList, "commit", side_effect=JobListError("disk full"))
    (error,) = backend.submit([ECHO])
    assert isinstance(error, SubmissionUnknownError)
    assert f"{arc.endpoint}/rest/1.0/jobs/job1 runs" in str(error) and "disk full" in str(error)


def test_an_interruption_leaves_an_intention(backend: BindingsBackend, arc: FakeArc, job_list: JobList) -> None:
    def interrupt(name: str, description: Any) -> str:
        raise KeyboardInterrupt

    arc.on_submit = interrupt
    with pytest.raises(KeyboardInterrupt):
        backend.submit([ECHO])
    assert [record.abandoned for record in job_list.unfinished(arc.endpoint)] == [True]


# --- Asking and acting ---


def test_the_librarys_own_job(backend: BindingsBackend, arc: FakeArc) -> None:
    job_id = arc.add_job("a", "Finished", "FINISHED", ExitCode=3)
    found = backend.arc_job(job_id)
    assert (found.JobID, found.ExitCode, found.State.GetGeneralState()) == (job_id, 3, "Finished")
    for text in (unknown(arc), "file:///x", ""):
        with pytest.raises(JobNotFoundError):
            backend.arc_job(text)


@pytest.mark.parametrize("code", [500, 403])
def test_an_error_about_a_job_is_never_an_unknown_id(backend: BindingsBackend, arc: FakeArc, code: int) -> None:
    job_id = arc.add_job("a")
    arc.answers["a"] = (code, "Internal error")
    with pytest.raises(ServerError, match="Internal error"):
        backend.arc_job(job_id)


def test_a_server_that_does_not_answer_is_an_error(backend: BindingsBackend, arc: FakeArc) -> None:
    job_id = arc.add_job("a")
    arc.reachable = False
    for ask in (lambda: backend.arc_job(job_id), lambda: backend.cancel([job_id]), backend.list_jobs):
        with pytest.raises(ServerUnavailableError, match="Failed to connect to ce:443"):
            ask()
    assert len(arc.actions) == 1


def test_an_undefined_state_is_no_answer(backend: BindingsBackend, arc: FakeArc) -> None:
    job_id = arc.add_job("a", "Undefined", "")
    with pytest.raises(ServerUnavailableError):
        backend.arc_job(job_id)


def test_cancelling_reports_the_failures_alone(backend: BindingsBackend, arc: FakeArc) -> None:
    fine, busy, broken = arc.add_job("fine"), arc.add_job("busy"), arc.add_job("broken")
    arc.answers = {"busy": (505, "Not possible now"), "broken": (500, "Oops")}
    failures: dict[str, JasminArcError] = {}
    for job_id in (fine, unknown(arc), busy, broken, "nonsense"):
        failures.update(backend.cancel([job_id]))
    assert {job_id: type(error) for job_id, error in failures.items()} == {
        unknown(arc): JobNotFoundError,
        busy: OperationNotPossibleError,
        broken: ServerError,
        "nonsense": JobNotFoundError,
    }
    assert [action for action, name in arc.actions if name == "fine"] == ["Cancel"]


def test_several_jobs_at_once_are_left_to_rest(backend: BindingsBackend, arc: FakeArc, ce: FakeCe) -> None:
    dealt_with: list[int] = []
    ids = [str(job_id) for job_id in backend.submit([ECHO, ECHO], progress=dealt_with.append)]
    assert all(job.complete for job in ce.jobs.values()) and sum(dealt_with) == len(ids) == 2
    assert backend.cancel(ids) == {}
    assert backend.states(ids) == dict.fromkeys(ids, "Killed")
    assert backend.clean(ids[:1]) == {} and len(ce.jobs) == 1
    assert arc.submitted == arc.actions == []


def test_a_job_that_the_library_cancelled_is_known_to_be_killed(
    backend: BindingsBackend, arc: FakeArc, ce: FakeCe
) -> None:
    ids = [arc.add_job(str(number)) for number in range(10)]
    for number in range(10):
        ce.jobs[str(number)] = FakeJob(str(number), "", state="FAILED", logs={"failed": "canceled by external request"})
    assert backend.cancel(ids[:1]) == {}
    assert backend.states(ids)[ids[0]] == "Killed"


def test_progress_is_told_of_a_single_job(backend: BindingsBackend, arc: FakeArc, tmp_path: Path) -> None:
    dealt_with: list[int] = []
    backend.submit([ECHO], progress=dealt_with.append)
    backend.submit([ECHO.replace(inputs=[tmp_path / "missing"])], progress=dealt_with.append)
    assert dealt_with == [1, 1]


def test_the_servers_jobs(backend: BindingsBackend, arc: FakeArc) -> None:
    assert backend.list_jobs() == []
    job_id = arc.add_job("a")
    assert backend.list_jobs() == [job_id]


# --- Who the server is ---

ASK: dict[str, Callable[[BindingsBackend, str], object]] = {
    "submit": lambda backend, job_id: backend.submit([ECHO]),
    "site": lambda backend, job_id: backend.site(),
    "list": lambda backend, job_id: backend.list_jobs(),
    "cancel": lambda backend, job_id: backend.cancel([job_id]),
    "get_job": lambda backend, job_id: backend.arc_job(job_id),
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The same kind of authority, which has signed a certificate for another name."""
    return Certificates(tmp_path_factory.mktemp("elsewhere"), host="elsewhere.example")


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_a_server_with_a_certificate_for_another_name_gets_nothing(
    arc: FakeArc,
    job_list: JobList,
    proxy: Shown,
    elsewhere: Certificates,
    ask: Callable[[BindingsBackend, str], object],
) -> None:
    with HttpsServer(elsewhere, lambda request: Reply(500)) as impostor:
        proxy.certificate = elsewhere.user_both
        backend = BindingsBackend(config_for(impostor.endpoint, elsewhere), Services(job_list, lambda: proxy, LOG))
        with pytest.raises(
            ServerError, match=r"set ARC_SERVER to the host's name, as it stands in the host's certificate$"
        ) as caught:
            ask(backend, f"{impostor.endpoint}/rest/1.0/jobs/a")
    assert impostor.endpoint in str(caught.value) and not isinstance(caught.value, ServerUnavailableError)
    assert arc.calls == impostor.requests == job_list.unfinished(impostor.endpoint) == []


def test_a_server_that_changes_its_certificate_after_the_discovery_gets_no_job(
    arc: FakeArc, certificates: Certificates, job_list: JobList, proxy: Shown
) -> None:
    with HttpsServer(certificates, lambda request: Reply(500)) as server:
        backend = BindingsBackend(config_for(server.endpoint, certificates), Services(job_list, lambda: proxy, LOG))
        backend.site()
        server.present(certificates.ca.issue_cert("elsewhere.example"))
        (error,) = backend.submit([ECHO])
    assert isinstance(error, ServerError) and "not trusted" in str(error)
    assert arc.submitted == job_list.unfinished(server.endpoint) == []


def test_a_server_that_goes_down_after_the_discovery_gets_no_job(
    arc: FakeArc, certificates: Certificates, job_list: JobList, proxy: Shown
) -> None:
    with HttpsServer(certificates, lambda request: Reply(500)) as server:
        backend = BindingsBackend(config_for(server.endpoint, certificates), Services(job_list, lambda: proxy, LOG))
        backend.site()
    (error,) = backend.submit([ECHO])
    assert isinstance(error, NoTargetsAvailableError) and "cannot connect" in str(error)
    assert arc.submitted == job_list.unfinished(server.endpoint) == []


@pytest.mark.parametrize("ask", [ASK["cancel"], ASK["get_job"]], ids=["cancel", "get_job"])
def test_the_host_in_a_jobs_id_is_checked_too(
    backend: BindingsBackend, arc: FakeArc, certificates: Certificates, ask: Callable[[BindingsBackend, str], object]
) -> None:
    number = arc.endpoint.replace("localhost", "127.0.0.1")
    with pytest.raises(ServerError, match=r"IP address mismatch.*'127\.0\.0\.1'; set ARC_SERVER"):
        ask(backend, f"{number}/rest/1.0/jobs/a")
    assert arc.calls == []


def test_a_server_that_is_down_or_says_nothing_gets_no_job(
    arc: FakeArc, certificates: Certificates, job_list: JobList, proxy: Shown
) -> None:
    with HttpsServer(certificates, lambda request: Reply(), handshake=False) as silent:
        config = ConnectionConfig({**config_for(silent.endpoint, certificates).as_dict(), "TIMEOUT": 1})
        backend = BindingsBackend(config, Services(job_list, lambda: proxy, LOG))
        started = time.monotonic()
        with pytest.raises(NoTargetsAvailableError, match="does not answer in time"):
            backend.submit([ECHO])
        with pytest.raises(ServerUnavailableError, match="does not answer in time"):
            backend.list_jobs()
        assert time.monotonic() - started < 20
    with pytest.raises(NoTargetsAvailableError, match="cannot connect"):
        backend.submit([ECHO])
    assert arc.calls == job_list.unfinished(config.endpoint) == []


@given(st.text())
def test_only_the_urls_of_jobs_are_job_ids(text: str) -> None:
    address = JobAddress.parse(text)
    assert address is None or address.id == text
    for hostile in (f"https://h/{text}/rest/1.0/jobs/x", f"https://h/arex/rest/1.0/jobs/{text}"):
        found = JobAddress.parse(hostile)
        if found is not None:
            assert found.endpoint.startswith("https://h/") and "/" not in found.native_id and found.native_id in hostile
            assert not set("?#;\n\0 ") & set(hostile)


@given(st.text(st.characters(codec="ascii", exclude_characters="/")))
@example("localhost@evil.example")
@example("localhost:70000")
@example("[")
def test_the_host_of_a_job_is_a_name_and_a_port(server: str) -> None:
    address = JobAddress.parse(f"https://{server}/arex/rest/1.0/jobs/x")
    if address is not None:
        parts = urlsplit(address.endpoint)
        assert parts.username is None and parts.hostname and (parts.port or 443) < 2**16
        assert server.lower() in (parts.netloc.lower(), f"{parts.hostname}:{parts.port}")


# --- The place, the library's own objects, the log ---


def test_the_site(backend: BindingsBackend) -> None:
    site = backend.site()
    assert [queue.name for queue in site.queues] == ["long", "short"]
    queue = site.queues[0]
    assert (queue.max_wall_time, queue.max_cpu_time, queue.max_slots) == (timedelta(hours=1), None, None)
    assert (queue.max_memory, queue.total_slots, queue.free_slots, queue.running, queue.waiting) == (
        2**30,
        64,
        5,
        None,
        2,
    )
    assert site.runtime_environments == ("ENV/PROXY", "APPS/GREETING-1.0") and site.healthy


def test_a_renewed_proxy_elsewhere_gives_a_new_user_config(
    backend: BindingsBackend, proxy: Shown, certificates: Certificates, tmp_path: Path
) -> None:
    first = backend.user_config()
    assert backend.user_config() is first
    assert (first.proxy_path, first.timeout) == (str(certificates.user_both), 7)
    proxy.certificate = tmp_path / "other.pem"
    assert backend.user_config().proxy_path == str(tmp_path / "other.pem")
    assert backend.create_user_config() is not backend.user_config()


def test_a_text_that_is_no_description(backend: BindingsBackend) -> None:
    with pytest.raises(InvalidJobDescription, match="No job description parser was able"):
        backend.parse_descriptions("nonsense %n")
    with pytest.raises(InvalidJobDescription):
        backend.parse_descriptions("\0")


def test_the_librarys_messages_reach_the_users_log_at_its_level(
    backend: BindingsBackend, arc: FakeArc, stream: io.StringIO
) -> None:
    arc.log("WARNING", "MCC", "from a thread, %n and\nmore")
    arc.log("VERBOSE", "MCC", "too much detail")
    backend.list_jobs()
    assert "[WARNING] Arc.MCC: from a thread, %n and\nmore" in stream.getvalue()
    assert "too much detail" not in stream.getvalue()
    assert arc.threshold == arc.VERBOSE


def test_how_the_library_works_is_no_news(backend: BindingsBackend, arc: FakeArc, stream: io.StringIO) -> None:
    backend.submit([ECHO])  # The library tells of transfers.
    arc.log("INFO", "ComputingServiceType", "Computing endpoint added to the list for submission brokering")
    arc.log("WARNING", "DataMover", "Destination is not whole")
    backend.list_jobs()
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("[WARNING] Arc.DataMover: Destination is not whole")


def test_at_debug_level_the_library_tells_all(
    arc: FakeArc, certificates: Certificates, job_list: JobList, proxy: Shown
) -> None:
    config, stream = config_for(arc.endpoint, certificates), io.StringIO()
    backend = BindingsBackend(config, Services(job_list, lambda: proxy, make_logger(stream, LogLevels.DEBUG)))
    backend.submit([ECHO])
    assert arc.threshold == arc.DEBUG
    assert "[DEBUG] Arc.DataMover: Transfer from" in stream.getvalue()


def test_errors_of_the_library_are_ours(backend: BindingsBackend, arc: FakeArc) -> None:
    def fail(name: str, description: Any) -> str:
        raise RuntimeError("basic_string::_M_create")

    arc.on_submit = fail
    (error,) = backend.submit([ECHO])
    assert isinstance(error, ServerError) and isinstance(error.__cause__, RuntimeError)


def test_a_fault_of_our_own_is_not_blamed_on_the_library(backend: BindingsBackend, arc: FakeArc) -> None:
    def fail(name: str, description: Any) -> str:
        return "a job's id" + description  # type: ignore[no-any-return]

    arc.on_submit = fail
    with pytest.raises(TypeError, match="can only concatenate"):
        backend.submit([ECHO])


def test_closing_twice(backend: BindingsBackend) -> None:
    backend.close()
    backend.close()
    assert backend.list_jobs() == []
