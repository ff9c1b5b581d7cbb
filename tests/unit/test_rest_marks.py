"""A job's start is seen by the mark that its run script leaves, long before the server has written it down."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from faults.fake_ce import FakeJob
from faults.https_server import Reply, Request
from faults.rest_setup import Setup, job

from jasmin_arc import JobDescription
from jasmin_arc.backends.rest.documents import modified
from jasmin_arc.backends.rest.marks import marked_script
from jasmin_arc.constants import RUN_SCRIPT_NAME, START_MARK_NAME, JobState
from jasmin_arc.exceptions import ServerError

MANY = 30
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]
BEGAN = datetime(2026, 11, 20, 8, 18, 13, tzinfo=timezone.utc)


def put(setup: Setup, *, written: str = "QUEUING", count: int = 1, ours: bool = True) -> list[str]:
    names = [f"{written.lower()}{len(setup.ce.jobs) + number}" for number in range(count)]
    for name in names:
        files = {RUN_SCRIPT_NAME: b""} if ours else {}
        setup.ce.jobs[name] = FakeJob(name, "", state="RUNNING", written=written, files=files)
    return [setup.url(name) for name in names]


def begin(setup: Setup, *ids: str, at: str = "") -> None:
    for job_id in ids:
        found = setup.ce.jobs[job_id.rpartition("/")[2]]
        found.files[START_MARK_NAME] = b""
        found.times[START_MARK_NAME] = at


def looks(setup: Setup) -> list[str]:
    """The requests about session directories since the last time."""
    found = [request for request in setup.ce.requests if "/session/" in request]
    setup.ce.requests.clear()
    return found


def a_second_later(setup: Setup) -> None:
    marks = setup.backend._states._marks
    marks._next = {name: then - 1.0 for name, then in marks._next.items()}


def run(folder: Path, shell: str, description: JobDescription) -> subprocess.CompletedProcess[str]:
    script = folder / ".run"
    script.write_bytes(marked_script(description))
    start = [shell, "sh"] if shell == "busybox" else [shell]
    return subprocess.run([*start, str(script)], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_run_script_leaves_a_mark_before_all_else(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, shell, JobDescription("ls", ["-a", START_MARK_NAME]))
    assert (done.returncode, done.stdout, done.stderr) == (0, START_MARK_NAME + "\n", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_runs_as_ever_where_the_mark_cannot_be_left(tmp_path: Path, shell: str) -> None:
    # No file can be made there, whoever the user is.
    (tmp_path / START_MARK_NAME).mkdir()
    done = run(tmp_path, shell, JobDescription("sh", ["-c", "echo out; echo err >&2; exit 3"]))
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_the_mark_is_in_the_script_that_is_uploaded(setup: Setup) -> None:
    setup.backend.submit([job()])
    (made,) = setup.ce.jobs.values()
    assert START_MARK_NAME.encode() in made.files[RUN_SCRIPT_NAME].splitlines()[1]


def test_the_mark_is_no_file_of_the_job(setup: Setup) -> None:
    (job_id,) = put(setup)
    begin(setup, job_id)
    setup.ce.jobs["queuing0"].files[f"folder/{START_MARK_NAME}"] = b""
    names = {entry.name for entry in setup.backend.list_files(job_id)}
    assert names == {RUN_SCRIPT_NAME, "folder"}
    (own,) = setup.backend.list_files(job_id, "folder")
    assert own.name == f"folder/{START_MARK_NAME}"


@pytest.mark.parametrize("written", ["QUEUING", "SUBMITTING", "PREPARING"])
def test_a_job_that_has_begun_runs_whatever_was_written_before(setup: Setup, written: str) -> None:
    (job_id,) = put(setup, written=written)
    assert setup.backend.states([job_id]) == {job_id: JobState.QUEUING}
    begin(setup, job_id)
    a_second_later(setup)
    assert setup.backend.states([job_id]) == {job_id: JobState.RUNNING}
    info = setup.backend.query([job_id])[job_id]
    assert (info.state, info.native_state) == (JobState.RUNNING, "RUNNING")


def test_the_mark_tells_when_a_job_began_until_the_server_does(setup: Setup) -> None:
    (job_id,) = put(setup)
    began = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(seconds=5)
    begin(setup, job_id, at=began.isoformat())
    assert setup.backend.query([job_id])[job_id].started == began
    # The server writes that it runs long before it writes since when.
    for written in ("RUNNING", "EXITINGLRMS"):
        setup.ce.jobs["queuing0"].written = written
        assert setup.backend.query([job_id])[job_id].started == began
    setup.ce.jobs["queuing0"].info = f"<StartTime>{BEGAN:%Y-%m-%dT%H:%M:%SZ}</StartTime>"
    assert setup.backend.query([job_id])[job_id].started == BEGAN


def test_a_mark_that_is_old_yields_to_what_was_written_since(setup: Setup) -> None:
    """The batch system has put the job back."""
    (job_id,) = put(setup)
    begin(setup, job_id, at=BEGAN.isoformat())
    assert setup.backend.states([job_id]) == {job_id: JobState.QUEUING}
    assert setup.backend.query([job_id])[job_id].started is None


@pytest.mark.parametrize("written", ["HELD", "RUNNING", "EXITINGLRMS", "OTHER"])
def test_what_the_batch_system_does_with_a_job_that_runs_stays_as_written(setup: Setup, written: str) -> None:
    (job_id,) = put(setup, written=written)
    begin(setup, job_id)
    setup.backend.states([job_id])
    assert setup.backend.query([job_id])[job_id].native_state == written
    assert looks(setup) == []


def test_a_start_is_looked_for_once_a_second_and_never_again_once_seen(setup: Setup) -> None:
    (job_id,) = put(setup)
    setup.backend.states([job_id])
    # Whether the job has a run script of this library is asked once.
    assert len(looks(setup)) == 2
    setup.backend.states([job_id])
    assert looks(setup) == []
    a_second_later(setup)
    setup.backend.states([job_id])
    assert looks(setup) == [f"HEAD /arex/rest/1.0/jobs/queuing0/session/{START_MARK_NAME}"]
    begin(setup, job_id)
    a_second_later(setup)
    setup.backend.states([job_id])
    looks(setup)
    a_second_later(setup)
    assert setup.backend.states([job_id]) == {job_id: JobState.RUNNING}
    assert looks(setup) == []


def test_many_jobs_that_wait_are_looked_at_in_turn(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    # As many as may be, also on a machine that is busy.
    monkeypatch.setattr("jasmin_arc.backends.rest.marks._ENOUGH_SECONDS", 10.0)
    monkeypatch.setattr("jasmin_arc.backends.rest.marks._LOOK_SECONDS", 10.0)
    ids = put(setup, count=MANY)
    seen = []
    for _ in range(3):
        setup.backend.states(ids)
        seen += [request for request in looks(setup) if START_MARK_NAME in request]
    assert len(seen) == len(set(seen)) == MANY
    begin(setup, *ids)
    a_second_later(setup)
    counts = [list(setup.backend.states(ids).values()).count(JobState.RUNNING) for _ in range(3)]
    assert counts == [10, 20, 30]


def test_looks_that_take_long_are_left_to_the_next_question(setup: Setup) -> None:
    ids = put(setup, count=10)

    def slowly(request: Request) -> None:
        time.sleep(0.06 if "/session/" in request.path else 0.0)

    setup.ce.before = slowly
    setup.backend.states(ids)
    assert sum(START_MARK_NAME in request for request in looks(setup)) == 1
    setup.backend.states(ids)
    # It is the turn of the others.
    assert all("queuing0" not in request for request in looks(setup))


def test_a_job_of_another_tool_is_looked_at_once(setup: Setup) -> None:
    (job_id,) = put(setup, ours=False)
    setup.backend.states([job_id])
    looks(setup)
    a_second_later(setup)
    assert setup.backend.states([job_id]) == {job_id: JobState.QUEUING}
    assert looks(setup) == []


def test_a_job_that_runs_again_has_to_begin_again(setup: Setup) -> None:
    (job_id,) = put(setup)
    begin(setup, job_id)
    assert setup.backend.states([job_id]) == {job_id: JobState.RUNNING}
    # A-REX removes it at the end of the first run.
    del setup.ce.jobs["queuing0"].files[START_MARK_NAME]
    setup.backend._states.discard(["queuing0"])
    assert setup.backend.states([job_id]) == {job_id: JobState.QUEUING}


@pytest.mark.parametrize("status", [403, 500])
def test_a_server_that_does_not_tell_is_left_alone_for_a_minute(setup: Setup, status: int) -> None:
    ids = put(setup, count=2)

    def refuse(request: Request) -> Reply | None:
        return Reply(status, reason="No") if "/session/" in request.path else None

    setup.ce.before = refuse
    assert setup.backend.states(ids) == dict.fromkeys(ids, JobState.QUEUING)
    assert 1 <= len(looks(setup)) <= 2
    setup.ce.before = lambda request: None
    a_second_later(setup)
    begin(setup, *ids)
    setup.backend.states(ids)
    assert looks(setup) == []


def test_a_session_directory_that_stands_still_holds_nobody_up_for_long(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jasmin_arc.backends.rest.marks._LOOK_SECONDS", 0.3)
    ids = put(setup, count=MANY)

    def silence() -> Iterator[float]:
        yield 2.0

    setup.ce.before = lambda request: Reply(raw=silence()) if "/session/" in request.path else None
    began = time.monotonic()
    assert setup.backend.states(ids) == dict.fromkeys(ids, JobState.QUEUING)
    assert time.monotonic() - began < 1.5
    assert setup.backend.states(ids) == dict.fromkeys(ids, JobState.QUEUING)
    assert time.monotonic() - began < 2.0


def properties(text: str) -> bytes:
    prop = f"<d:propstat><d:prop><d:getlastmodified>{text}</d:getlastmodified></d:prop></d:propstat>"
    return f'<d:multistatus xmlns:d="DAV:"><d:response>{prop}</d:response></d:multistatus>'.encode()


@pytest.mark.parametrize(
    ("text", "time"),
    [("2026-11-20T08:18:13+00:00", BEGAN), ("2026-11-20T09:18:13+01:00", BEGAN), ("2026-11-20T08:18:13", None)]
    + [(text, None) for text in ("", "soon", "9999-99-99T00:00:00+00:00", "0001-01-01T00:00:00+23:59")],
)
def test_the_time_of_a_file_is_aware_or_unknown(text: str, time: datetime | None) -> None:
    assert modified(properties(text)) == time


def test_a_file_that_is_not_there_has_no_time() -> None:
    assert (
        modified(b'<d:multistatus xmlns:d="DAV:"><d:response><d:status>404</d:status></d:response></d:multistatus>')
        is None
    )
    with pytest.raises(ServerError):
        modified(b"<html><body/></html>")
